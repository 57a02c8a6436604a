#include "onnxport/middle_end.h"

namespace onnxport {

AxesByName TextEncoderOnnxConfig::inputs() const { return text_inputs({"input_ids", "attention_mask"}); }

NormalizedConfig TextEncoderOnnxConfig::normalized_config() const { return NormalizedTextConfig(config()); }

DummyInputGenerators TextEncoderOnnxConfig::dummy_input_generators() const {
  return {std::make_shared<const DummyTextInputGenerator>()};
}

AxesByName TextEncoderOnnxConfig::text_inputs(std::initializer_list<const char*> names) const {
  const Axes axes = task() == "multiple-choice"
                        ? Axes{{0, "batch_size"}, {1, "num_choices"}, {2, "sequence_length"}}
                        : Axes{{0, "batch_size"}, {1, "sequence_length"}};
  AxesByName inputs;
  for (const char* name : names) inputs.emplace_back(name, axes);
  return inputs;
}

}  // namespace onnxport
