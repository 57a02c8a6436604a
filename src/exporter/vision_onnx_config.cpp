#include "onnxport/middle_end.h"

namespace onnxport {

AxesByName VisionOnnxConfig::inputs() const {
  if (!takes_any_image_size()) return {{"pixel_values", {{0, "batch_size"}}}};
  return {{"pixel_values", {{0, "batch_size"}, {2, "height"}, {3, "width"}}}};
}

AxesByName VisionOnnxConfig::outputs() const {
  if (task() == "feature-extraction") return {{"last_hidden_state", {{0, "batch_size"}}}};
  return common_outputs(task());
}

NormalizedConfig VisionOnnxConfig::normalized_config() const { return NormalizedVisionConfig(config()); }

DummyInputGenerators VisionOnnxConfig::dummy_input_generators() const {
  return {std::make_shared<const DummyVisionInputGenerator>()};
}

DummyInputGenerators TextAndVisionOnnxConfig::dummy_input_generators() const {
  return {std::make_shared<const DummyVisionInputGenerator>(),
          std::make_shared<const DummyTextInputGenerator>()};
}

}  // namespace onnxport
