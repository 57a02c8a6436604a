// Phi-3. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/phi3/modeling_phi3.py
#include "models/definition.h"
#include "models/gguf.h"

namespace onnxport::models {
namespace {

class Phi3OnnxConfig : public TextDecoderWithPositionIdsOnnxConfig {
 public:
  using TextDecoderWithPositionIdsOnnxConfig::TextDecoderWithPositionIdsOnnxConfig;
  std::string min_transformers_version() const override { return "4.41.0"; }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  TextDecoderConfig c(model.config());
  c.attention_bias = false;  // no key of this class, though files may have it
  nn::DecoderParameters decoder = c.decoder();
  decoder.qkv = [sizes = c.heads](const Scope& s) {
    const std::int64_t rows = (sizes.heads + 2 * sizes.kv_heads) * sizes.head_dim;
    const nn::Linear fused(s / "qkv_proj", sizes.hidden_size, rows, false);
    return nn::QkvProjection::fused(fused, sizes, nn::FusedLayout::stacked);
  };
  if (const auto window = model.config().maybe_integer("sliding_window"))
    TextDecoderConfig::slide(decoder, *window);
  return forward_text_decoder(inputs, model, component, c, decoder);
}

}  // namespace

void register_phi3(TasksManager& tasks) {
  tasks.register_model<Phi3OnnxConfig>(
      {.model_type = "phi3", .tasks = nn::text_decoder_tasks(), .forward = forward, .gguf = gguf_phi3()});
}

}  // namespace onnxport::models
