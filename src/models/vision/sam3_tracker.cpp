// The tracker of SAM 3, for images: SAM 2 behind a Vision Transformer with rotary positions. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/sam3_tracker/modeling_sam3_tracker.py
#include "models/vision/common/sam2.h"
#include "models/vision/common/sam3_vision.h"

namespace onnxport::models {
namespace {

// The keys of a part have one of these places, in files of the class and of the hub.
Scope place(std::initializer_list<Scope> places) {
  for (const Scope& one : places) {
    if (one.exists()) return one;
  }
  return *places.begin();
}

std::vector<Value> encode_image(const Scope& root, const Scope& base, const PretrainedConfig& config,
                                Value pixel_values) {
  const Scope neck = place({base / "vision_encoder" / "neck", base / "tracker_neck", root / "tracker_neck"});
  const char* detector = "detector_model.vision_encoder.backbone";
  const Scope backbone = place({base / "vision_encoder" / "backbone", base / detector, root / detector});
  return encode_sam3_image(backbone, neck, config, pixel_values);
}

}  // namespace

void register_sam3_tracker(TasksManager& tasks) {
  ModelDefinition definition = sam2_definition(
      "sam3_tracker",
      {.vision_type = "sam3_vision_model", .base_model = "tracker_model", .encode = encode_image});
  // The detector, of which this model has only the backbone.
  definition.ignorable_keys.emplace_back("detector_model.*");
  definition.ignorable_keys.emplace_back("tracker_model.detector_model.*");
  tasks.register_model<Sam2OnnxConfig>(std::move(definition));
}

}  // namespace onnxport::models
