#include "models/multimodal/common/layer_inputs.h"

#include "models/decoders/common/layer_tokens.h"

namespace onnxport::models {
namespace {

class DummyLayerInputsGenerator : public DummyFloatInputGenerator {
 public:
  explicit DummyLayerInputsGenerator(LayerInputs extents) : extents_(extents) {}
  bool supports_input(std::string_view name) const override { return name == kLayerInputs; }
  TensorType type(std::string_view /*name*/, const DummyContext& context,
                  const DummyShapes& shapes) const override {
    return {context.float_dtype,
            {shapes.batch_size, shapes.sequence_length, extents_.layers, extents_.width}};
  }

 private:
  LayerInputs extents_;
};

}  // namespace

AxesByName LayerInputsOnnxConfig::token_extras() const {
  if (layer_inputs().width == 0) return {};
  return {{kLayerInputs, {{0, "batch_size"}, {1, "sequence_length"}}}};
}

DummyInputGenerators LayerInputsOnnxConfig::dummy_input_generators() const {
  DummyInputGenerators generators = MultimodalDecoderOnnxConfig::dummy_input_generators();
  if (part() == kDecoder)
    generators.insert(generators.begin(), std::make_shared<const DummyLayerInputsGenerator>(layer_inputs()));
  return generators;
}

}  // namespace onnxport::models
