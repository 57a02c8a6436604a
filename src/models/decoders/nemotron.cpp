// Nemotron. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/nemotron/modeling_nemotron.py
#include <string>

#include "models/common/definition.h"
#include "models/decoders/common/gguf_llama.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

Weight plus_one(const Weight& weight) {
  const double one = 1;
  return weight.cast(DType::f32).add(Weight::from_doubles(DType::f32, {}, {&one, 1}));
}

// LayerNorm with weights around 0.
struct LayerNorm1P {
  std::string path;
  Weight weight, bias;
  double eps;

  LayerNorm1P(const Scope& s, std::int64_t width, double norm_eps)
      : path(s.path()),
        weight(plus_one(s.weight("weight", {width}))),
        bias(s.weight("bias", {width})),
        eps(norm_eps) {}
  Value operator()(Value x) const {
    const ModulePath at(x, path);
    const Value scale = x.graph().weight(weight);
    const Value shift = x.graph().weight(bias);
    return op::layer_norm(x, scale, shift, eps);
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  TextDecoderConfig c(config);
  const double eps = config.real("norm_eps");
  c.make_norm = [eps](const Scope& s, std::int64_t width) { return LayerNorm1P(s, width, eps); };
  c.add_masks_in_version_4(config);
  const bool mlp_bias = config.flag("mlp_bias", false);
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    return c.block(s, c.attention(s / "self_attn", i), c.plain_mlp(s / "mlp", mlp_bias));
  });
}

GgufLayout gguf() {
  GgufLayout layout = llama_like_gguf("nemotron", "NemotronForCausalLM");
  add_keys(layout, {{"attention.layer_norm_epsilon", "norm_eps"}, {"attention.key_length", "head_dim"}});
  add_config(layout, partial_rotary);
  const GgufRestore restore = [](const Weight& w) { return w.name().ends_with(".bias") ? w : minus_one(w); };
  change_names(layout, [restore](const PretrainedConfig&) -> GgufTensors {
    return {{"output_norm", "model.norm", restore},
            {"blk.{}.attn_norm", "model.layers.{}.input_layernorm", restore},
            {"blk.{}.ffn_norm", "model.layers.{}.post_attention_layernorm", restore}};
  });
  return layout;
}

}  // namespace

void register_nemotron(TasksManager& tasks) {
  tasks.register_model<TextDecoderOnnxConfig>({.model_type = "nemotron",
                                               .tasks = nn::text_decoder_tasks({}),
                                               .forward = forward,
                                               .key_names = tied("model.embed_tokens", "lm_head"),
                                               .gguf = gguf()});
}

}  // namespace onnxport::models
