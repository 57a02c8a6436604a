// WavLM: wav2vec 2.0 with a gated bias of relative positions. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/wavlm/modeling_wavlm.py
#include <fmt/format.h>

#include <memory>
#include <utility>

#include "models/audio/common/speech_encoder.h"
#include "onnxport/error.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"

namespace onnxport::models {
namespace {

constexpr std::int64_t kGateParts = 4;  // numbers that are summed to one gate

/// Self-attention whose bias of positions each query scales. Keys: those of self-attention,
/// gru_rel_pos_linear, gru_rel_pos_const.
struct GatedAttention {
  std::string path;
  std::int64_t heads;
  std::shared_ptr<const nn::RelativeBias> bias;  // of all layers
  nn::SelfAttention attention;
  nn::Linear gates;
  Weight constant;

  GatedAttention(const Scope& s, const nn::SelfAttentionParameters& p,
                 std::shared_ptr<const nn::RelativeBias> shared)
      : path(s.path()),
        heads(p.heads),
        bias(std::move(shared)),
        attention(s, p),
        gates(s / "gru_rel_pos_linear", p.hidden_size / p.heads, 2 * kGateParts),
        constant(s.weight("gru_rel_pos_const", {1, p.heads, 1, 1})) {}

  // [B, L, H] -> [B, heads, L, 1]
  Value gate(Value x) const {
    const ModulePath at(x, path);
    const Value numbers = gates(nn::split_heads(x, heads));
    const Value parts = op::reshape(numbers, {numbers.dim(0), heads, numbers.dim(2), 2, kGateParts});
    const std::vector<Value> pair = op::chunk(op::sigmoid(op::sum(parts, 4)), 3, 2);
    const Value update = op::mul(pair[1], x.graph().weight(constant));
    return op::add(op::mul(pair[0], op::sub(update, 1.0)), 2.0);
  }

  Value operator()(Value x) const {
    const Value positions = (*bias)(x.graph(), x.dim(1));
    const Value scaled = op::mul(gate(x), positions);
    return attention(x, {.bias = scaled});
  }
};

nn::RelativeBiasParameters bias_parameters(const PretrainedConfig& c, std::int64_t heads) {
  const std::int64_t buckets = c.integer("num_buckets"), farthest = c.integer("max_bucket_distance");
  constexpr std::int64_t kMost = 1 << 20;
  // Half of the buckets of each direction hold one distance each.
  if (buckets < 4 || farthest <= buckets / 4 || farthest > kMost) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: num_buckets is {} and max_bucket_distance is {}, expected at least 4 "
                                  "buckets and a distance from num_buckets / 4 + 1 to {}",
                                  c.origin(), buckets, farthest, kMost));
  }
  return {.heads = heads, .rows = buckets, .buckets = buckets, .max_distance = farthest};
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  AdaptedSpeechConfig c(model.config());
  const nn::SelfAttentionParameters& p = c.encoder.layer.attention;
  const Scope base = model.scope().base_model("wavlm");
  const Scope first = base / "encoder" / "layers" / 0 / "attention";
  const auto bias = std::make_shared<const nn::RelativeBias>(first / "rel_attn_embed",
                                                             bias_parameters(model.config(), p.heads));
  c.encoder.adapter_width.reset();  // its layers have none
  c.encoder.make_attention = [&](const Scope& s, std::int64_t /*layer*/) {
    return GatedAttention(s, p, bias);
  };
  const std::vector<Value> states = speech_states(base, c, inputs["input_values"], c.layer_norm_eps);
  return build_adapted_speech_task(model, component.task, base, c, states);
}

}  // namespace

void register_wavlm(TasksManager& tasks) {
  tasks.register_model<SpeechOnnxConfig>(
      {.model_type = "wavlm",
       .tasks = {"feature-extraction", "automatic-speech-recognition", "audio-classification",
                 "audio-frame-classification", "audio-xvector"},
       .forward = forward,
       .ignorable_keys = speech_training_keys("wavlm")});
}

}  // namespace onnxport::models
