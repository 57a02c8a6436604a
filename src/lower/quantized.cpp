#include "lower/quantized.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <vector>

#include "ir/weight_coded.h"
#include "onnxport/error.h"
#include "onnxport/ops.h"

namespace onnxport::lower {
namespace {

std::shared_ptr<const Codes> codes_behind(const Value& value) {
  if (!value || value.node()->op != Op::weight) return nullptr;
  return codes_of(value.node()->weight);
}

bool is_quantized(const Value& x) { return x && x.node()->op == Op::dynamic_quantize; }

// A product whose operands are integers in the file.
bool is_integer_product(const Node& node) {
  if (node.op == Op::matmul) return is_quantized(node.inputs[0]) && is_quantized(node.inputs[1]);
  if (node.op != Op::linear && node.op != Op::conv) return false;
  return is_quantized(node.inputs[0]) && codes_of_kind<TensorCodes>(codes_behind(node.inputs[1])) != nullptr;
}

// The integers of a product times both scales. Layers that share both share this factor.
std::string scaled(Emitter& e, const Node& node, const std::string& product, const std::string& scale,
                   const std::string& other) {
  const std::string factor = e.shared(node.path, fmt::format("scale {} {}", scale, other),
                                      [&] { return e.emit("Mul", {scale, other}); });
  return e.emit("Mul", {e.cast(product, DType::f32), factor});
}

std::string plus_bias(Emitter& e, const std::string& product, const Value& bias) {
  return bias ? e.emit("Add", {product, e.name_of(bias)}) : product;
}

// Zero points of 0 are left out.
std::string zero_point_of(Emitter& e, const TensorCodes& codes) {
  const QuantizedTensor& parts = codes.parts;
  return parts.zero_point.dtype() == DType::i8 ? std::string() : e.weight(parts.zero_point);
}

// The codes [N, K] as [K, N]. A table that an embedding reads, too, is stored once.
std::string turned_codes(Emitter& e, const Value& weight, const Weight& codes) {
  if (!e.is_read_by(weight, Op::embedding)) return e.weight(codes.permute({1, 0}));
  return e.emit("Transpose", {e.weight(codes)}, {{"perm", std::vector<std::int64_t>{1, 0}}});
}

std::string integer_linear(Emitter& e, const Node& node, const TensorCodes& codes) {
  const Names& x = e.quantized(node.inputs[0]);
  const std::string weight = turned_codes(e, node.inputs[1], codes.parts.codes);
  const std::string product = e.emit("MatMulInteger", {x[0], weight, x[2], zero_point_of(e, codes)});
  return scaled(e, node, product, x[1], e.weight(codes.parts.scale));
}

BlockOperands stored_blocks(Emitter& e, const BlockCodes& codes, DType dtype) {
  const QuantizedBlocks& parts = codes.parts;
  return {e.weight(parts.codes), e.weight(parts.scales.cast(dtype)),
          parts.zero_points ? e.weight(parts.zero_points) : std::string()};
}

// The matrix [N, K] by operators of ai.onnx.
std::string standard_matrix(Emitter& e, const Node& node, const BlockCodes& codes, DType dtype) {
  const QuantizedBlocks& parts = codes.parts;
  const std::int64_t rows = parts.scales.shape()[0], blocks = parts.scales.shape()[1];
  const BlockParameters& p = codes.parameters;
  constexpr int kFirstOpset = 21;
  const auto refuse = [&](const std::string& why) {
    throw ExportError(ErrorCode::unsupported,
                      fmt::format("linear at {} with DequantizeLinear: {}", node.path, why));
  };
  if (e.opset() < kFirstOpset) refuse(fmt::format("needs --opset {}, got {}", kFirstOpset, e.opset()));
  if (codes.columns % p.block_size != 0) {
    refuse(fmt::format("blocks of {} do not divide its {} inputs; use smaller blocks", p.block_size,
                       codes.columns));
  }
  if (p.bits != 4) refuse(fmt::format("needs 4 bits, got {}", p.bits));
  if (parts.zero_points && blocks % 2 != 0) {
    refuse(fmt::format("zero points of {} blocks fill no whole bytes; leave them out, or use other blocks",
                       blocks));
  }
  Weight zero_points = parts.zero_points;
  if (!zero_points) {
    constexpr std::byte kHalves{0x88};
    const auto bytes = static_cast<std::size_t>((rows * blocks + 1) / 2);
    std::vector<std::byte> halves(bytes, kHalves);
    if (rows * blocks % 2 != 0) halves.back() = std::byte{0x08};
    zero_points = Weight::constant(DType::u8, {static_cast<std::int64_t>(bytes)}, std::move(halves),
                                   fmt::format("{}_zero_points", node.path));
  }
  const auto packed = [&](const Weight& bytes, std::int64_t columns) {
    return e.packed_weight(bytes, {PackedElement::uint4, {rows, columns}});
  };
  const std::string matrix = e.emit(
      "DequantizeLinear",
      {packed(parts.codes, codes.columns), e.weight(parts.scales.cast(dtype)), packed(zero_points, blocks)},
      {{"axis", std::int64_t{1}}, {"block_size", p.block_size}});
  return e.emit("Transpose", {matrix}, {{"perm", std::vector<std::int64_t>{1, 0}}});
}

std::string block_linear(Emitter& e, const Node& node, const BlockCodes& codes) {
  const std::string x = e.name_of(node.inputs[0]);
  const DType dtype = node.outputs[0].dtype;
  if (e.target().standard_quantization) return e.emit("MatMul", {x, standard_matrix(e, node, codes, dtype)});
  return matmul_n_bits(e, x, stored_blocks(e, codes, dtype), codes.parts.codes.shape()[0], codes.columns,
                       codes.parameters.bits, codes.parameters.block_size);
}

std::string bnb4_linear(Emitter& e, const Node& node, const Bnb4Codes& codes) {
  const std::int64_t rows = node.inputs[1].node()->weight.shape()[0];
  return e.emit(contrib("MatMulBnb4"),
                {e.name_of(node.inputs[0]), e.weight(codes.parts.codes), e.weight(codes.parts.absmax)},
                {{"K", codes.columns},
                 {"N", rows},
                 {"block_size", codes.block_size},
                 {"quant_type", static_cast<std::int64_t>(codes.type)}});
}

// Rows of blocks. The last block is filled up with zeros.
std::string block_embedding(Emitter& e, const Node& node, const BlockCodes& codes) {
  const QuantizedBlocks& parts = codes.parts;
  const std::int64_t rows = parts.codes.shape()[0], bytes = parts.codes.numel() / rows;
  const std::int64_t width = parts.scales.shape()[1] * codes.parameters.block_size;
  const bool tied = e.is_read_by(node.inputs[0], Op::linear);
  BlockOperands stored = stored_blocks(e, codes, node.outputs[0].dtype);
  // A table that a linear layer reads, too, is stored once.
  stored.codes = tied ? e.emit("Reshape", {stored.codes, e.ints({rows, bytes})})
                      : e.weight(parts.codes.reshape({rows, bytes}));
  std::string taken = e.emit(contrib("GatherBlockQuantized"),
                             {stored.codes, e.name_of(node.inputs[1]), stored.scales, stored.zero_points},
                             {{"bits", std::int64_t{codes.parameters.bits}},
                              {"block_size", codes.parameters.block_size},
                              {"gather_axis", std::int64_t{0}},
                              {"quantize_axis", std::int64_t{1}}});
  if (width == codes.columns) return taken;
  return e.emit("Slice", {taken, e.ints({0}), e.ints({codes.columns}), e.ints({-1})});
}

// Rows of 8-bit codes with one scale each, or for all.
std::string integer_embedding(Emitter& e, const Node& node, const TensorCodes& codes) {
  const QuantizedTensor& parts = codes.parts;
  const std::string indices = e.name_of(node.inputs[1]);
  const std::string rows = e.emit("Gather", {e.weight(parts.codes), indices});
  if (!codes.axis)
    return e.emit("DequantizeLinear", {rows, e.weight(parts.scale), e.weight(parts.zero_point)});
  const auto last = static_cast<std::int64_t>(node.outputs[0].shape.size()) - 1;
  const auto of_rows = [&](const Weight& part) {
    return e.emit_with_axes("Unsqueeze", e.emit("Gather", {e.weight(part), indices}), {last}, 13);
  };
  std::string values = e.cast(rows, DType::f32);
  if (parts.zero_point.dtype() != DType::i8) {
    const std::string zero_points = of_rows(parts.zero_point);
    values = e.emit("Sub", {values, e.cast(zero_points, DType::f32)});
  }
  return e.emit("Mul", {values, of_rows(parts.scale)});
}

}  // namespace

std::string matmul_n_bits(Emitter& e, const std::string& x, const BlockOperands& operands, std::int64_t rows,
                          std::int64_t columns, int bits, std::int64_t block_size) {
  OnnxAttrs attrs = {{"K", columns}, {"N", rows}, {"bits", std::int64_t{bits}}, {"block_size", block_size}};
  if (e.target().accuracy_level != 0)
    attrs.emplace_back("accuracy_level", std::int64_t{e.target().accuracy_level});
  return e.emit(contrib("MatMulNBits"), {x, operands.codes, operands.scales, operands.zero_points},
                std::move(attrs));
}

std::optional<std::string> coded_linear(Emitter& e, const Node& node) {
  const auto codes = codes_behind(node.inputs[1]);
  std::string product;
  if (const auto* blocks = codes_of_kind<BlockCodes>(codes)) {
    product = block_linear(e, node, *blocks);
  } else if (const auto* bnb4 = codes_of_kind<Bnb4Codes>(codes)) {
    product = bnb4_linear(e, node, *bnb4);
  } else if (is_integer_product(node)) {
    product = integer_linear(e, node, *codes_of_kind<TensorCodes>(codes));
  } else {
    return {};
  }
  return plus_bias(e, product, node.inputs[2]);
}

std::optional<std::string> coded_embedding(Emitter& e, const Node& node) {
  const auto codes = codes_behind(node.inputs[0]);
  if (const auto* blocks = codes_of_kind<BlockCodes>(codes)) return block_embedding(e, node, *blocks);
  if (const auto* tensor = codes_of_kind<TensorCodes>(codes)) return integer_embedding(e, node, *tensor);
  return {};
}

std::optional<std::string> integer_conv(Emitter& e, const Node& node, OnnxAttrs attrs) {
  if (!is_integer_product(node)) return {};
  const auto codes = codes_behind(node.inputs[1]);
  const TensorCodes& tensor = *codes_of_kind<TensorCodes>(codes);
  const Names& x = e.quantized(node.inputs[0]);
  const std::string product =
      e.emit("ConvInteger", {x[0], e.weight(tensor.parts.codes), x[2], e.weight(tensor.parts.zero_point)},
             std::move(attrs));
  std::string result = scaled(e, node, product, x[1], e.weight(tensor.parts.scale));
  const Value bias = node.inputs[2];
  if (!bias) return result;
  std::vector<std::int64_t> shape(node.outputs[0].shape.size() - 1, 1);
  shape[0] = *bias.dim(0).constant();
  const std::string column = bias.node()->op == Op::weight
                                 ? e.weight(bias.node()->weight.reshape(shape))
                                 : e.emit("Reshape", {e.name_of(bias), e.ints(shape)});
  return e.emit("Add", {result, column});
}

std::optional<std::string> integer_matmul(Emitter& e, const Node& node) {
  if (!is_integer_product(node)) return {};
  const Names a = e.quantized(node.inputs[0]), b = e.quantized(node.inputs[1]);
  return scaled(e, node, e.emit("MatMulInteger", {a[0], b[0], a[2], b[2]}), a[1], b[1]);
}

// Products of integers take the three results. The floats are made only if another op needs them.
Lowered lower_dynamic_quantize(Emitter& e, const Node& node) {
  const Names made = e.emit_all("DynamicQuantizeLinear", 3, {e.name_of(node.inputs[0])});
  e.set_quantized(node, made);
  const auto needs_floats = [&](const Node& reader) { return !is_integer_product(reader); };
  if (!e.any_reader(node, needs_floats)) return std::string();
  return e.emit("DequantizeLinear", made);
}

}  // namespace onnxport::lower
