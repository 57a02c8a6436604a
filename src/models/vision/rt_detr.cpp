// RT-DETR. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/rt_detr/modeling_rt_detr.py
#include "models/vision/common/rt_detr.h"

namespace onnxport::models {

void register_rt_detr(TasksManager& tasks) { register_rt_detr_type(tasks, "rt_detr", rt_detr_points); }

}  // namespace onnxport::models
