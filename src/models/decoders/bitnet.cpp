// BitNet, with weights of floats. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/bitnet/modeling_bitnet.py
#include <string>
#include <utility>

#include "models/common/definition.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

// With a norm in front of the last projection.
struct GatedMlp {
  std::string path;
  nn::Linear gate_proj, up_proj, down_proj;
  nn::Activation activation;
  nn::Norm norm;

  GatedMlp(const Scope& s, const TextDecoderConfig& c)
      : path(s.path()),
        gate_proj(s / "gate_proj", c.hidden_size, c.intermediate_size, false),
        up_proj(s / "up_proj", c.hidden_size, c.intermediate_size, false),
        down_proj(s / "down_proj", c.intermediate_size, c.hidden_size, false),
        activation(c.hidden_act),
        norm(c.norm(s / "ffn_sub_norm", c.intermediate_size)) {}
  Value operator()(Value x) const {
    const ModulePath at(x, path);
    const Value gate = activation(gate_proj(x));
    const Value up = up_proj(x);
    return down_proj(norm(op::mul(gate, up)));
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const TextDecoderConfig c(model.config());
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    const Scope self = s / "self_attn";
    nn::CausalAttentionParts attention = c.attention(self, i);
    attention.output = [norm = c.norm(self / "attn_sub_norm"), output = attention.output](Value x) {
      return output(norm(x));
    };
    return c.block(s, std::move(attention), GatedMlp(s / "mlp", c));
  });
}

}  // namespace

void register_bitnet(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "bitnet",
       .tasks = nn::text_decoder_tasks({}),
       .forward = forward,
       .key_names = tied("model.embed_tokens", "lm_head")});
}

}  // namespace onnxport::models
