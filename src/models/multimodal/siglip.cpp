// SigLIP: the towers of CLIP without masks, a class token and projections. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/siglip/modeling_siglip.py
#include <fmt/format.h>

#include "models/multimodal/common/clip.h"
#include "onnxport/error.h"

namespace onnxport::models {
namespace {

class SiglipOnnxConfig : public TextAndVisionOnnxConfig {
 public:
  using TextAndVisionOnnxConfig::TextAndVisionOnnxConfig;
  AxesByName inputs() const override {
    return {{"input_ids", {{0, "text_batch_size"}, {1, "sequence_length"}}},
            {"pixel_values", {{0, "image_batch_size"}}}};
  }
  AxesByName outputs() const override { return common_outputs("zero-shot-image-classification"); }
  NormalizedConfig normalized_config() const override {
    const PretrainedConfig c = config().unaccounted();
    return normalized_towers(c.sub("text_config", "siglip_text_model"),
                             c.sub("vision_config", "siglip_vision_model"));
  }
};

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model) {
  const PretrainedConfig& c = model.config();
  const Scope root = model.scope();
  const PretrainedConfig vision = c.sub("vision_config", "siglip_vision_model");
  const Value image = encode_tower(tasks, Role::vision_tower, "vision_config", vision, inputs, model).pooled;
  const PretrainedConfig text_config = c.sub("text_config", "siglip_text_model");
  const Value text = encode_tower(tasks, Role::text_model, "text_config", text_config, inputs, model).pooled;
  if (!image || text.dim(1) != image.dim(1)) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: projection_size of text_config is {} and the image tower returns {}, "
                                  "expected the same width",
                                  c.origin(), text.dim(1).str(),
                                  image ? image.dim(1).str() : "no vector (vision_use_head)"));
  }
  return compare_towers(text, image, root.weight("logit_scale", {1}), root.weight("logit_bias", {1}));
}

}  // namespace

void register_siglip(TasksManager& tasks) {
  tasks.register_model<SiglipOnnxConfig>(
      {.model_type = "siglip",
       .tasks = {"feature-extraction", "zero-shot-image-classification"},
       .forward = [&tasks](const Inputs& inputs, const Model& model,
                           const Component&) { return forward(tasks, inputs, model); },
       .ignorable_keys = {"*.embeddings.position_ids"}});
}

}  // namespace onnxport::models
