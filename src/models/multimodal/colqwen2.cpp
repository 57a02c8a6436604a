// ColQwen2: an embedding for each token and each square of patches of a Qwen2-VL. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/colqwen2/modeling_colqwen2.py
#include <fmt/format.h>

#include "models/common/parts.h"
#include "models/multimodal/common/decoders/qwen_vl.h"
#include "models/multimodal/common/features/placeholders.h"
#include "onnxport/nn/basic.h"
#include "onnxport/plan.h"

namespace onnxport::models {
namespace {

constexpr const char* kTextType = "qwen2_vl_text";

PretrainedConfig whole_of(const PretrainedConfig& c) { return part_of_type(c, "vlm_config", "qwen2_vl"); }

// Transformers 5 writes another type, but keeps all keys.
PretrainedConfig vision_of(const PretrainedConfig& whole) {
  return whole.sub("vision_config").as("qwen2_vl");
}

class ColQwen2OnnxConfig : public QwenVlOnnxConfig {
 public:
  using QwenVlOnnxConfig::QwenVlOnnxConfig;
  void describe(ExportPlan& plan, const PlanRequest& request) const override {
    QwenVlOnnxConfig::describe(plan, request);
    Component& decoder = plan.components.back();
    decoder.name = decoder.stem = "model";
  }
  AxesByName outputs() const override {
    if (part() != kDecoder) return QwenVlOnnxConfig::outputs();
    return {{"embeddings", {{0, "batch_size"}, {1, "sequence_length"}}}};
  }
  std::vector<StateSpec> states() const override { return {}; }

 protected:
  std::string text_type() const override { return kTextType; }
  const char* grid_name() const override { return "grid_thw"; }
  PretrainedConfig text_config() const override {
    return qwen_vl_text_config(whole_of(config().unaccounted()), kTextType);
  }
  PatchTowerConfig tower_config() const override {
    const PretrainedConfig c = vision_of(whole_of(config().unaccounted()));
    return {c, c.integer("hidden_size", 1)};
  }
};

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                    const Component& component) {
  const PretrainedConfig& c = model.config();
  const PretrainedConfig whole = whole_of(c);
  const Scope s = model.scope();
  // Each file reads only the keys of its part, and some are for those who feed the files.
  c.harmless({"embedding_dim", "initializer_range"});
  leave_media_token_ids(whole);
  whole.harmless({"text_config", "vision_config", "tie_word_embeddings", "vocab_size"});
  if (component.part == kVisionEncoder)
    return {{"image_features", encode_qwen2_vl(s / "vlm" / "visual", inputs, vision_of(whole))}};
  const PretrainedConfig text = qwen_vl_text_config(whole, kTextType);
  const auto type = tasks.get_part(text, "text_config", Role::language_model);
  Component language = component;
  language.task = "feature-extraction";
  language.part.clear();
  const Model part = model.part(text, "vlm", type, language.task);
  NamedValues outputs = type->roles.language_model->decode(inputs, part, language);
  if (component.part == kEmbedTokens) return outputs;
  const Value hidden = outputs.at(0).second;
  const nn::Linear project(s / "embedding_proj_layer", *hidden.dim(2).constant(), c.integer("embedding_dim"));
  return {{"embeddings", unit_embeddings(project(hidden), inputs["attention_mask"])}};
}

KeyNames key_names() {
  KeyNames names;
  names.newer = {{"vlm.model.", "vlm.model.language_model."}, {"vlm.visual.", "vlm.model.visual."}};
  // Of version 5, which has no model around the parts.
  for (const char* module : {"embed_tokens", "layers", "norm"})
    names.newer.emplace_back(fmt::format("vlm.{}.", module), fmt::format("vlm.language_model.{}.", module));
  return names;
}

}  // namespace

void register_colqwen2(TasksManager& tasks) {
  tasks.register_model<ColQwen2OnnxConfig>({.model_type = "colqwen2",
                                            .tasks = {"feature-extraction"},
                                            .forward = bound(tasks, forward),
                                            .ignorable_keys = {"vlm.lm_head.*"},
                                            .key_names = key_names()});
}

}  // namespace onnxport::models
