// Gemma. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/gemma/modeling_gemma.py
#include "models/decoders/common/gemma.h"

#include <cmath>

#include "models/common/definition.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  TextDecoderConfig c = gemma_config(config);
  c.hidden_act = config.string("hidden_act");
  // Transformers 5 takes the name in old files for the approximation that the models were trained with.
  if (c.hidden_act == "gelu" && config.transformers_major() >= 5) c.hidden_act = "gelu_pytorch_tanh";
  config.harmless({"hidden_activation"});  // the original's module reads only the other
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    return c.block(s, c.attention(s / "self_attn", i), c.mlp(s / "mlp"));
  });
}

}  // namespace

GgufLayout gguf_gemma() {
  GgufLayout layout = llama_like_gguf("gemma", "GemmaForCausalLM");
  add_keys(layout, {{"attention.key_length", "head_dim"}});
  change_names(layout, [](const PretrainedConfig&) -> GgufTensors {
    return {{"output_norm", "model.norm", minus_one},
            {"blk.{}.attn_norm", "model.layers.{}.input_layernorm", minus_one},
            {"blk.{}.ffn_norm", "model.layers.{}.post_attention_layernorm", minus_one}};
  });
  return layout;
}

TextDecoderConfig gemma_config(const PretrainedConfig& config) {
  TextDecoderConfig c(config);
  c.tie_word_embeddings = config.flag("tie_word_embeddings", true);
  c.norm_parameters.offset = 1;
  c.embedding_scale = std::sqrt(static_cast<double>(c.hidden_size));
  return c;
}

TextDecoderConfig gemma2_config(const PretrainedConfig& config) {
  TextDecoderConfig c = gemma_config(config);
  c.hidden_act = config.string("hidden_activation");
  c.final_softcap = config.maybe_real("final_logit_softcapping").value_or(0);
  return c;
}

nn::Block gemma2_block(const TextDecoderConfig& c, const Scope& s, nn::CausalAttentionParts attention) {
  return nn::SandwichBlock{.before_attention = c.norm(s / "input_layernorm"),
                           .attention = nn::CausalAttention(std::move(attention)),
                           .after_attention = c.norm(s / "post_attention_layernorm"),
                           .before_mlp = c.norm(s / "pre_feedforward_layernorm"),
                           .mlp = c.mlp(s / "mlp"),
                           .after_mlp = c.norm(s / "post_feedforward_layernorm")};
}

GgufLayout gguf_later_gemma(std::string architecture, std::string original_class, std::int64_t large) {
  GgufLayout layout = gguf_gemma();
  layout.architecture = std::move(architecture);
  layout.original_class = std::move(original_class);
  add_keys(layout, {{"attention.sliding_window", "sliding_window"},
                    {"attn_logit_softcapping", "attn_logit_softcapping"},
                    {"final_logit_softcapping", "final_logit_softcapping"}});
  change_names(layout, [](const PretrainedConfig&) -> GgufTensors {
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

void register_gemma(TasksManager& tasks) {
  tasks.register_model<TextDecoderOnnxConfig>({.model_type = "gemma",
                                               .tasks = nn::text_decoder_tasks(),
                                               .forward = forward,
                                               .key_names = tied("model.embed_tokens", "lm_head"),
                                               .gguf = gguf_gemma()});
}

}  // namespace onnxport::models
