// Gemma 4: patches of images of any shape, and sounds, in front of a language model whose layers look at the
// tokens, too. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/gemma4/modeling_gemma4.py
#include "models/decoders/common/gemma4.h"
#include "models/multimodal/common/decoders/layer_inputs.h"
#include "models/multimodal/common/decoders/multimodal_decoder.h"
#include "models/multimodal/common/towers/gemma4_towers.h"

namespace onnxport::models {
namespace {

PretrainedConfig language_config(const PretrainedConfig& c) { return c.sub("text_config", "gemma4_text"); }
PretrainedConfig vision_part(const PretrainedConfig& c) { return c.sub("vision_config", "gemma4_vision"); }
PretrainedConfig audio_part(const PretrainedConfig& c) { return c.sub("audio_config", "gemma4_audio"); }

class Gemma4OnnxConfig : public LayerInputsOnnxConfig {
 public:
  using LayerInputsOnnxConfig::LayerInputsOnnxConfig;
  double atol_for_validation() const override { return 2e-5; }

 protected:
  std::vector<std::string> encoders() const override {
    const PretrainedConfig c = config().unaccounted();
    std::vector<std::string> parts;
    if (c.has("vision_config")) parts.emplace_back(kVisionEncoder);
    if (c.has("audio_config")) parts.emplace_back(kAudioEncoder);
    return parts;
  }
  AxesByName encoder_inputs() const override {
    return part() == kAudioEncoder ? gemma4_audio_inputs() : gemma4_image_inputs();
  }
  AxesByName encoder_outputs() const override {
    return part() == kAudioEncoder ? gemma4_audio_outputs() : gemma4_image_outputs();
  }
  DummyInputGenerators encoder_dummies() const override {
    const PretrainedConfig c = config().unaccounted();
    return part() == kAudioEncoder ? gemma4_audio_dummies(audio_part(c))
                                   : gemma4_image_dummies(vision_part(c));
  }
  PretrainedConfig text_config() const override { return language_config(config().unaccounted()); }
  LayerInputs layer_inputs() const override {
    const Gemma4Config c(text_config());
    return {.layers = c.num_hidden_layers, .width = c.token_width};
  }
};

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                    const Component& component) {
  const PretrainedConfig& c = model.config();
  if (component.part == kEmbedding) {
    Component tokens = component;
    tokens.part = kEmbedTokens;
    return embed_with_features(c, inputs, forward(tasks, inputs, model, tokens));
  }
  c.harmless({"boi_token_id", "eoi_token_id", "boa_token_id", "eoa_token_index"});
  const std::int64_t width = language_config(c.unaccounted()).integer("hidden_size");
  Inputs given = inputs;
  if (component.part != kEmbedTokens) {
    c.harmless({"image_token_id", "video_token_id", "audio_token_id"});
  } else {
    const std::int64_t pad = language_config(c).integer("pad_token_id");
    given = inputs.with("input_ids", without_media_tokens(c, inputs["input_ids"], pad));
  }
  return forward_multimodal_decoder(
      tasks, given, model, component, language_config,
      [&](const Inputs& in, const Component& of) -> NamedValues {
        if (of.part == kAudioEncoder)
          return {{"audio_features", gemma4_audio_features(model.scope(), audio_part(c), in, width)}};
        return {{"image_features", gemma4_image_features(model.scope(), vision_part(c), in, width)}};
      },
      "language_model", LogitsOf::language_model);
}

}  // namespace

void register_gemma4(TasksManager& tasks) {
  register_multimodal_decoder<Gemma4OnnxConfig>(
      tasks, {.model_type = "gemma4",
              .forward = bound(tasks, forward),
              .key_names = multimodal_key_names({"audio_tower", "embed_vision", "embed_audio"})});
}

}  // namespace onnxport::models
