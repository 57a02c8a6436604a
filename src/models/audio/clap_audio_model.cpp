// CLAP's audio tower, with a projection if `architectures` asks for one. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/clap/modeling_clap.py
#include "models/audio/common/clap.h"
#include "models/multimodal/common/towers/clip.h"

namespace onnxport::models {
namespace {

class ClapAudioModelOnnxConfig : public OnnxConfig {
 public:
  using OnnxConfig::OnnxConfig;
  AxesByName inputs() const override { return {{"input_features", {{0, "batch_size"}, {2, kClapFrames}}}}; }
  AxesByName outputs() const override {
    const Axes rows = {{0, "batch_size"}};
    if (is_projected(config())) return {{"audio_embeds", rows}, {"last_hidden_state", rows}};
    return {{"last_hidden_state", rows}, {"pooler_output", rows}};
  }
  NormalizedConfig normalized_config() const override { return {config(), {}}; }
  DummyInputGenerators dummy_input_generators() const override {
    return {std::make_shared<const DummyClapAudioInputGenerator>(ClapAudioConfig(config().unaccounted()))};
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& /*component*/) {
  const PretrainedConfig& config = model.config();
  const Scope root = model.scope();
  const Scope encoder = root.base_model("audio_model") / "audio_encoder";
  const EncoderStates audio = encode_clap_audio(encoder, ClapAudioConfig(config), inputs["input_features"]);
  if (!is_projected(config)) {
    config.harmless({"projection_dim", "projection_hidden_act"});
    return {{"last_hidden_state", audio.hidden}, {"pooler_output", audio.pooled}};
  }
  const Value embeds = clap_projection(root / "audio_projection", config)(audio.pooled);
  return {{"audio_embeds", embeds}, {"last_hidden_state", audio.hidden}};
}

}  // namespace

void register_clap_audio_model(TasksManager& tasks) {
  tasks.register_model<ClapAudioModelOnnxConfig>({.model_type = "clap_audio_model",
                                                  .tasks = {"feature-extraction"},
                                                  .forward = forward,
                                                  .ignorable_keys = {"*.relative_position_index"}});
}

}  // namespace onnxport::models
