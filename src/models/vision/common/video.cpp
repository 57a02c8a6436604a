#include "models/vision/common/video.h"

#include <algorithm>

namespace onnxport::models {

bool DummyVideoInputGenerator::supports_input(std::string_view name) const {
  return name == "pixel_values" || name == "pixel_values_videos";
}

TensorType DummyVideoInputGenerator::type(std::string_view name, const DummyContext& context,
                                          const DummyShapes& shapes) const {
  std::int64_t frames = context.normalized["num_frames"];
  if (context.axis(name, 1) != nullptr)
    frames = std::max(shapes.sequence_length, context.normalized.maybe("tubelet_size").value_or(1));
  const std::vector<std::int64_t> size = context.normalized.list("image_size");
  const std::int64_t height = size.empty() ? shapes.height : size.front();
  const std::int64_t width = size.empty() ? shapes.width : size.back();
  const std::int64_t channels = context.normalized.maybe("num_channels").value_or(shapes.num_channels);
  return {context.float_dtype, {shapes.batch_size, frames, channels, height, width}};
}

AxesByName VideoOnnxConfig::outputs() const {
  if (task() == "feature-extraction") return {{"last_hidden_state", {{0, "batch_size"}}}};
  return common_outputs(task());
}

DummyInputGenerators VideoOnnxConfig::dummy_input_generators() const {
  return {std::make_shared<const DummyVideoInputGenerator>()};
}

}  // namespace onnxport::models
