#include "onnxport/middle_end.h"

namespace onnxport {

AxesByName AudioOnnxConfig::inputs() const {
  return {{"input_values", {{0, "batch_size"}, {1, "sequence_length"}}}};
}

NormalizedConfig AudioOnnxConfig::normalized_config() const { return {config(), {}}; }

DummyInputGenerators AudioOnnxConfig::dummy_input_generators() const {
  return {std::make_shared<const DummyAudioInputGenerator>()};
}

}  // namespace onnxport
