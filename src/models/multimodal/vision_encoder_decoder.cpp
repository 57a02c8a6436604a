// An image encoder and a text decoder of other types. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/vision_encoder_decoder/modeling_vision_encoder_decoder.py
#include "models/encoder_decoders/common/encoder_decoder.h"

namespace onnxport::models {
namespace {

class VisionEncoderDecoderOnnxConfig : public EncoderDecoderBaseOnnxConfig {
 public:
  VisionEncoderDecoderOnnxConfig(PretrainedConfig config, std::string task, OnnxConfigOptions options)
      : EncoderDecoderBaseOnnxConfig(std::move(config), std::move(task), std::move(options),
                                     Role::vision_tower) {}
  bool has_encoder_mask() const override { return false; }
  AxesByName outputs() const override {
    if (behavior() == ConfigBehavior::encoder) return {{"last_hidden_state", {{0, "batch_size"}}}};
    return EncoderDecoderBaseOnnxConfig::outputs();
  }

 protected:
  AxesByName encoder_inputs() const override { return encoder().inputs(); }
};

}  // namespace

void register_vision_encoder_decoder(TasksManager& tasks) {
  tasks.register_model<VisionEncoderDecoderOnnxConfig>(
      encoder_decoder(tasks, "vision-encoder-decoder", "image-to-text", Role::vision_tower));
}

}  // namespace onnxport::models
