#include "models/multimodal/common/decoders/layer_inputs.h"

#include "models/decoders/common/layer_tokens.h"
#include "models/multimodal/common/features/placeholders.h"
#include "onnxport/op.h"

namespace onnxport::models {
namespace {

class DummyLayerInputsGenerator : public DummyFloatInputGenerator {
 public:
  DummyLayerInputsGenerator(LayerInputs extents, bool of_rows) : extents_(extents), of_rows_(of_rows) {}
  bool supports_input(std::string_view name) const override { return name == kLayerInputs; }
  TensorType type(std::string_view /*name*/, const DummyContext& context,
                  const DummyShapes& shapes) const override {
    const auto [layers, width] = extents_;
    if (of_rows_) return {context.float_dtype, {shapes.batch_size, shapes.sequence_length, layers * width}};
    return {context.float_dtype, {shapes.batch_size, shapes.sequence_length, layers, width}};
  }

 private:
  LayerInputs extents_;
  bool of_rows_;
};

}  // namespace

AxesByName LayerInputsOnnxConfig::token_extras() const {
  if (layer_inputs().width == 0) return {};
  return {{kLayerInputs, {{0, "batch_size"}, {1, "sequence_length"}}}};
}

DummyInputGenerators LayerInputsOnnxConfig::dummy_input_generators() const {
  DummyInputGenerators generators = MultimodalDecoderOnnxConfig::dummy_input_generators();
  if (part() == kDecoder)
    generators.insert(generators.begin(),
                      std::make_shared<const DummyLayerInputsGenerator>(layer_inputs(), of_rows()));
  return generators;
}

NamedValues embed_with_features(const PretrainedConfig& whole, const Inputs& inputs, NamedValues outputs) {
  write_all_features(whole, inputs, outputs);
  for (auto& [name, value] : outputs)
    if (name == kLayerInputs) value = op::flatten(value, 2, 3);
  return outputs;
}

}  // namespace onnxport::models
