// RT-DETRv2: RT-DETR whose points may be read differently. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/rt_detr_v2/modeling_rt_detr_v2.py
#include <fmt/format.h>

#include "models/vision/common/rt_detr.h"
#include "onnxport/error.h"

namespace onnxport::models {
namespace {

nn::DeformableParameters points_of(const PretrainedConfig& config, const RtDetrConfig& c) {
  nn::DeformableParameters p = rt_detr_points(config, c);
  p.offset_scale = config.real("decoder_offset_scale");
  p.reading = place_reading(config);
  const std::int64_t levels = config.integer("decoder_n_levels");
  if (levels != c.levels) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: decoder_n_levels {}, expected num_feature_levels, {}", config.origin(),
                                  levels, c.levels));
  }
  return p;
}

}  // namespace

void register_rt_detr_v2(TasksManager& tasks) { register_rt_detr_type(tasks, "rt_detr_v2", points_of); }

}  // namespace onnxport::models
