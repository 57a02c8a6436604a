// UMT5: T5 whose layers all have a bias of relative distances. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/umt5/modeling_umt5.py
#include "models/common/definition.h"
#include "models/encoder_decoders/common/t5.h"
#include "onnxport/nn/attention.h"

namespace onnxport::models {
namespace {

T5SelfAttention self_attention(const Scope&, const T5Config& c, bool decoder) {
  return {.mask = [decoder](nn::DecoderPass& pass) { return t5_mask(pass, decoder); },
          .layer = [c, decoder](const Scope& s, std::int64_t number) -> T5SelfAttention::Layer {
            const Scope own = s / "SelfAttention";
            const nn::RelativeBias bias(own / "relative_attention_bias", c.relative_bias(decoder));
            const nn::CausalAttention attention = t5_attention(own, number, c);
            return [bias, attention](Value x, nn::DecoderPass& pass, op::AttentionMask mask) {
              mask.bias = bias(x.graph(), pass.length(), pass.past_length());
              return attention(x, pass, mask);
            };
          }};
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  T5Config c(model.config());
  // Transformers 5 always scales.
  if (model.config().transformers_major() >= 5) c.scale_hidden = true;
  return forward_t5_like(inputs, model, component, c, {.self_attention = self_attention});
}

}  // namespace

void register_umt5(TasksManager& tasks) {
  register_t5_like(tasks, {.model_type = "umt5", .forward = forward});
}

}  // namespace onnxport::models
