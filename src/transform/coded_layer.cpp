#include "transform/coded_layer.h"

#include "onnxport/op.h"

namespace onnxport::transform {
namespace {

// x [..., K] -> [..., K / size, size].
Value in_groups(const Value& x, std::int64_t size) {
  Shape shape = x.shape();
  shape.back() = Dim(*shape.back().constant() / size);
  shape.emplace_back(size);
  return op::reshape(x, shape);
}

}  // namespace

Value product(const CodedLayer& layer, const Value& codes) {
  Value bias = layer.bias;
  if (layer.offsets)
    bias = op::linear(op::sum(in_groups(layer.x, layer.group_size), -1), layer.offsets, bias);
  return op::linear(layer.x, codes, bias);
}

Value rows(const CodedLayer& table, const Value& codes) {
  Value values = op::embedding(codes, table.x);
  if (!table.offsets) return values;
  const Value offsets = op::unsqueeze(op::embedding(table.offsets, table.x), -1);
  return op::reshape(op::add(in_groups(values, table.group_size), offsets), values.shape());
}

}  // namespace onnxport::transform
