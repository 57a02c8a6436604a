#include "layout/sherpa_graph.h"

#include <algorithm>
#include <memory>

#include "onnxport/dummy_inputs.h"

namespace onnxport::layout {
namespace {

/// Test inputs of the shapes in the interface.
class DummyClientInputGenerator : public DummyInputGenerator {
 public:
  explicit DummyClientInputGenerator(const ClientSizes& sizes) : sizes_(sizes) {}
  bool supports_input(std::string_view /*name*/) const override { return true; }
  TensorType type(std::string_view name, const DummyContext& context,
                  const DummyShapes& shapes) const override {
    const TensorSpec& spec = *std::find_if(context.inputs.begin(), context.inputs.end(),
                                           [&](const TensorSpec& one) { return one.name == name; });
    Shape extents;
    for (const Dim& dim : spec.shape)
      extents.emplace_back(dim.is_symbol() ? extent(dim.str(), shapes) : *dim.constant());
    return {is_float(spec.dtype) ? context.float_dtype : spec.dtype, extents};
  }
  Tensor generate(std::string_view name, const DummyContext& context, const DummyShapes& shapes,
                  std::uint64_t seed) const override {
    const TensorType type = this->type(name, context, shapes);
    if (is_float(type.dtype)) return random_floats(seed, name, type);
    Tensor ids(type.dtype, static_shape(type.shape).value());
    std::vector<std::int64_t> values;
    for (std::int64_t i = 0; i < ids.numel(); ++i) values.push_back(value(name, shapes, i, seed));
    return Tensor::from_ints(type.dtype, ids.shape, values);
  }

 private:
  std::int64_t extent(const std::string& axis, const DummyShapes& shapes) const {
    if (axis == "batch_size") return shapes.batch_size;
    if (axis == "num_frames") return std::min(shapes.nb_max_frames, sizes_.most_frames);
    constexpr std::int64_t kUnused = 3;  // rows of the cache behind the offset, which no result may depend on
    if (axis == "cache_length") return past(shapes) + kUnused;
    return axis == "encoded_frames" ? shapes.sequence_length + 2 : shapes.sequence_length;
  }
  std::int64_t past(const DummyShapes& shapes) const {
    return std::clamp<std::int64_t>(sizes_.most_tokens - shapes.sequence_length, 0,
                                    shapes.past_sequence_length);
  }
  // Row 0 is the longest.
  std::int64_t value(std::string_view name, const DummyShapes& shapes, std::int64_t i,
                     std::uint64_t seed) const {
    if (name == "offset") return past(shapes);
    if (!name.ends_with("length")) return (i * 7 + static_cast<std::int64_t>(seed % 5)) % sizes_.vocab_size;
    const std::int64_t longest = name == "length" ? extent("num_frames", shapes) : shapes.sequence_length;
    return std::max<std::int64_t>(longest - i, 1);
  }
  ClientSizes sizes_;
};

}  // namespace

Model adapted(const Model& model, const std::string& mark, Adapter adapter) {
  auto definition = std::make_shared<ModelDefinition>(model.definition());
  definition->forward = [mark, adapter = std::move(adapter), original = model.definition().forward](
                            const Inputs& inputs, const Model& of, const Component& component) {
    return component.interface.find_input(mark) == nullptr ? original(inputs, of, component)
                                                           : adapter(inputs, of, component, original);
  };
  return model.part("", std::move(definition), model.task());
}

TensorSpec tensor(const std::string& name, DType dtype, Shape shape) {
  TensorSpec spec{.name = name, .dtype = dtype, .shape = std::move(shape)};
  for (std::size_t i = 0; i < spec.shape.size(); ++i) {
    if (!spec.shape[i].constant()) spec.axes[static_cast<int>(i)] = {spec.shape[i].str(), spec.shape[i]};
  }
  return spec;
}

Component with_tensors(Component component, std::vector<TensorSpec> inputs, std::vector<TensorSpec> outputs,
                       const ClientSizes& sizes) {
  auto dummies = std::make_shared<DummyInputs>(*component.interface.dummies);
  dummies->context.inputs = inputs;
  dummies->context.states.clear();
  dummies->generators = {std::make_shared<const DummyClientInputGenerator>(sizes)};
  component.interface.inputs = std::move(inputs);
  component.interface.outputs = std::move(outputs);
  component.interface.states.clear();
  component.interface.dummies = std::move(dummies);
  return component;
}

}  // namespace onnxport::layout
