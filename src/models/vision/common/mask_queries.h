/// Parts of segmenters with queries: each query is a class and a mask.
#pragma once

#include <string_view>
#include <vector>

#include "models/common/definition.h"

namespace onnxport::models {

/// For image-segmentation: class_queries_logits [B, Q, labels + 1], masks_queries_logits [B, Q, mask_height,
/// mask_width].
class MaskQueriesOnnxConfig : public VisionOnnxConfig {
 public:
  using VisionOnnxConfig::VisionOnnxConfig;
  AxesByName outputs() const override;
  /// In smaller ones, a group of channels may have a single number, whose norm is all rounding.
  ImageSize smallest_image() const override { return {64, 64}; }
};

/// The masks of the queries: the products of their embeddings [B, Q, C] with pixels [B, C, H, W] -> [B, Q, H,
/// W].
Value masks_of(Value embeddings, Value pixels);

/// The last label is that of no object. Keys: weight [labels + 1, width], bias.
Value query_classes(const Scope& s, const PretrainedConfig& config, std::int64_t width, Value queries);

/// Three linear layers with ReLU between them: [B, Q, width] -> [B, Q, out]. Keys: {i}.0.
Value mask_embedding(const Scope& s, std::int64_t width, std::int64_t out, Value queries);

/// Images [B, C, H', W'] of the backbone that a configuration describes (see detector_backbone()). If it
/// describes none, it is a Swin Transformer with the settings `swin`, a JSON object. `swin_type`: the type
/// that computes backbones of type swin. Throws ExportError(bad_config | unsupported).
std::vector<Value> segmenter_backbone(const TasksManager& tasks, const Scope& s,
                                      const PretrainedConfig& config, std::string_view swin,
                                      std::string_view swin_type, Value pixel_values);

}  // namespace onnxport::models
