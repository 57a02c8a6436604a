// CLAP: a text tower and an audio tower. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/clap/modeling_clap.py
#include "models/audio/common/clap.h"
#include "models/text_encoders/common/roberta.h"
#include "onnxport/nn/basic.h"
#include "onnxport/plan.h"

namespace onnxport::models {
namespace {

constexpr const char* kTextModel = "text_model";
constexpr const char* kAudioModel = "audio_model";

PretrainedConfig text_config(const PretrainedConfig& c) { return c.sub("text_config", "clap_text_model"); }
PretrainedConfig audio_config(const PretrainedConfig& c) { return c.sub("audio_config", "clap_audio_model"); }

class ClapOnnxConfig : public OnnxConfig {
 public:
  explicit ClapOnnxConfig(PretrainedConfig config, std::string task, OnnxConfigOptions options,
                          std::string part = {})
      : OnnxConfig(std::move(config), std::move(task), std::move(options)), part_(std::move(part)) {}

  std::string part() const override { return part_; }
  std::vector<std::string> variants() const override { return {"default", "split"}; }
  void describe(ExportPlan& plan, const PlanRequest& request) const override {
    if (request.variant != "split") return OnnxConfig::describe(plan, request);
    for (const char* part : {kTextModel, kAudioModel}) {
      const ClapOnnxConfig described(config(), task(), options(), part);
      plan.components.push_back(described.component(part, request.shapes, request.dynamic_axes));
    }
  }
  AxesByName inputs() const override {
    const Axes text = {{0, rows("text_batch_size")}, {1, "sequence_length"}};
    const std::pair<std::string, Axes> audio = {"input_features",
                                                {{0, rows("audio_batch_size")}, {2, kClapFrames}}};
    if (part_ == kAudioModel) return {audio};
    AxesByName names = {{"input_ids", text}, {"attention_mask", text}};
    if (part_.empty()) names.insert(names.begin(), audio);
    return names;
  }
  AxesByName outputs() const override {
    const std::string text = rows("text_batch_size"), audio = rows("audio_batch_size");
    if (part_ == kTextModel) return {{"text_embeds", {{0, text}}}};
    if (part_ == kAudioModel) return {{"audio_embeds", {{0, audio}}}};
    return {{"logits_per_audio", {{0, audio}, {1, text}}},
            {"logits_per_text", {{0, text}, {1, audio}}},
            {"text_embeds", {{0, text}}},
            {"audio_embeds", {{0, audio}}}};
  }
  NormalizedConfig normalized_config() const override {
    return NormalizedTextConfig(text_config(config().unaccounted()));
  }
  DummyInputGenerators dummy_input_generators() const override {
    const ClapAudioConfig audio(audio_config(config().unaccounted()));
    return {std::make_shared<const DummyClapAudioInputGenerator>(audio),
            std::make_shared<const DummyTextInputGenerator>()};
  }

 private:
  std::string rows(const char* beside) const { return part_.empty() ? beside : "batch_size"; }
  std::string part_;
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
  if (component.part == kTextModel) model.config().harmless({"audio_config"});
  if (component.part == kAudioModel) model.config().harmless({"text_config"});
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
