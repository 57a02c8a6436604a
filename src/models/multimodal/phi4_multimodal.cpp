// Phi-4 multimodal: an image as a whole and in crops, and sounds, in front of a Phi-3. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/phi4_multimodal/modeling_phi4_multimodal.py
#include <algorithm>

#include "models/multimodal/common/decoders/multimodal_decoder.h"
#include "models/multimodal/common/features/projector.h"
#include "models/multimodal/common/towers/phi4_audio.h"
#include "models/multimodal/common/towers/phi4_images.h"
#include "onnxport/index_ops.h"

namespace onnxport::models {
namespace {

PretrainedConfig language_config(const PretrainedConfig& c) { return c.as("phi3"); }
PretrainedConfig audio_part(const PretrainedConfig& c) {
  return c.sub("audio_config", "phi4_multimodal_audio");
}

// Inputs of the audio encoder for clients of rows: how many states of each sound are real, int64
// [num_sounds], and the projection, which depends on the prompt, int64 [1].
constexpr const char* kSoundSizes = "audio_sizes";
constexpr const char* kProjection = "audio_projection_mode";
constexpr std::int64_t kSoundAlone = 2, kSoundAndImage = 3;

/// The frames of a sound. With `several`, also the inputs that clients of rows give beside them, and every
/// second call has another sound, of half the length.
class DummyFramesGenerator : public DummyFloatInputGenerator {
 public:
  DummyFramesGenerator(const Phi4Audio& encoder, bool several) : encoder_(encoder), several_(several) {}
  bool supports_input(std::string_view name) const override {
    return name == "input_features" || name == kSoundSizes || name == kProjection;
  }
  TensorType type(std::string_view name, const DummyContext& context,
                  const DummyShapes& shapes) const override {
    const std::int64_t sounds = several_ && shapes.batch_size % 2 == 0 ? 2 : 1;
    if (name == kProjection) return {context.int_dtype, {1}};
    if (name == kSoundSizes) return {context.int_dtype, {sounds}};
    return {context.float_dtype, {sounds, frames(shapes), encoder_.bins}};
  }
  Tensor generate(std::string_view name, const DummyContext& context, const DummyShapes& shapes,
                  std::uint64_t seed) const override {
    if (name == "input_features") return DummyFloatInputGenerator::generate(name, context, shapes, seed);
    const std::vector<std::int64_t> shape = static_shape(type(name, context, shapes).shape).value();
    const std::int64_t states = *encoder_.states(frames(shapes)).constant();
    std::vector<std::int64_t> values = {states, (states + 1) / 2};
    if (name == kProjection) values = {shapes.batch_size % 3 == 0 ? kSoundAndImage : kSoundAlone};
    values.resize(static_cast<std::size_t>(shape.front()));
    return Tensor::from_ints(context.int_dtype, shape, values);
  }

 private:
  static std::int64_t frames(const DummyShapes& shapes) {
    constexpr std::int64_t kFrames = 300;  // more would show nothing else, but attention takes long
    return std::min(shapes.nb_max_frames, kFrames);
  }
  Phi4Audio encoder_;
  bool several_;
};

class Phi4MultimodalOnnxConfig : public MultimodalDecoderOnnxConfig {
 public:
  using MultimodalDecoderOnnxConfig::MultimodalDecoderOnnxConfig;
  ImageSizes image_sizes() const override { return {}; }
  Dim axis_length(std::string_view tensor, const std::string& symbol) const override {
    if (symbol != "num_audio_tokens" || of_rows())
      return MultimodalDecoderOnnxConfig::axis_length(tensor, symbol);
    return Phi4Audio(audio_part(config().unaccounted())).states(Dim::symbol("num_frames"));
  }

 protected:
  std::vector<std::string> encoders() const override { return {kVisionEncoder, kAudioEncoder}; }
  AxesByName encoder_inputs() const override {
    if (part() == kAudioEncoder && of_rows())
      return {{"input_features", {{0, "num_sounds"}, {1, "num_frames"}}},
              {kSoundSizes, {{0, "num_sounds"}}},
              {kProjection, {}}};
    if (part() == kAudioEncoder) return {{"input_features", {{1, "num_frames"}}}};
    const Axes images = {{0, "num_images"}}, crops_of_images = {{0, "num_images"}, {1, "num_crops"}},
               crops = {{0, "num_crops"}};
    return {{"pixel_values", of_rows() ? crops_of_images : crops},
            {"image_sizes", of_rows() ? images : Axes()},
            {"image_attention_mask", of_rows() ? crops_of_images : crops}};
  }
  AxesByName encoder_outputs() const override {
    if (part() == kAudioEncoder) return {{"audio_features", {{1, "num_audio_tokens"}}}};
    return {{"image_features", {{0, "num_image_tokens"}}}};
  }
  DummyInputGenerators encoder_dummies() const override {
    const PretrainedConfig c = config().unaccounted();
    if (part() == kAudioEncoder)
      return {std::make_shared<const DummyFramesGenerator>(Phi4Audio(audio_part(c)), of_rows())};
    return phi4_image_dummies(c, of_rows());
  }
  NormalizedConfig encoder_normalized() const override { return NormalizedTextConfig(text_config()); }
  PretrainedConfig text_config() const override { return language_config(config().unaccounted()); }
};

// With an image in the prompt, the original projects sounds by other layers. Only clients of rows tell.
Value audio_features(const Scope& s, const PretrainedConfig& whole, const Inputs& inputs) {
  const Phi4Audio encode(audio_part(whole));
  const auto projected = [&](Value states, const char* up, const char* down) {
    const TwoLayerProjector project(s, {.in = encode.hidden_size,
                                        .out = whole.unaccounted().integer("hidden_size"),
                                        .first = up,
                                        .second = down});
    return project(states);
  };
  const char *up_with_image = "up_proj_for_vision_speech", *down_with_image = "down_proj_for_vision_speech";
  const Value frames = inputs["input_features"], sizes = inputs.get(kSoundSizes);
  Value real;
  if (sizes) {
    const Value place = op::arange(frames.graph(), encode.states(frames.dim(1)));
    real = op::lt(place, op::unsqueeze(sizes, 1));
  }
  const Value states = encode(s / "encoder", frames, real);
  Value alone = projected(states, "up_proj_for_speech", "down_proj_for_speech");
  if (!sizes) {
    for (const char* of_images : {up_with_image, down_with_image}) s.ignore(of_images);
    return alone;
  }
  const Value with_image = projected(states, up_with_image, down_with_image);
  const Value beside_image = op::eq(inputs[kProjection], static_cast<double>(kSoundAndImage));
  const Value rows = op::flatten(op::where(beside_image, with_image, alone), 0, 1);
  const Value kept = op::nonzero(op::flatten(real, 0, 1), Dim::symbol("num_audio_tokens"));
  return op::embedding(rows, kept);
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
        if (hears) return {{"audio_features", audio_features(s / "audio_embed", c, in)}};
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
