// EnCodec. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/encodec/modeling_encodec.py
#include "models/audio/common/encodec.h"

namespace onnxport::models {
namespace {

class EncodecOnnxConfig : public CodecOnnxConfig {
 public:
  using CodecOnnxConfig::CodecOnnxConfig;

 protected:
  CodecSizes sizes() const override {
    const EncodecConfig c(config().unaccounted());
    return {.channels = c.seanet.channels, .codebooks = c.used, .codebook_size = c.codebook_size};
  }
  bool has_chunk_axis() const override { return true; }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const EncodecConfig c(model.config());
  if (component.part == "decoder")
    return {{"audio_values", encodec_samples(model.scope(), c, inputs["audio_codes"])}};
  return {{"audio_codes", encodec_codes(model.scope(), c, inputs["input_values"])}};
}

}  // namespace

void register_encodec(TasksManager& tasks) {
  // Codebooks of larger bandwidths, and statistics of training.
  tasks.register_model<EncodecOnnxConfig>({.model_type = "encodec",
                                           .tasks = {"feature-extraction"},
                                           .forward = forward,
                                           .ignorable_keys = {"quantizer.layers.*"}});
}

}  // namespace onnxport::models
