// Voxtral: Whisper's encoder, whose frames are joined in groups and projected, in front of a language model.
// Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/voxtral/modeling_voxtral.py
#include "models/audio/common/whisper.h"
#include "models/multimodal/common/decoders/audio_text.h"
#include "models/multimodal/common/features/projector.h"

namespace onnxport::models {
namespace {

// The class has defaults of its own for the language model, whatever its type.
PretrainedConfig language_config(const PretrainedConfig& c) {
  PretrainedConfig text = c.sub("text_config", "llama");
  constexpr std::pair<const char*, const char*> kDefaults[] = {
      {"vocab_size", "131072"},    {"hidden_size", "3072"},       {"intermediate_size", "8192"},
      {"num_hidden_layers", "30"}, {"num_key_value_heads", "8"},  {"max_position_embeddings", "131072"},
      {"rms_norm_eps", "1e-05"},   {"rope_theta", "100000000.0"}, {"head_dim", "128"}};
  const PretrainedConfig reader = text.unaccounted();
  for (const auto& [key, value] : kDefaults) {
    // Version 5 has theta in rope_parameters.
    const bool elsewhere = std::string_view(key) == "rope_theta" && reader.given("rope_parameters");
    if (!reader.given(key) && !elsewhere) text = text.settled(key, value);
  }
  return text;
}

struct Config {
  WhisperEncoderConfig encoder;
  std::int64_t joined;  ///< elements of the frames that are one token
  Dim tokens;           ///< of all chunks

  explicit Config(const PretrainedConfig& c)
      : Config(c, part_of_type(c, "audio_config", "voxtral_encoder")) {}

 private:
  Config(const PretrainedConfig& c, const PretrainedConfig& audio)
      : encoder(audio, {.width = "hidden_size",
                        .layers = "num_hidden_layers",
                        .heads = "num_attention_heads",
                        .inner = "intermediate_size"}),
        joined(encoder.layer.ffn_dim) {
    // The original computes a scale but does not use it. Heads divide the width.
    audio.harmless({"scale_embedding", "vocab_size", "head_dim", "pad_token_id"});
    const std::int64_t elements = encoder.positions * encoder.layer.hidden_size;
    check_multiple(c, "max_source_positions times hidden_size of audio_config", elements,
                   "its intermediate_size", joined);
    tokens = Dim::symbol("num_chunks") * Dim(elements / joined);
  }
};

class VoxtralOnnxConfig : public AudioTextOnnxConfig {
 public:
  using AudioTextOnnxConfig::AudioTextOnnxConfig;
  Dim axis_length(std::string_view tensor, const std::string& symbol) const override {
    if (symbol != "num_audio_tokens") return AudioTextOnnxConfig::axis_length(tensor, symbol);
    return Config(config().unaccounted()).tokens;
  }

 protected:
  AxesByName encoder_inputs() const override { return {{"audio_values", {{0, "num_chunks"}}}}; }
  AxesByName encoder_outputs() const override { return {{"audio_features", {{0, "num_audio_tokens"}}}}; }
  DummyInputGenerators encoder_dummies() const override {
    const Config c(config().unaccounted());
    return {std::make_shared<const DummySoundGenerator>(c.encoder.features(), "audio_values")};
  }
  PretrainedConfig text_config() const override { return language_config(config().unaccounted()); }
};

Value encode(const Inputs& inputs, const Model& model) {
  const PretrainedConfig& config = model.config();
  const Config c(config);
  const Scope tower = model.scope() / "audio_tower";
  const std::vector<Value> states = whisper_encoder_states(tower, c.encoder, inputs["audio_values"]);
  const Value frames = whisper_encoder_norm(tower, states.back());
  const TwoLayerProjector project(model.scope() / "multi_modal_projector",
                                  {.in = c.joined,
                                   .out = language_config(config.unaccounted()).integer("hidden_size"),
                                   .activation = config.string("projector_hidden_act"),
                                   .bias = false});
  return project(op::reshape(frames, {-1, c.joined}));
}

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                    const Component& component) {
  // For those who feed the files; copies of numbers of the language model.
  model.config().harmless({"audio_token_id", "hidden_size", "vocab_size"});
  return forward_audio_text(tasks, inputs, model, component, language_config, encode);
}

}  // namespace

void register_voxtral(TasksManager& tasks) {
  register_multimodal_decoder<VoxtralOnnxConfig>(
      tasks,
      {.model_type = "voxtral",
       .forward = bound(tasks, forward),
       .key_names = multimodal_key_names({"audio_tower", "multi_modal_projector"})},
      "audio-text-to-text");
}

}  // namespace onnxport::models
