// Phi-4 multimodal: an image as a whole and in crops, and sounds, in front of a Phi-3. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/phi4_multimodal/modeling_phi4_multimodal.py
#include <algorithm>

#include "models/multimodal/common/decoders/multimodal_decoder.h"
#include "models/multimodal/common/features/projector.h"
#include "models/multimodal/common/towers/phi4_audio.h"
#include "models/multimodal/common/towers/phi4_images.h"

namespace onnxport::models {
namespace {

PretrainedConfig language_config(const PretrainedConfig& c) { return c.as("phi3"); }
PretrainedConfig audio_part(const PretrainedConfig& c) {
  return c.sub("audio_config", "phi4_multimodal_audio");
}

/// The frames of one sound.
class DummyFramesGenerator : public DummyFloatInputGenerator {
 public:
  explicit DummyFramesGenerator(std::int64_t bins) : bins_(bins) {}
  bool supports_input(std::string_view name) const override { return name == "input_features"; }
  TensorType type(std::string_view /*name*/, const DummyContext& context,
                  const DummyShapes& shapes) const override {
    constexpr std::int64_t kFrames = 300;  // more would show nothing else, but attention takes long
    return {context.float_dtype, {1, std::min(shapes.nb_max_frames, kFrames), bins_}};
  }

 private:
  std::int64_t bins_;
};

class Phi4MultimodalOnnxConfig : public MultimodalDecoderOnnxConfig {
 public:
  using MultimodalDecoderOnnxConfig::MultimodalDecoderOnnxConfig;
  ImageSizes image_sizes() const override { return {}; }
  Dim axis_length(std::string_view tensor, const std::string& symbol) const override {
    if (symbol != "num_audio_tokens") return MultimodalDecoderOnnxConfig::axis_length(tensor, symbol);
    return Phi4Audio(audio_part(config().unaccounted())).states(Dim::symbol("num_frames"));
  }

 protected:
  std::vector<std::string> encoders() const override { return {kVisionEncoder, kAudioEncoder}; }
  AxesByName encoder_inputs() const override {
    if (part() == kAudioEncoder) return {{"input_features", {{1, "num_frames"}}}};
    return {{"pixel_values", {{0, "num_crops"}}},
            {"image_sizes", {}},
            {"image_attention_mask", {{0, "num_crops"}}}};
  }
  AxesByName encoder_outputs() const override {
    if (part() == kAudioEncoder) return {{"audio_features", {{1, "num_audio_tokens"}}}};
    return {{"image_features", {{0, "num_image_tokens"}}}};
  }
  DummyInputGenerators encoder_dummies() const override {
    const PretrainedConfig c = config().unaccounted();
    if (part() == kAudioEncoder)
      return {std::make_shared<const DummyFramesGenerator>(Phi4Audio(audio_part(c)).bins)};
    return phi4_image_dummies(c);
  }
  NormalizedConfig encoder_normalized() const override { return NormalizedTextConfig(text_config()); }
  PretrainedConfig text_config() const override { return language_config(config().unaccounted()); }
};

// The projection for prompts without images: with one, the original uses another.
Value audio_features(const Scope& s, const PretrainedConfig& whole, Value features) {
  const Phi4Audio encode(audio_part(whole));
  for (const char* of_images : {"up_proj_for_vision_speech", "down_proj_for_vision_speech"})
    s.ignore(of_images);
  const TwoLayerProjector project(s, {.in = encode.hidden_size,
                                      .out = whole.unaccounted().integer("hidden_size"),
                                      .first = "up_proj_for_speech",
                                      .second = "down_proj_for_speech"});
  return project(encode(s / "encoder", features));
}

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                    const Component& component) {
  const PretrainedConfig& c = model.config();
  const Scope s = model.scope() / "model" / "embed_tokens_extend";
  const bool hears = component.part == kAudioEncoder, sees = component.part == kVisionEncoder;
  if (hears || sees) {
    leave_other_keys(c, hears ? "audio_config" : "vision_config");
  } else {
    c.harmless({"vision_config", "audio_config"});
  }
  if (model.adapters().empty() && model.has_file("speech-lora/adapter_config.json"))
    model.add_notice(
        "the adapters vision-lora and speech-lora are left out, as in the original, until they are "
        "loaded: --adapter merges one of them");
  return forward_multimodal_decoder(
      tasks, inputs, model, component, language_config,
      [&](const Inputs& in, const Component&) -> NamedValues {
        if (hears) return {{"audio_features", audio_features(s / "audio_embed", c, in["input_features"])}};
        return {{"image_features", phi4_image_features(s / "image_embed", c, in)}};
      },
      "", LogitsOf::language_model);
}

}  // namespace

void register_phi4_multimodal(TasksManager& tasks) {
  register_multimodal_decoder<Phi4MultimodalOnnxConfig>(tasks,
                                                        {.model_type = "phi4_multimodal",
                                                         .forward = bound(tasks, forward),
                                                         .key_names = tied("model.embed_tokens", "lm_head")});
}

}  // namespace onnxport::models
