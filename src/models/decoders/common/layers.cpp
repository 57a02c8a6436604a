#include "models/decoders/common/layers.h"

#include <string>

#include "onnxport/text_decoder_config.h"

namespace onnxport::models {

PretrainedConfig with_usual_rope(const PretrainedConfig& config, std::string_view rope_parameters) {
  const bool given = config.has("rope_scaling") || config.has("rope_parameters");
  return given ? config : config.settled("rope_parameters", rope_parameters);
}

void usual_sections(TextDecoderConfig& c, const std::vector<std::int64_t>& sections) {
  if (!c.rope.axes.empty()) return;
  for (std::size_t axis = 0; axis < sections.size(); ++axis)
    c.rope.axes.insert(c.rope.axes.end(), static_cast<std::size_t>(sections[axis]),
                       static_cast<std::int64_t>(axis));
}

std::vector<nn::Visibility> layer_visibility(const PretrainedConfig& config, std::int64_t layers,
                                             const std::function<bool(std::int64_t)>& full) {
  const std::int64_t window = config.maybe_integer("sliding_window").value_or(0);
  if (config.has("layer_types"))
    return onnxport::layer_visibility(config.strings("layer_types"), layers, window);
  std::vector<std::string> types;
  for (std::int64_t i = 0; i < layers; ++i)
    types.emplace_back(full(i) ? "full_attention" : "sliding_attention");
  return onnxport::layer_visibility(types, layers, window);
}

}  // namespace onnxport::models
