// Gemma 3n: a MobileNetV5 and an encoder of sounds in front of a language model whose layers look at the
// tokens, too. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/gemma3n/modeling_gemma3n.py
#include <fmt/format.h>

#include <cmath>

#include "models/decoders/common/gemma3n.h"
#include "models/multimodal/common/decoders/audio_text.h"
#include "models/multimodal/common/decoders/layer_inputs.h"
#include "models/multimodal/common/towers/gemma3n_audio.h"
#include "models/timm/common/mobilenetv5.h"
#include "onnxport/error.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

PretrainedConfig language_config(const PretrainedConfig& c) { return c.sub("text_config", "gemma3n_text"); }
PretrainedConfig vision_part(const PretrainedConfig& c) { return c.sub("vision_config", "gemma3n_vision"); }
PretrainedConfig audio_part(const PretrainedConfig& c) { return c.sub("audio_config", "gemma3n_audio"); }

class Gemma3nOnnxConfig : public LayerInputsOnnxConfig {
 public:
  using LayerInputsOnnxConfig::LayerInputsOnnxConfig;
  double atol_for_validation() const override { return 2e-5; }

 protected:
  std::vector<std::string> encoders() const override { return {kVisionEncoder, kAudioEncoder}; }
  AxesByName encoder_inputs() const override {
    if (part() == kVisionEncoder) return {{"pixel_values", {{0, "num_images"}}}};
    const Axes frames = {{0, "batch_size"}, {1, "num_frames"}};
    return {{"input_features", frames}, {"input_features_mask", frames}};
  }
  AxesByName encoder_outputs() const override {
    if (part() == kVisionEncoder) return {{"image_features", {{0, "num_images"}}}};
    return {{"audio_features", {{0, "batch_size"}}}};
  }
  DummyInputGenerators encoder_dummies() const override {
    const PretrainedConfig c = config().unaccounted();
    if (part() == kVisionEncoder) return {std::make_shared<const DummyVisionInputGenerator>()};
    const Gemma3nAudio audio(audio_part(c));
    // More tokens than the processor gives a sound do not fit.
    const std::int64_t per_token = audio.strides[0][0] * audio.strides[1][0] * audio.reduction;
    const std::int64_t frames =
        std::min<std::int64_t>(300, c.integer("audio_soft_tokens_per_image") * per_token);
    return {std::make_shared<const DummySoundGenerator>(
        AudioFeatures{.size = audio.bins, .frames = frames, .any_frames = true}, "input_features",
        DummySoundGenerator::Mask{.name = "input_features_mask", .dtype = DType::boolean})};
  }
  NormalizedConfig encoder_normalized() const override {
    const PretrainedConfig c = config().unaccounted();
    const MobileNetV5 tower(vision_part(c));
    return NormalizedVisionConfig(c.with("image_size", std::to_string(tower.image_size())));
  }
  PretrainedConfig text_config() const override { return language_config(config().unaccounted()); }
  LayerInputs layer_inputs() const override {
    const Gemma3nConfig c(text_config());
    return {.layers = c.num_hidden_layers, .width = c.layer_width};
  }
};

/// From a tower, or from a table of tokens of its own, to the language model.
struct Embedder {
  Scope s;
  std::int64_t offset, tokens, in, out;
  double eps;

  Embedder(const Scope& s, const PretrainedConfig& c, std::int64_t out)
      : s(s),
        offset(c.integer("vocab_offset")),
        tokens(c.integer("vocab_size")),
        in(c.integer("hidden_size")),
        out(out),
        eps(c.real("rms_norm_eps")) {}

  /// [..., in] -> [..., out]
  Value soft(Value x) const { return projected("soft_embedding_norm", x); }
  /// Numbers of tokens of its table, from 0.
  Value hard(Value number) const {
    const ModulePath at(number, s.path());
    return projected("hard_embedding_norm", nn::Embedding(s / "embedding", tokens, in)(number));
  }
  /// The vectors x [B, S, out], with those of the tokens from `offset` on, and before `end` if that is given.
  Value over(Value x, Value input_ids, std::optional<std::int64_t> end) const {
    const ModulePath at(x, s.path());
    const Value number = op::sub(input_ids, static_cast<double>(offset));
    Value own = op::ge(number, op::scalar(x.graph(), 0, DType::i64));
    if (end) own = op::logical_and(own, op::lt(number, static_cast<double>(*end - offset)));
    const Value others = op::masked_fill(number, op::logical_not(own), static_cast<double>(tokens - 1));
    const Value made = hard(others);
    return op::where(op::unsqueeze(own, 2), made, x);
  }

 private:
  Value projected(const char* norm, Value x) const {
    const ModulePath at(x, s.path());
    const Value normed = nn::RmsNorm(s / norm, in, {.eps = eps})(x);
    return op::rms_norm(nn::Linear(s / "embedding_projection", in, out, false)(normed), {}, eps);
  }
};

Value image_features(const Model& model, const Embedder& embed, Value pixels) {
  const PretrainedConfig& config = model.config();
  const PretrainedConfig c = vision_part(config);
  c.harmless({"do_pooling", "label_names", "num_classes"});
  const MobileNetV5 tower(c);
  const std::int64_t tokens = config.integer("vision_soft_tokens_per_image");
  if (embed.in != MobileNetV5::kFeatures || tokens != tower.resolution * tower.resolution) {
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format("{}: vision_config.hidden_size is {} and vision_soft_tokens_per_image is {}; "
                    "the tower gives {} and {}",
                    config.origin(), embed.in, tokens, MobileNetV5::kFeatures,
                    tower.resolution * tower.resolution));
  }
  const Value image = tower(model.scope() / "vision_tower" / "timm_model", pixels);
  const Value patches = nn::image_to_tokens(image);
  return embed.soft(op::mul(patches, std::sqrt(static_cast<double>(embed.in))));
}

// Always the same number of tokens: padding is the last token of the vocabulary.
Value audio_features(const Model& model, const Embedder& embed, const Inputs& inputs) {
  const PretrainedConfig& config = model.config();
  const std::int64_t tokens = config.integer("audio_soft_tokens_per_image");
  const std::int64_t last = language_config(config.unaccounted()).integer("vocab_size") - 1 - embed.offset;
  if (last < 0 || last >= embed.tokens) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: the last token of the vocabulary is none of the {} of audio_config",
                                  config.origin(), embed.tokens));
  }
  const Gemma3nAudio encode(audio_part(config));
  const UsmFrames sounds =
      encode(model.scope() / "audio_tower", {inputs["input_features"], inputs["input_features_mask"]});
  const std::int64_t number[] = {last};
  Graph& graph = sounds.x.graph();
  const Value padding = embed.hard(graph.weight(Weight::from_ints({1, 1}, number)));
  const Value soft = embed.soft(sounds.x);
  const Value x = op::where(op::unsqueeze(sounds.real, 2), soft, padding);
  const Dim missing = Dim(tokens) - x.dim(1);
  return op::concat({x, op::expand(padding, {x.dim(0), missing, embed.out})}, 1);
}

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                    const Component& component) {
  const PretrainedConfig& c = model.config();
  c.harmless(
      {"boi_token_id", "eoi_token_id", "boa_token_id", "eoa_token_id", "image_token_id", "audio_token_id"});
  const std::int64_t width = language_config(c.unaccounted()).integer("hidden_size");
  // A component accounts for its own part alone.
  if (component.part != kVisionEncoder) c.harmless({"vision_soft_tokens_per_image"});
  if (component.part != kAudioEncoder) c.harmless({"audio_soft_tokens_per_image"});
  const auto seen_by = [&](const char* part) { return component.part == part ? c : c.unaccounted(); };
  const Embedder images(model.scope() / "embed_vision", vision_part(seen_by(kVisionEncoder)), width);
  const Embedder sounds(model.scope() / "embed_audio", audio_part(seen_by(kAudioEncoder)), width);
  NamedValues outputs = forward_multimodal_decoder(
      tasks, inputs, model, component, language_config,
      [&](const Inputs& in, const Component& of) -> NamedValues {
        if (of.part == kAudioEncoder) return {{"audio_features", audio_features(model, sounds, in)}};
        return {{"image_features", image_features(model, images, in["pixel_values"])}};
      },
      "language_model", LogitsOf::language_model);
  if (component.part == kEmbedTokens) {
    Value& embeds = outputs.front().second;
    embeds = images.over(embeds, inputs["input_ids"], sounds.offset);
    embeds = sounds.over(embeds, inputs["input_ids"], {});
  }
  return outputs;
}

}  // namespace

void register_gemma3n(TasksManager& tasks) {
  register_multimodal_decoder<Gemma3nOnnxConfig>(
      tasks, {.model_type = "gemma3n",
              .forward = bound(tasks, forward),
              .key_names = multimodal_key_names({"audio_tower", "embed_vision", "embed_audio"})});
}

}  // namespace onnxport::models
