#include "models/vision/common/mask_queries.h"

#include "models/vision/common/detector_backbone.h"
#include "onnxport/nn/basic.h"

namespace onnxport::models {

AxesByName MaskQueriesOnnxConfig::outputs() const {
  if (task() != "image-segmentation") return VisionOnnxConfig::outputs();
  return {{"class_queries_logits", {{0, "batch_size"}}},
          {"masks_queries_logits", {{0, "batch_size"}, {2, "mask_height"}, {3, "mask_width"}}}};
}

Value masks_of(Value embeddings, Value pixels) {
  const Value products = op::matmul(embeddings, op::flatten(pixels, 2, 3));
  return op::reshape(products, {pixels.dim(0), embeddings.dim(1), pixels.dim(2), pixels.dim(3)});
}

Value query_classes(const Scope& s, const PretrainedConfig& config, std::int64_t width, Value queries) {
  return nn::Linear(s, width, config.num_labels() + 1)(queries);
}

Value mask_embedding(const Scope& s, std::int64_t width, std::int64_t out, Value queries) {
  const ModulePath at(queries, s.path());
  Value x = queries;
  for (std::int64_t i = 0; i < 2; ++i) x = op::relu(nn::Linear(s / i / 0, width, width)(x));
  return nn::Linear(s / 2 / 0, width, out)(x);
}

std::vector<Value> segmenter_backbone(const TasksManager& tasks, const Scope& s, const PretrainedConfig& c,
                                      std::string_view swin, std::string_view swin_type, Value pixel_values) {
  const bool described = c.has("backbone_config");
  if (!described && !c.string("backbone", "").empty()) return detector_backbone(tasks, s, c, pixel_values);
  const PretrainedConfig config =
      described ? c.sub("backbone_config") : PretrainedConfig::from_json(swin, c.origin(), "swin");
  if (config.model_type() != "swin") return detector_backbone(tasks, s, c, pixel_values);
  c.harmless({"backbone", "backbone_kwargs", "use_timm_backbone", "use_pretrained_backbone"});
  const auto type = tasks.get_definition(swin_type);
  return type->roles.backbone->features(s.with_newer(type->key_names), config, pixel_values).stages;
}

}  // namespace onnxport::models
