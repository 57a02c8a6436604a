#include "serialize/widen.h"

#include <onnx/onnx_pb.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "onnx/element_type.h"
#include "onnxport/weight.h"
#include "serialize/model_proto.h"
#include "serialize/skeleton.h"
#include "support/atomic_file.h"
#include "support/file.h"

namespace onnxport::serialize {
namespace {

namespace fs = std::filesystem;

constexpr std::int32_t kBfloat16 = onnx::TensorProto::BFLOAT16;
constexpr std::int32_t kFloat = onnx::TensorProto::FLOAT;

std::vector<std::byte> widen(std::string_view bfloat16, std::int64_t count) {
  std::vector<std::byte> bytes(bfloat16.size());
  std::transform(bfloat16.begin(), bfloat16.end(), bytes.begin(),
                 [](char c) { return static_cast<std::byte>(c); });
  const Weight wide = Weight::constant(DType::bf16, {count}, std::move(bytes)).cast(DType::f32);
  std::vector<std::byte> result(static_cast<std::size_t>(count) * sizeof(float));
  wide.read(0, count, result.data());
  return result;
}

// A tensor whose data is inside the message.
void widen_inline(onnx::TensorProto& tensor) {
  if (tensor.data_type() != kBfloat16) return;
  const auto wide = widen(tensor.raw_data(), static_cast<std::int64_t>(tensor.raw_data().size() / 2));
  tensor.set_data_type(kFloat);
  tensor.set_raw_data(wide.data(), wide.size());
}

// Casts to bfloat16 that the reference rounds too, by their results: of weights of other dtypes, and of the
// cosines and sines of positions, which may be scaled.
std::set<std::string> rounded_values(const onnx::GraphProto& graph) {
  std::set<std::string> others, turns, rounded;
  for (const auto& tensor : graph.initializer()) {
    if (tensor.data_type() != kBfloat16) others.insert(tensor.name());
  }
  for (const auto& node : graph.node()) {
    const std::string& op = node.op_type();
    if (op == "Cos" || op == "Sin" || (op == "Mul" && turns.contains(node.input(0))))
      turns.insert(node.output(0));
    if (op == "Cast" && node.attribute(0).i() == kBfloat16 &&
        (others.contains(node.input(0)) || turns.contains(node.input(0))))
      rounded.insert(node.output(0));
  }
  return rounded;
}

// Values that the file rounds to bfloat16 are rounded first and then widened.
void round_again(onnx::GraphProto& graph, const std::set<std::string>& rounded) {
  if (rounded.empty()) return;
  google::protobuf::RepeatedPtrField<onnx::NodeProto> nodes;
  nodes.Swap(graph.mutable_node());
  for (onnx::NodeProto& node : nodes) {
    if (node.output_size() == 1 && rounded.contains(node.output(0))) {
      onnx::NodeProto& round = *graph.add_node();
      round = node;
      round.set_name(node.name() + "/rounded");
      round.set_output(0, node.output(0) + "/rounded");
      round.mutable_attribute(0)->set_i(kBfloat16);
      node.set_input(0, round.output(0));
    }
    graph.add_node()->Swap(&node);
  }
}

void widen_nodes(onnx::GraphProto& graph) {
  for (auto& node : *graph.mutable_node()) {
    for (auto& attr : *node.mutable_attribute()) {
      if (attr.has_t()) widen_inline(*attr.mutable_t());
      if (attr.has_g()) widen_nodes(*attr.mutable_g());
      const bool names_dtype = (node.op_type() == "Cast" && attr.name() == "to") || attr.name() == "dtype";
      if (names_dtype && attr.i() == kBfloat16) attr.set_i(kFloat);
    }
  }
  for (auto* values : {graph.mutable_input(), graph.mutable_output(), graph.mutable_value_info()}) {
    for (auto& value : *values) {
      auto* type = value.mutable_type()->mutable_tensor_type();
      if (type->elem_type() == kBfloat16) type->set_elem_type(kFloat);
    }
  }
}

// Streams a weight to the end of the file, tile by tile.
void append(AtomicFile& file, const Weight& weight) {
  constexpr std::int64_t kTile = 1 << 20;
  std::vector<std::byte> tile;
  for (std::int64_t at = 0; at < weight.numel(); at += kTile) {
    const std::int64_t count = std::min(kTile, weight.numel() - at);
    tile.resize(static_cast<std::size_t>(count) * size_of(weight.dtype()));
    weight.read(at, count, tile.data());
    file.append(tile);
  }
}

}  // namespace

void widen_bfloat16(const fs::path& model, const fs::path& copy) {
  onnx::ModelProto proto = read_skeleton(model);
  const std::set<std::string> rounded = rounded_values(proto.graph());
  widen_nodes(*proto.mutable_graph());
  round_again(*proto.mutable_graph(), rounded);
  const std::string data_name = copy.filename().string() + "_data";
  AtomicFile data(copy.parent_path() / data_name);
  for (auto& tensor : *proto.mutable_graph()->mutable_initializer()) {
    const auto reference = external_reference(tensor);
    if (!reference) {
      widen_inline(tensor);
      continue;
    }
    const bool narrow = tensor.data_type() == kBfloat16;
    // Other dtypes are moved as bytes.
    const auto count = static_cast<std::int64_t>(raw_bytes(tensor)) / (narrow ? 2 : 1);
    const TensorView view{tensor.name(),
                          narrow ? DType::bf16 : DType::u8,
                          {count},
                          File::open(model.parent_path() / reference->location),
                          reference->offset};
    const std::uint64_t begin = data.position();
    append(data, narrow ? Weight(view).cast(DType::f32) : Weight(view));
    if (narrow) tensor.set_data_type(kFloat);
    tensor.clear_external_data();
    set_external(tensor, data_name, begin, data.position() - begin);
  }
  data.flush();
  data.commit();
  AtomicFile file(copy);
  file.append(serialize(proto));
  file.flush();
  file.commit();
}

}  // namespace onnxport::serialize
