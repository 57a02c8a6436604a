// ImageGPT. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/imagegpt/modeling_imagegpt.py
#include <cmath>
#include <limits>

#include "models/decoders/common/gpt.h"

namespace onnxport::models {
namespace {

struct Config : GptConfig {
  GptScale scale;
  double root_of_head_dim;
  bool older;

  explicit Config(const PretrainedConfig& c)
      : GptConfig(c),
        scale(c),
        root_of_head_dim(std::sqrt(static_cast<double>(sizes().head_dim))),
        older(c.transformers_major() < 5) {
    // Version 4 rounds it down, except in float32 of its own accord.
    const bool upcast = c.flag("reorder_and_upcast_attn");
    if (older && !upcast) root_of_head_dim = std::floor(root_of_head_dim);
    c.harmless({"tie_word_embeddings"});  // no task has the output layer
  }
  nn::RmsNorm norm(const Scope& s) const { return {s, n_embd, {.eps = eps}}; }
};

nn::Block make_block(const Scope& s, std::int64_t layer, const Config& c) {
  nn::CausalAttentionParts attention = gpt_attention(s / "attn", layer, c);
  attention.options.scale = c.scale(c.root_of_head_dim, layer);
  attention.mask = [older = c.older](const nn::DecoderPass& pass) {
    const double later =
        older ? lowest(pass.graph().float_dtype()) : -std::numeric_limits<double>::infinity();
    return masked_twice(pass, later);
  };
  return nn::PreNormBlock{.before_attention = c.norm(s / "ln_1"),
                          .attention = nn::CausalAttention(std::move(attention)),
                          .before_mlp = c.norm(s / "ln_2"),
                          .mlp = gpt_mlp(s / "mlp", c)};
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope(), s = root.base_model("transformer");
  const nn::DecoderStack decoder(
      s, "h", c.n_layer, [&](const Scope& layer, std::int64_t i) { return make_block(layer, i, c); },
      GptEmbeddings(s, c), c.norm(s / "ln_f"));
  if (component.task == "image-classification") {
    nn::DecoderPass pass(inputs, component.interface.states);
    const Value pooled = op::mean(decoder(pass), 1);
    return {{"logits", nn::Linear(root / "score", c.n_embd, model.config().num_labels(), false)(pooled)}};
  }
  return nn::build_text_decoder_task(component, inputs, root, {.decode = decoder});
}

}  // namespace

void register_imagegpt(TasksManager& tasks) {
  tasks.register_model<GptOnnxConfig>({.model_type = "imagegpt",
                                       .tasks = {"feature-extraction", "image-classification"},
                                       .forward = forward,
                                       .ignorable_keys = {"*.attn.bias", "*.attn.masked_bias", "lm_head.*"}});
}

}  // namespace onnxport::models
