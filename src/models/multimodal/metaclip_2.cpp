// MetaCLIP 2: CLIP for texts in many languages. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/metaclip_2/modeling_metaclip_2.py
#include "models/multimodal/common/towers/clip_encoders.h"

namespace onnxport::models {
namespace {

class MetaClip2OnnxConfig : public ClipOnnxConfig {
 public:
  using ClipOnnxConfig::ClipOnnxConfig;
  std::vector<std::string> variants() const override {
    std::vector<std::string> names = ClipOnnxConfig::variants();
    if (names.size() > 1) names.emplace_back("monolith");
    return names;
  }
  // The text tower alone keeps the name of its batch axis for inputs, and only for them.
  AxesByName inputs() const override {
    AxesByName names = ClipOnnxConfig::inputs();
    if (part() != kTextModel) return names;
    for (auto& [name, axes] : names) axes[0] = "text_batch_size";
    return names;
  }
  Dim axis_length(std::string_view tensor, const std::string& symbol) const override {
    return ClipOnnxConfig::axis_length(
        tensor, part() == kTextModel && symbol == "batch_size" ? "text_batch_size" : symbol);
  }

 protected:
  std::vector<std::string> towers() const override { return {kVisionModel, kTextModel}; }
};

}  // namespace

void register_metaclip_2(TasksManager& tasks) {
  register_clip_text_tower(tasks, "metaclip_2", TextEnd::id);
  register_clip_image_tower(tasks, "metaclip_2");
  tasks.register_model<MetaClip2OnnxConfig>(
      {.model_type = "metaclip_2",
       .tasks = {"feature-extraction", "zero-shot-image-classification", "image-classification"},
       .forward = clip_forward(tasks),
       .ignorable_keys = {"*.embeddings.position_ids"}});
}

}  // namespace onnxport::models
