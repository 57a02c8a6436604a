#include "models/decoders/common/gguf_llama.h"
#include "onnxport/text_decoder_config.h"

#include <fmt/format.h>

#include <array>
#include <utility>

namespace onnxport::models {
namespace {

GgufTensors names_of_llama(const PretrainedConfig& config) {
  GgufTensors names = {{"token_embd", "model.embed_tokens"},
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

}  // namespace

GgufLayout llama_like_gguf(std::string architecture, std::string original_class) {
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

void add_layer_names(GgufLayout& layout, const std::vector<std::pair<const char*, const char*>>& names,
                     const GgufRestore& restore) {
  GgufTensors all;
  for (const auto& [stored, key] : names)
    all.push_back({fmt::format("blk.{{}}.{}", stored), fmt::format("model.layers.{{}}.{}", key), restore});
  add_names(layout, std::move(all));
}

void add_names(GgufLayout& layout, GgufTensors names) {
  change_names(layout, [names = std::move(names)](const PretrainedConfig&) { return names; });
}

void turn_rows(GgufLayout& layout) {
  change_names(layout, [](const PretrainedConfig& config) -> GgufTensors {
    const std::int64_t heads = config.integer("num_attention_heads");
    const std::int64_t kv_heads = config.maybe_integer("num_key_value_heads").value_or(heads);
    return {{"blk.{}.attn_q", "model.layers.{}.self_attn.q_proj", rotary_halves(heads)},
            {"blk.{}.attn_k", "model.layers.{}.self_attn.k_proj", rotary_halves(kv_heads)}};
  });
}

GgufLayout turning_gguf(std::string original_class, std::string architecture) {
  GgufLayout layout = llama_like_gguf(std::move(architecture), std::move(original_class));
  add_keys(layout, {{"rope.dimension_count", "head_dim"}, {"attention.key_length", "head_dim"}});
  add_config(layout, llama3_scaling);
  turn_rows(layout);
  return layout;
}

bool has_gguf_experts(const GgufInfo& file) { return file.integer("llama.expert_count").value_or(0) > 0; }
bool is_gguf_mistral(const GgufInfo& file) { return file.text("general.name") == "mistral"; }

GgufTensors gguf_experts(const std::string& mlp, const char* gate, const char* up, const char* down) {
  GgufTensors names;
  for (const auto& [stored, key] : {std::pair("gate", gate), std::pair("up", up), std::pair("down", down)}) {
    const std::string all = fmt::format("model.layers.{{}}.{}.experts", mlp);
    names.push_back({fmt::format("blk.{{}}.ffn_{}_exps", stored), fmt::format("{}.{}", all, key)});
    names.push_back({fmt::format("blk.{{}}.ffn_{}.{{}}", stored), fmt::format("{}.{{}}.{}", all, key)});
  }
  names.push_back({"blk.{}.ffn_gate_inp", fmt::format("model.layers.{{}}.{}.gate", mlp)});
  return names;
}

GgufTensors gguf_shared_expert(const std::string& expert) {
  GgufTensors names;
  for (const char* part : {"gate", "up", "down"}) {
    names.push_back({fmt::format("blk.{{}}.ffn_{}_shexp", part),
                     fmt::format("model.layers.{{}}.{}.{}_proj", expert, part)});
  }
  return names;
}

void add_expert_keys(GgufLayout& layout, const char* count, const char* used) {
  add_keys(layout, {{"expert_count", count},
                    {"expert_used_count", used},
                    {"expert_feed_forward_length", "moe_intermediate_size"}});
}

void add_deepseek_mixture(GgufLayout& layout, const char* count, const char* shared) {
  add_expert_keys(layout, count);
  add_keys(layout, {{"expert_shared_count", shared},
                    {"expert_group_count", "n_group"},
                    {"expert_group_used_count", "topk_group"},
                    {"leading_dense_block_count", "first_k_dense_replace"},
                    {"expert_weights_scale", "routed_scaling_factor"},
                    {"expert_weights_norm", "norm_topk_prob"}});
  add_names(layout, gguf_experts("mlp", "gate_proj", "up_proj", "down_proj"));
  add_names(layout, gguf_shared_expert("mlp.shared_experts"));
  add_layer_names(layout, {{"exp_probs_b.bias", "mlp.gate.e_score_correction_bias"}});
}

}  // namespace onnxport::models
