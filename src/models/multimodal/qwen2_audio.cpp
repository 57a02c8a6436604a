// Qwen2-Audio: Whisper's encoder, whose states are averaged in pairs and projected, in front of a language
// model. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/qwen2_audio/modeling_qwen2_audio.py
#include "models/audio/common/conformer.h"
#include "models/audio/common/whisper.h"
#include "models/multimodal/common/decoders/audio_text.h"
#include "onnxport/nn/basic.h"

namespace onnxport::models {
namespace {

PretrainedConfig language_config(const PretrainedConfig& c) { return c.sub("text_config", "qwen2"); }

PretrainedConfig audio_config(const PretrainedConfig& c) {
  return part_of_type(c, "audio_config", "qwen2_audio_encoder");
}

class Qwen2AudioOnnxConfig : public AudioTextOnnxConfig {
 public:
  using AudioTextOnnxConfig::AudioTextOnnxConfig;

 protected:
  AxesByName encoder_inputs() const override {
    const Axes sounds = {{0, "num_audios"}};
    return {{"input_features", sounds}, {"feature_attention_mask", sounds}};
  }
  AxesByName encoder_outputs() const override { return {{"audio_features", {{0, "num_audio_tokens"}}}}; }
  DummyInputGenerators encoder_dummies() const override {
    const WhisperEncoderConfig c(audio_config(config().unaccounted()));
    return {std::make_shared<const DummySoundGenerator>(
        c.features(), "input_features", DummySoundGenerator::Mask{.name = "feature_attention_mask"})};
  }
  PretrainedConfig text_config() const override { return language_config(config().unaccounted()); }
};

Value encode(const Inputs& inputs, const Model& model) {
  const PretrainedConfig& config = model.config();
  const PretrainedConfig audio = audio_config(config);
  audio.harmless({"scale_embedding", "num_hidden_layers", "pad_token_id"});  // the original does not use them
  const WhisperEncoderConfig c(audio);
  const Scope tower = model.scope() / "audio_tower";

  // The frames of a sound become half as many states, rounded up, and those half as many tokens, rounded
  // down.
  const Value frames = op::sum(op::cast(inputs["feature_attention_mask"], DType::i64), 1);
  const Value states = op::div(op::add(frames, 1.0), 2.0);
  const Value tokens = op::div(states, 2.0);
  const Value seen = first_frames(states, Dim(c.positions));
  const std::vector<Value> all = whisper_encoder_states(tower, c, inputs["input_features"],
                                                        {.padding = seen, .no_keys = op::NoKeys::uniform});
  const Value pooled = whisper_encoder_norm(tower, mean_of_pairs(all.back()));
  const Value real = first_frames(tokens, pooled.dim(1));
  const Value rows = real_rows(pooled, real, Dim::symbol("num_audio_tokens"));
  const std::int64_t width = language_config(config.unaccounted()).integer("hidden_size");
  return nn::Linear(model.scope() / "multi_modal_projector" / "linear", c.layer.hidden_size, width)(rows);
}

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                    const Component& component) {
  // For those who feed the files.
  model.config().harmless({"audio_token_index", "ignore_index", "vocab_size", "pad_token_id"});
  return forward_audio_text(tasks, inputs, model, component, language_config, encode);
}

}  // namespace

void register_qwen2_audio(TasksManager& tasks) {
  register_multimodal_decoder<Qwen2AudioOnnxConfig>(
      tasks,
      {.model_type = "qwen2_audio",
       .forward = bound(tasks, forward),
       .key_names = multimodal_key_names({"audio_tower", "multi_modal_projector"})},
      "audio-text-to-text");
}

}  // namespace onnxport::models
