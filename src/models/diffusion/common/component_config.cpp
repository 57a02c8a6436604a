#include "models/diffusion/common/component_config.h"

#include <fmt/format.h>

#include <algorithm>

#include "onnxport/error.h"

namespace onnxport::models {
namespace {

// Latents have an eighth of the image's extents, and transformers of packed latents take four as one.
constexpr std::int64_t kPixelsPerLatent = 8, kLatentsPerPack = 2;

Dim batch_of_step() { return Dim::symbol("batch_size"); }

DimBindings sizes_of(const DummyShapes& shapes) {
  const std::int64_t height = std::max<std::int64_t>(shapes.height / kPixelsPerLatent, kLatentsPerPack);
  const std::int64_t width = std::max<std::int64_t>(shapes.width / kPixelsPerLatent, kLatentsPerPack);
  return {{"batch_size", shapes.batch_size},
          {kStepAxis, shapes.batch_size},
          {"sequence_length", shapes.sequence_length},
          {"height", height},
          {"width", width},
          {"latent_height", height},
          {"latent_width", width},
          {"sample_height", shapes.height},
          {"sample_width", shapes.width},
          {"num_images", 1},
          {"packed_height_width", (height / kLatentsPerPack) * (width / kLatentsPerPack)}};
}

// The real tokens of the rows of a mask: all, one less, and so on.
Tensor mask_of(const TensorType& type) {
  const std::int64_t rows = type.shape[0].constant().value(), length = type.shape[1].constant().value();
  std::vector<std::int64_t> values;
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t i = 0; i < length; ++i)
      values.push_back(i < std::max<std::int64_t>(length - row, 1) ? 1 : 0);
  }
  return Tensor::from_ints(type.dtype, {rows, length}, values);
}

// One image of packed latents.
Tensor grid_of(const TensorType& type, const DummyShapes& shapes) {
  const DimBindings sizes = sizes_of(shapes);
  const std::int64_t rows = sizes.at("height") / kLatentsPerPack,
                     columns = sizes.at("width") / kLatentsPerPack;
  const std::vector<std::int64_t> values = {1, rows, columns};
  return Tensor::from_ints(type.dtype, {1, 3}, values);
}

// Floats between -1 and 1, small places, masks and grids.
class DummyComponentInputGenerator : public DummyInputGenerator {
 public:
  explicit DummyComponentInputGenerator(std::vector<ComponentInput> inputs) : inputs_(std::move(inputs)) {}
  bool supports_input(std::string_view name) const override { return find(name) != nullptr; }
  TensorType type(std::string_view name, const DummyContext& context,
                  const DummyShapes& shapes) const override {
    const ComponentInput& input = *find(name);
    TensorType type{input.values == ComponentValues::numbers ? context.float_dtype : context.int_dtype,
                    input.shape};
    for (Dim& dim : type.shape) dim = dim.evaluate(sizes_of(shapes));
    return type;
  }
  Tensor generate(std::string_view name, const DummyContext& context, const DummyShapes& shapes,
                  std::uint64_t seed) const override {
    const TensorType made = type(name, context, shapes);
    if (find(name)->values == ComponentValues::mask) return mask_of(made);
    if (find(name)->values == ComponentValues::grid) return grid_of(made, shapes);
    Tensor floats = random_floats(
        seed, name, made.dtype == context.float_dtype ? made : TensorType{DType::f32, made.shape});
    if (made.dtype == context.float_dtype) return floats;
    constexpr double kMost = 32;
    std::vector<std::int64_t> places;
    for (const double value : floats.to_doubles())
      places.push_back(static_cast<std::int64_t>((value + 1) / 2 * kMost));
    return Tensor::from_ints(made.dtype, floats.shape, places);
  }

 private:
  const ComponentInput* find(std::string_view name) const {
    const auto found = std::find_if(inputs_.begin(), inputs_.end(),
                                    [&](const ComponentInput& input) { return input.name == name; });
    return found == inputs_.end() ? nullptr : &*found;
  }
  std::vector<ComponentInput> inputs_;
};

}  // namespace

AxesByName ComponentOnnxConfig::inputs() const {
  AxesByName inputs;
  for (const ComponentInput& input : tensors()) {
    Axes axes;
    for (std::size_t i = 0; i < input.shape.size(); ++i) {
      if (input.shape[i].is_symbol()) axes.emplace(static_cast<int>(i), input.shape[i].str());
    }
    inputs.emplace_back(input.name, std::move(axes));
  }
  return inputs;
}

Dim ComponentOnnxConfig::axis_length(std::string_view tensor, const std::string& symbol) const {
  if (symbol == kStepAxis) return batch_of_step();
  return OnnxConfig::axis_length(tensor, symbol);
}

DummyInputGenerators ComponentOnnxConfig::dummy_input_generators() const {
  return {std::make_shared<const DummyComponentInputGenerator>(tensors())};
}

void check_width_of_heads(const PretrainedConfig& c, const char* key, std::int64_t width) {
  const std::int64_t value = c.integer(key);
  if (value == width) return;
  throw ExportError(
      ErrorCode::bad_config,
      fmt::format("{}: {} is {}, expected num_attention_heads * attention_head_dim, which is {}", c.origin(),
                  key, value, width));
}

void check_unset(const PretrainedConfig& c, const std::vector<const char*>& flags) {
  for (const char* key : flags) {
    if (c.flag(key))
      throw ExportError(ErrorCode::unsupported, fmt::format("{}: {} is not supported", c.origin(), key));
  }
}

ModelDefinition component_definition(const char* name, const std::vector<std::string>& classes,
                                     const char* defaults) {
  for (const std::string& one : classes) PretrainedConfig::register_class_defaults(one, defaults);
  return {.model_type = name,
          .tasks = {"semantic-segmentation"},  // as Optimum has it
          .library = "diffusers",
          .modules = classes};
}

}  // namespace onnxport::models
