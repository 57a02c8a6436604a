// CLAP: a text tower and an audio tower. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/clap/modeling_clap.py
#include "models/audio/common/clap.h"
#include "models/multimodal/common/towers/split_towers.h"
#include "models/text_encoders/common/roberta.h"
#include "onnxport/nn/basic.h"

namespace onnxport::models {
namespace {

PretrainedConfig text_config(const PretrainedConfig& c) { return c.sub("text_config", "clap_text_model"); }
PretrainedConfig audio_config(const PretrainedConfig& c) { return c.sub("audio_config", "clap_audio_model"); }

class ClapOnnxConfig : public SplitTowersOnnxConfig {
 public:
  using SplitTowersOnnxConfig::SplitTowersOnnxConfig;
  AxesByName inputs() const override {
    const Axes text = {{0, "text_batch_size"}, {1, "sequence_length"}};
    return of_part({{"input_features", {{0, "audio_batch_size"}, {2, kClapFrames}}},
                    {"input_ids", text},
                    {"attention_mask", text}});
  }
  AxesByName outputs() const override {
    const std::string text = "text_batch_size", audio = "audio_batch_size";
    return of_part({{"logits_per_audio", {{0, audio}, {1, text}}},
                    {"logits_per_text", {{0, text}, {1, audio}}},
                    {"text_embeds", {{0, text}}},
                    {"audio_embeds", {{0, audio}}}});
  }
  NormalizedConfig normalized_config() const override {
    return NormalizedTextConfig(text_config(config().unaccounted()));
  }
  DummyInputGenerators dummy_input_generators() const override {
    const ClapAudioConfig audio(audio_config(config().unaccounted()));
    return {std::make_shared<const DummyClapAudioInputGenerator>(audio),
            std::make_shared<const DummyTextInputGenerator>()};
  }

 protected:
  std::vector<std::string> towers() const override { return {kTextModel, kAudioModel}; }
};

Value text_embeds(const Inputs& inputs, const Model& model) {
  const PretrainedConfig text = text_config(model.config());
  const TextEncoderConfig c(text);
  const Scope root = model.scope(), tower = root / "text_model";
  const Value hidden = Roberta(tower, c, text.integer("pad_token_id"))(inputs);
  const Value pooled = nn::Pooler(tower / "pooler" / "dense", c.hidden_size)(hidden);
  return clap_projection(root / "text_projection", text)(pooled);
}

Value audio_embeds(const Inputs& inputs, const Model& model) {
  const PretrainedConfig audio = audio_config(model.config());
  const Scope root = model.scope(), encoder = root / "audio_model" / "audio_encoder";
  const EncoderStates states = encode_clap_audio(encoder, ClapAudioConfig(audio), inputs["input_features"]);
  return clap_projection(root / "audio_projection", audio)(states.pooled);
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  // Both are also in the towers. The rest concerns training.
  model.config().harmless({"projection_dim", "projection_hidden_act", "hidden_size", "num_hidden_layers",
                           "logit_scale_init_value"});
  leave_out_other_tower(model.config(), component);
  if (component.part == kTextModel) return {{"text_embeds", text_embeds(inputs, model)}};
  if (component.part == kAudioModel) return {{"audio_embeds", audio_embeds(inputs, model)}};
  const Value audio = op::normalize(audio_embeds(inputs, model), 1);
  const Value text = op::normalize(text_embeds(inputs, model), 1);
  const auto logits = [&](Value rows, Value columns, const char* scale) {
    const Value cosines = op::matmul(rows, op::transpose(columns, 0, 1));
    return op::mul(cosines, op::exp(rows.graph().weight(model.scope().weight(scale, {}))));
  };
  const Value per_audio = logits(audio, text, "logit_scale_a");
  const Value per_text = logits(text, audio, "logit_scale_t");
  return {{"logits_per_audio", per_audio},
          {"logits_per_text", per_text},
          {"text_embeds", text},
          {"audio_embeds", audio}};
}

}  // namespace

void register_clap(TasksManager& tasks) {
  tasks.register_model<ClapOnnxConfig>(
      {.model_type = "clap",
       .tasks = {"feature-extraction"},
       .forward = forward,
       .ignorable_keys = {"*.relative_position_index", "text_model.embeddings.position_ids",
                          "text_model.embeddings.token_type_ids"}});
}

}  // namespace onnxport::models
