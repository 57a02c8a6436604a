#include "serialize/stored_tensors.h"

#include <onnx/onnx_pb.h>

#include <cstring>
#include <span>

#include "onnx/element_type.h"
#include "serialize/lazy_model.h"
#include "serialize/skeleton.h"

namespace onnxport::serialize {
namespace {

template <class Values>
Weight raw(const Values& values) {
  const auto bytes = std::as_bytes(std::span(values.data(), static_cast<std::size_t>(values.size())));
  return Weight::constant(DType::u8, {static_cast<std::int64_t>(bytes.size())}, {bytes.begin(), bytes.end()});
}

/// Small tensors in one of the typed fields of the message.
Weight typed(const onnx::TensorProto& tensor, const std::vector<std::int64_t>& shape) {
  const auto of_ints = [&](DType dtype, const auto& field) {
    const std::vector<std::int64_t> values(field.begin(), field.end());
    return Weight::from_ints(shape, values, dtype);
  };
  std::int64_t count = 1;
  for (const std::int64_t extent : shape) count *= extent;
  switch (tensor.data_type()) {
    case onnx::TensorProto::INT64:
      if (tensor.int64_data_size() == count) return of_ints(DType::i64, tensor.int64_data());
      break;
    case onnx::TensorProto::INT32:
      if (tensor.int32_data_size() == count) return of_ints(DType::i32, tensor.int32_data());
      break;
    case onnx::TensorProto::BOOL:
      if (tensor.int32_data_size() == count) return of_ints(DType::boolean, tensor.int32_data());
      break;
    default:
      break;
  }
  if (tensor.int32_data_size() > 0) return raw(tensor.int32_data());
  if (tensor.int64_data_size() > 0) return raw(tensor.int64_data());
  if (tensor.double_data_size() > 0) return raw(tensor.double_data());
  if (tensor.uint64_data_size() > 0) return raw(tensor.uint64_data());
  return {};
}

class Reader {
 public:
  explicit Reader(const LazyModel& model) : model_(model) {}

  void visit(const onnx::GraphProto& graph) {
    for (const onnx::TensorProto& tensor : graph.initializer()) add(tensor, tensor.name());
    for (const onnx::NodeProto& node : graph.node()) {
      if (node.op_type() == "Constant" && node.output_size() == 1) {
        for (const onnx::AttributeProto& attribute : node.attribute()) {
          if (attribute.has_t()) add(attribute.t(), node.output(0));
        }
      }
      for_each_inner(node, [&](const onnx::GraphProto& inner) { visit(inner); });
    }
  }

  std::vector<StoredTensor> found;

 private:
  void add(const onnx::TensorProto& tensor, const std::string& name) {
    StoredTensor& stored = found.emplace_back();
    stored.name = name;
    stored.type = element_type_name(tensor.data_type());
    stored.shape.assign(tensor.dims().begin(), tensor.dims().end());
    stored.bytes = raw_bytes(tensor);
    if (const Weight* lazy = lazy_data(model_, tensor)) {
      stored.weight = *lazy;
    } else if (stored.weight = weight_of(model_, tensor); !stored.weight) {
      stored.weight = tensor.has_raw_data() ? raw(tensor.raw_data()) : typed(tensor, stored.shape);
    }
  }

  const LazyModel& model_;
};

}  // namespace

std::vector<StoredTensor> stored_tensors(const std::filesystem::path& path) {
  const LazyModel model = read_lazy_model(path);
  Reader reader(model);
  reader.visit(model.graph);
  return std::move(reader.found);
}

}  // namespace onnxport::serialize
