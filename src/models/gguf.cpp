#include "models/gguf.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "models/gguf_changes.h"

namespace onnxport::models {
namespace {

using Tensors = std::vector<GgufTensor>;
using nlohmann::json;

// ---------------------------------------------------------------------------------------------------------------------
// What most decoders share

Tensors names_of_llama(const PretrainedConfig& config) {
  Tensors names = {{"token_embd", "model.embed_tokens"},
                   {"output_norm", "model.norm"},
                   {"output", "lm_head"},
                   {"blk.{}.attn_rot_embd", ""}};  // in old files: the frequencies of each layer
  // Factors for the frequencies. The configuration tells them too, unless it was made from a file whose
  // factors follow no formula that is known.
  if (config.has("rope_scaling") || config.has("rope_parameters")) {
    for (const char* derived : {"rope_freqs", "rope_factors_long", "rope_factors_short"}) {
      names.push_back({derived, ""});
    }
  }
  constexpr std::array<std::pair<const char*, const char*>, 12> kOfLayers = {{
      {"attn_norm", "input_layernorm"},
      {"attn_q", "self_attn.q_proj"},
      {"attn_k", "self_attn.k_proj"},
      {"attn_v", "self_attn.v_proj"},
      {"attn_qkv", "self_attn.qkv_proj"},
      {"attn_q_norm", "self_attn.q_norm"},
      {"attn_k_norm", "self_attn.k_norm"},
      {"attn_output", "self_attn.o_proj"},
      {"ffn_norm", "post_attention_layernorm"},
      {"ffn_gate", "mlp.gate_proj"},
      {"ffn_up", "mlp.up_proj"},
      {"ffn_down", "mlp.down_proj"},
  }};
  for (const auto& [stored, key] : kOfLayers) {
    names.push_back({fmt::format("blk.{{}}.{}", stored), fmt::format("model.layers.{{}}.{}", key)});
  }
  return names;
}

/// Names and metadata of Llama, but for the order of its rows.
GgufLayout llama_like(std::string architecture, std::string original_class) {
  return {.architecture = std::move(architecture),
          .original_class = std::move(original_class),
          .tensors = names_of_llama,
          .config_keys = {{"context_length", "max_position_embeddings"},
                          {"block_count", "num_hidden_layers"},
                          {"feed_forward_length", "intermediate_size"},
                          {"embedding_length", "hidden_size"},
                          {"rope.freq_base", "rope_theta"},
                          {"attention.head_count", "num_attention_heads"},
                          {"attention.head_count_kv", "num_key_value_heads"},
                          {"attention.layer_norm_rms_epsilon", "rms_norm_eps"},
                          {"vocab_size", "vocab_size"}},
          .more_config = rope_scaling};
}

/// Adds to the names of a layout; one that it has already is replaced.
template <class More>
void change_names(GgufLayout& layout, More&& more) {
  layout.tensors = [before = std::move(layout.tensors),
                    more = std::forward<More>(more)](const PretrainedConfig& config) {
    Tensors names = before(config);
    for (GgufTensor& tensor : more(config)) {
      std::erase_if(names, [&](const GgufTensor& old) { return old.name == tensor.name; });
      names.push_back(std::move(tensor));
    }
    return names;
  };
}

template <class More>
void add_config(GgufLayout& layout, More&& more) {
  layout.more_config = [before = std::move(layout.more_config),
                        more = std::forward<More>(more)](const GgufInfo& file) {
    ConfigTexts texts = before ? before(file) : ConfigTexts();
    texts.merge(more(file));
    return texts;
  };
}

void add_keys(GgufLayout& layout, const std::vector<std::pair<std::string, std::string>>& keys) {
  layout.config_keys.insert(layout.config_keys.end(), keys.begin(), keys.end());
}

/// The experts of each layer, below `mlp`: one tensor for all of them, or one for each in old files.
Tensors experts(const std::string& mlp, const char* gate, const char* up, const char* down) {
  Tensors names;
  for (const auto& [stored, key] : {std::pair("gate", gate), std::pair("up", up), std::pair("down", down)}) {
    const std::string all = fmt::format("model.layers.{{}}.{}.experts", mlp);
    names.push_back({fmt::format("blk.{{}}.ffn_{}_exps", stored), fmt::format("{}.{}", all, key)});
    names.push_back({fmt::format("blk.{{}}.ffn_{}.{{}}", stored), fmt::format("{}.{{}}.{}", all, key)});
  }
  names.push_back({"blk.{}.ffn_gate_inp", fmt::format("model.layers.{{}}.{}.gate", mlp)});
  return names;
}

// ---------------------------------------------------------------------------------------------------------------------
// Llama and its kin

GgufLayout turning(std::string original_class) {
  GgufLayout layout = llama_like("llama", std::move(original_class));
  add_keys(layout, {{"rope.dimension_count", "head_dim"}, {"attention.key_length", "head_dim"}});
  add_config(layout, llama3_scaling);
  change_names(layout, [](const PretrainedConfig& config) -> Tensors {
    const std::int64_t heads = config.integer("num_attention_heads");
    const std::int64_t kv_heads = config.maybe_integer("num_key_value_heads").value_or(heads);
    return {{"blk.{}.attn_q", "model.layers.{}.self_attn.q_proj", rotary_halves(heads)},
            {"blk.{}.attn_k", "model.layers.{}.self_attn.k_proj", rotary_halves(kv_heads)}};
  });
  return layout;
}

bool has_experts(const GgufInfo& file) { return file.integer("llama.expert_count").value_or(0) > 0; }
bool is_mistral(const GgufInfo& file) { return file.text("general.name") == "mistral"; }

}  // namespace

GgufLayout gguf_llama() {
  GgufLayout layout = turning("LlamaForCausalLM");
  layout.matches = [](const GgufInfo& file) { return !has_experts(file) && !is_mistral(file); };
  return layout;
}

GgufLayout gguf_mistral() {
  GgufLayout layout = turning("MistralForCausalLM");
  layout.matches = [](const GgufInfo& file) { return !has_experts(file) && is_mistral(file); };
  return layout;
}

GgufLayout gguf_mixtral() {
  GgufLayout layout = turning("MixtralForCausalLM");
  layout.matches = has_experts;
  add_keys(layout, {{"expert_count", "num_local_experts"}, {"expert_used_count", "num_experts_per_tok"}});
  change_names(layout, [](const PretrainedConfig&) { return experts("block_sparse_moe", "w1", "w3", "w2"); });
  return layout;
}

GgufLayout gguf_qwen2() { return llama_like("qwen2", "Qwen2ForCausalLM"); }

GgufLayout gguf_qwen3() {
  GgufLayout layout = llama_like("qwen3", "Qwen3ForCausalLM");
  add_keys(layout, {{"attention.key_length", "head_dim"}});
  return layout;
}

GgufLayout gguf_qwen3_moe() {
  GgufLayout layout = llama_like("qwen3moe", "Qwen3MoeForCausalLM");
  add_keys(layout, {{"attention.key_length", "head_dim"},
                    {"expert_count", "num_experts"},
                    {"expert_used_count", "num_experts_per_tok"},
                    {"expert_feed_forward_length", "moe_intermediate_size"}});
  // What every published model of this type says, and llama.cpp takes for granted.
  add_config(layout, [](const GgufInfo&) { return ConfigTexts{{"norm_topk_prob", "true"}}; });
  change_names(layout,
               [](const PretrainedConfig&) { return experts("mlp", "gate_proj", "up_proj", "down_proj"); });
  return layout;
}

GgufLayout gguf_phi3() {
  GgufLayout layout = llama_like("phi3", "Phi3ForCausalLM");
  change_names(layout, [](const PretrainedConfig&) -> Tensors {
    return {{"blk.{}.ffn_up", "model.layers.{}.mlp.gate_up_proj"}};
  });
  add_config(layout, longrope);
  add_config(layout, [](const GgufInfo& file) {
    ConfigTexts texts;
    // 0 stands for none.
    if (const auto window = file.integer("phi3.attention.sliding_window"); window && *window > 0) {
      texts["sliding_window"] = std::to_string(*window);
    }
    const std::int64_t heads = file.integer("phi3.attention.head_count").value_or(0);
    const std::int64_t head = heads > 0 ? file.integer("phi3.embedding_length").value_or(0) / heads : 0;
    if (const auto turning = file.integer("phi3.rope.dimension_count"); turning && *turning < head) {
      texts["partial_rotary_factor"] = json(static_cast<double>(*turning) / static_cast<double>(head)).dump();
    }
    return texts;
  });
  return layout;
}

// ---------------------------------------------------------------------------------------------------------------------
// Gemma

GgufLayout gguf_gemma() {
  GgufLayout layout = llama_like("gemma", "GemmaForCausalLM");
  add_keys(layout, {{"attention.key_length", "head_dim"}});
  change_names(layout, [](const PretrainedConfig&) -> Tensors {
    return {{"output_norm", "model.norm", minus_one},
            {"blk.{}.attn_norm", "model.layers.{}.input_layernorm", minus_one},
            {"blk.{}.ffn_norm", "model.layers.{}.post_attention_layernorm", minus_one}};
  });
  return layout;
}

namespace {

/// `large`: the number of layers of the model that scales its queries by another size than that of its heads,
/// which no metadata tell.
GgufLayout later_gemma(std::string architecture, std::string original_class, std::int64_t large) {
  GgufLayout layout = gguf_gemma();
  layout.architecture = std::move(architecture);
  layout.original_class = std::move(original_class);
  add_keys(layout, {{"attention.sliding_window", "sliding_window"},
                    {"attn_logit_softcapping", "attn_logit_softcapping"},
                    {"final_logit_softcapping", "final_logit_softcapping"}});
  change_names(layout, [](const PretrainedConfig&) -> Tensors {
    return {{"blk.{}.attn_q_norm", "model.layers.{}.self_attn.q_norm", minus_one},
            {"blk.{}.attn_k_norm", "model.layers.{}.self_attn.k_norm", minus_one},
            {"blk.{}.post_attention_norm", "model.layers.{}.post_attention_layernorm", minus_one},
            {"blk.{}.ffn_norm", "model.layers.{}.pre_feedforward_layernorm", minus_one},
            {"blk.{}.post_ffw_norm", "model.layers.{}.post_feedforward_layernorm", minus_one}};
  });
  add_config(layout, [large](const GgufInfo& file) -> ConfigTexts {
    const auto of = [&](const char* key) { return file.integer(file.architecture() + key).value_or(0); };
    const std::int64_t heads = of(".attention.head_count");
    if (of(".block_count") != large || heads <= 0) return {};
    return {{"query_pre_attn_scalar", std::to_string(of(".embedding_length") / heads)}};
  });
  return layout;
}

}  // namespace

GgufLayout gguf_gemma2() { return later_gemma("gemma2", "Gemma2ForCausalLM", 46); }
GgufLayout gguf_gemma3_text() { return later_gemma("gemma3", "Gemma3ForCausalLM", 62); }

// ---------------------------------------------------------------------------------------------------------------------
// Decoders of other makes

GgufLayout gguf_gpt2() {
  return {.architecture = "gpt2",
          .original_class = "GPT2LMHeadModel",
          .tensors = [](const PretrainedConfig&) -> Tensors {
            return {{"token_embd", "transformer.wte"},
                    {"position_embd", "transformer.wpe"},
                    {"output_norm", "transformer.ln_f"},
                    {"output", "lm_head"},
                    {"blk.{}.attn_norm", "transformer.h.{}.ln_1"},
                    {"blk.{}.attn_qkv", "transformer.h.{}.attn.c_attn", transposed},
                    {"blk.{}.attn_output", "transformer.h.{}.attn.c_proj", transposed},
                    {"blk.{}.ffn_norm", "transformer.h.{}.ln_2"},
                    {"blk.{}.ffn_up", "transformer.h.{}.mlp.c_fc", transposed},
                    {"blk.{}.ffn_down", "transformer.h.{}.mlp.c_proj", transposed}};
          },
          .config_keys = {{"block_count", "n_layer"},
                          {"context_length", "n_positions"},
                          {"embedding_length", "n_embd"},
                          {"feed_forward_length", "n_inner"},
                          {"attention.head_count", "n_head"},
                          {"attention.layer_norm_epsilon", "layer_norm_epsilon"}}};
}

GgufLayout gguf_bloom() {
  return {.architecture = "bloom",
          .original_class = "BloomForCausalLM",
          .tensors = [](const PretrainedConfig& config) -> Tensors {
            const std::int64_t heads =
                config.integer(config.has("num_attention_heads") ? "num_attention_heads" : "n_head");
            return {{"token_embd", "transformer.word_embeddings"},
                    {"token_embd_norm", "transformer.word_embeddings_layernorm"},
                    {"output_norm", "transformer.ln_f"},
                    {"output", "lm_head"},
                    {"blk.{}.attn_norm", "transformer.h.{}.input_layernorm"},
                    {"blk.{}.attn_qkv", "transformer.h.{}.self_attention.query_key_value", per_head(heads)},
                    {"blk.{}.attn_output", "transformer.h.{}.self_attention.dense"},
                    {"blk.{}.ffn_norm", "transformer.h.{}.post_attention_layernorm"},
                    {"blk.{}.ffn_up", "transformer.h.{}.mlp.dense_h_to_4h"},
                    {"blk.{}.ffn_down", "transformer.h.{}.mlp.dense_4h_to_h"}};
          },
          .config_keys = {{"block_count", "n_layer"},
                          {"embedding_length", "hidden_size"},
                          {"attention.head_count", "n_head"},
                          {"attention.layer_norm_epsilon", "layer_norm_epsilon"},
                          {"vocab_size", "vocab_size"}},
          .more_config =
              [](const GgufInfo&) {
                // The file has a copy of the table as `output`.
                return ConfigTexts{{"tie_word_embeddings", "true"}};
              }};
}

GgufLayout gguf_falcon() {
  return {.architecture = "falcon",
          .original_class = "FalconForCausalLM",
          .tensors = [](const PretrainedConfig& config) -> Tensors {
            const bool newer = config.flag("new_decoder_architecture", false);
            const std::int64_t heads = config.integer("num_attention_heads");
            const std::int64_t kv_heads = newer ? config.maybe_integer("num_kv_heads").value_or(heads)
                                          : config.flag("multi_query", true) ? 1
                                                                             : heads;
            const bool two_norms = newer && config.maybe_integer("num_ln_in_parallel_attn").value_or(2) == 2;
            const std::string layer = "transformer.h.{}.";
            return {
                {"token_embd", "transformer.word_embeddings"},
                {"output_norm", "transformer.ln_f"},
                {"output", "lm_head"},
                {"blk.{}.attn_norm", layer + (two_norms ? "ln_mlp" : "input_layernorm")},
                {"blk.{}.attn_norm_2", layer + "ln_attn"},
                {"blk.{}.attn_qkv", layer + "self_attention.query_key_value", per_key_head(heads, kv_heads)},
                {"blk.{}.attn_output", layer + "self_attention.dense"},
                {"blk.{}.ffn_norm", layer + "post_attention_layernorm"},
                {"blk.{}.ffn_up", layer + "mlp.dense_h_to_4h"},
                {"blk.{}.ffn_down", layer + "mlp.dense_4h_to_h"}};
          },
          .config_keys = {{"context_length", "max_position_embeddings"},
                          {"block_count", "num_hidden_layers"},
                          {"feed_forward_length", "ffn_hidden_size"},
                          {"embedding_length", "hidden_size"},
                          {"rope.freq_base", "rope_theta"},
                          {"attention.head_count", "num_attention_heads"},
                          {"attention.layer_norm_epsilon", "layer_norm_epsilon"},
                          {"vocab_size", "vocab_size"}},
          .more_config =
              [](const GgufInfo& file) {
                const std::int64_t kv_heads = file.integer("falcon.attention.head_count_kv").value_or(1);
                const bool newer = file.has_tensor("blk.0.attn_norm_2.weight");
                return ConfigTexts{{"tie_word_embeddings", "true"},
                                   {"new_decoder_architecture", newer ? "true" : "false"},
                                   {"num_kv_heads", std::to_string(kv_heads)},
                                   {"multi_query", kv_heads == 1 ? "true" : "false"},
                                   {"bias", file.has_tensor("blk.0.attn_qkv.bias") ? "true" : "false"}};
              }};
}

// ---------------------------------------------------------------------------------------------------------------------
// Encoders, and both

GgufLayout gguf_bert() {
  return {.architecture = "bert",
          .original_class = "BertModel",
          .tensors = [](const PretrainedConfig&) -> Tensors {
            const std::string layer = "encoder.layer.{}.";
            return {{"token_embd", "embeddings.word_embeddings"},
                    {"token_types", "embeddings.token_type_embeddings"},
                    {"position_embd", "embeddings.position_embeddings"},
                    {"token_embd_norm", "embeddings.LayerNorm"},
                    {"blk.{}.attn_q", layer + "attention.self.query"},
                    {"blk.{}.attn_k", layer + "attention.self.key"},
                    {"blk.{}.attn_v", layer + "attention.self.value"},
                    {"blk.{}.attn_output", layer + "attention.output.dense"},
                    {"blk.{}.attn_output_norm", layer + "attention.output.LayerNorm"},
                    {"blk.{}.ffn_up", layer + "intermediate.dense"},
                    {"blk.{}.ffn_down", layer + "output.dense"},
                    {"blk.{}.layer_output_norm", layer + "output.LayerNorm"},
                    {"cls", "pooler.dense"},
                    {"cls.output", "classifier"}};
          },
          .config_keys = {{"context_length", "max_position_embeddings"},
                          {"block_count", "num_hidden_layers"},
                          {"feed_forward_length", "intermediate_size"},
                          {"embedding_length", "hidden_size"},
                          {"attention.head_count", "num_attention_heads"},
                          {"attention.layer_norm_epsilon", "layer_norm_eps"},
                          {"vocab_size", "vocab_size"}},
          .more_config =
              [](const GgufInfo& file) {
                ConfigTexts texts = {{"tie_word_embeddings", "true"}};
                if (const auto types = file.integer("tokenizer.ggml.token_type_count")) {
                  texts["type_vocab_size"] = std::to_string(*types);
                }
                return texts;
              }};
}

namespace {

/// The layers of one half of T5. `ffn`: the number of the feed-forward among the parts of a layer.
void add_t5_half(Tensors& names, const std::string& stored, const std::string& half, int ffn, bool gated) {
  const auto add = [&](const char* name, const std::string& key) {
    names.push_back(
        {fmt::format("{}.blk.{{}}.{}", stored, name), fmt::format("{}.block.{{}}.layer.{}", half, key)});
  };
  const auto add_attention = [&](const std::string& prefix, const std::string& key) {
    for (const char* part : {"q", "k", "v", "o"}) {
      add((prefix + "attn_" + part).c_str(), fmt::format("{}.{}", key, part));
    }
    add((prefix + "attn_rel_b").c_str(), key + ".relative_attention_bias");
    add((prefix + "attn_norm").c_str(), key.substr(0, 2) + "layer_norm");
  };
  add_attention("", "0.SelfAttention");
  if (ffn == 2) add_attention("cross_", "1.EncDecAttention");
  add("ffn_norm", fmt::format("{}.layer_norm", ffn));
  add("ffn_gate", fmt::format("{}.DenseReluDense.wi_0", ffn));
  add("ffn_up", fmt::format("{}.DenseReluDense.{}", ffn, gated ? "wi_1" : "wi"));
  add("ffn_down", fmt::format("{}.DenseReluDense.wo", ffn));
  names.push_back({stored + ".output_norm", half + ".final_layer_norm"});
}

}  // namespace

GgufLayout gguf_t5() {
  return {.architecture = "t5",
          .original_class = "T5ForConditionalGeneration",
          .tensors = [](const PretrainedConfig& config) -> Tensors {
            const bool gated = config.maybe_string("feed_forward_proj").value_or("relu").starts_with("gated");
            Tensors names = {{"token_embd", "shared"}, {"output", "lm_head"}};
            add_t5_half(names, "enc", "encoder", 1, gated);
            add_t5_half(names, "dec", "decoder", 2, gated);
            return names;
          },
          .config_keys = {{"context_length", "n_positions"},
                          {"block_count", "num_layers"},
                          {"decoder_block_count", "num_decoder_layers"},
                          {"feed_forward_length", "d_ff"},
                          {"embedding_length", "d_model"},
                          {"attention.key_length", "d_kv"},
                          {"attention.head_count", "num_heads"},
                          {"attention.layer_norm_epsilon", "layer_norm_epsilon"},
                          {"attention.relative_buckets_count", "relative_attention_num_buckets"},
                          {"decoder_start_token_id", "decoder_start_token_id"},
                          {"vocab_size", "vocab_size"}},
          .more_config =
              [](const GgufInfo& file) {
                const bool gated = file.has_tensor("enc.blk.0.ffn_gate.weight");
                return ConfigTexts{{"feed_forward_proj", gated ? R"("gated-gelu")" : R"("relu")"}};
              }};
}

}  // namespace onnxport::models
