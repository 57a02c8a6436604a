#include "models/audio/common/codec.h"

#include <fmt/format.h>

#include <algorithm>

#include "onnxport/error.h"
#include "onnxport/plan.h"

namespace onnxport::models {

std::string CodecOnnxConfig::part() const {
  return options().behavior == ConfigBehavior::encoder   ? "encoder"
         : options().behavior == ConfigBehavior::decoder ? "decoder"
                                                         : "";
}

void CodecOnnxConfig::describe(ExportPlan& plan, const PlanRequest& request) const {
  if (request.split == Split::monolith) {
    throw ExportError(
        ErrorCode::unsupported,
        fmt::format("'{}' has a file for each direction: it cannot be one file", config().model_type()));
  }
  for (const ConfigBehavior behavior : {ConfigBehavior::encoder, ConfigBehavior::decoder}) {
    OnnxConfigOptions of_part = options();
    of_part.behavior = behavior;
    const std::shared_ptr<const OnnxConfig> described = options().make(config(), task(), of_part);
    plan.components.push_back(
        described->component(described->part() + "_model", request.shapes, request.dynamic_axes));
  }
}

AxesByName CodecOnnxConfig::inputs() const {
  if (options().behavior != ConfigBehavior::decoder)
    return {{"input_values", {{0, "batch_size"}, {2, "sequence_length"}}}};
  const int batch = has_chunk_axis() ? 1 : 0;
  return {{"audio_codes", {{batch, "batch_size"}, {batch + 2, "codes_length"}}}};
}

AxesByName CodecOnnxConfig::outputs() const {
  if (options().behavior == ConfigBehavior::decoder) {
    const int samples = squeezes_channels() ? 1 : 2;
    return {{"audio_values", {{0, "batch_size"}, {samples, "sequence_length"}}}};
  }
  const int batch = has_chunk_axis() ? 1 : 0;
  return {{"audio_codes", {{batch, "batch_size"}, {batch + 2, "codes_length"}}}};
}

DummyInputGenerators CodecOnnxConfig::dummy_input_generators() const {
  return {std::make_shared<const DummyCodecInputGenerator>(sizes(), has_chunk_axis())};
}

bool DummyCodecInputGenerator::supports_input(std::string_view name) const {
  return name == "input_values" || name == "audio_codes";
}

TensorType DummyCodecInputGenerator::type(std::string_view name, const DummyContext& context,
                                          const DummyShapes& shapes) const {
  if (name == "input_values")
    return {context.float_dtype, {shapes.batch_size, sizes_.channels, shapes.audio_sequence_length}};
  TensorType codes{context.int_dtype, {shapes.batch_size, sizes_.codebooks, shapes.sequence_length}};
  if (chunk_axis_) codes.shape.insert(codes.shape.begin(), 1);
  return codes;
}

Tensor DummyCodecInputGenerator::generate(std::string_view name, const DummyContext& context,
                                          const DummyShapes& shapes, std::uint64_t seed) const {
  const TensorType made = type(name, context, shapes);
  if (name == "input_values") return random_floats(seed, name, made);
  const Tensor numbers = random_floats(seed, name, {DType::f32, made.shape});
  std::vector<std::int64_t> codes;
  for (const double number : numbers.to_doubles()) {
    const auto code = static_cast<std::int64_t>((number + 1) / 2 * static_cast<double>(sizes_.codebook_size));
    codes.push_back(std::clamp<std::int64_t>(code, 0, std::max<std::int64_t>(sizes_.codebook_size - 1, 0)));
  }
  return Tensor::from_ints(made.dtype, static_shape(made.shape).value(), codes);
}

Codebook::Codebook(std::string path, const Weight& table)
    : path_(std::move(path)), table_(table.cast(DType::f32)) {}

// The square of x is the same for all codes, and half of the square of a vector is a number of its own.
Value Codebook::nearest(Value x) const {
  const ModulePath at(x, path_);
  const Weight length = table_.norm_except(0);
  const double half = 0.5;
  const Weight squares = length.mul(length).mul(Weight::from_doubles(DType::f32, {}, {&half, 1}));
  const Value table = x.graph().weight_as_is(table_.permute({1, 0}));
  const Value products = op::matmul(op::cast(x, DType::f32), table);
  const Value nearness = op::sub(
      products, x.graph().weight_as_is(squares.reshape({table_.shape()[0]}).named(path_ + ".squares")));
  return op::argmax(nearness, -1);
}

Value Codebook::operator()(Value codes) const {
  const ModulePath at(codes, path_);
  return op::embedding(codes.graph().weight_as_is(table_), codes);
}

Value residual_codes(Value x, const std::vector<Codebook>& codebooks) {
  Value left = op::cast(x, DType::f32);
  std::vector<Value> all;
  for (const Codebook& codebook : codebooks) {
    const Value codes = codebook.nearest(left);
    left = op::sub(left, codebook(codes));
    all.push_back(op::unsqueeze(codes, 1));
  }
  return op::concat(std::move(all), 1);
}

Value sum_of_vectors(Value codes, const std::vector<Codebook>& codebooks) {
  Value sum;
  for (std::size_t i = 0; i < codebooks.size(); ++i) {
    const Value vectors = codebooks[i](op::select(codes, 1, static_cast<std::int64_t>(i)));
    sum = sum ? op::add(sum, vectors) : vectors;
  }
  return op::cast(sum, codes.graph().float_dtype());
}

}  // namespace onnxport::models
