#include "serialize/lazy_model.h"

#include <array>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "onnx/element_type.h"
#include "serialize/model_proto.h"
#include "serialize/skeleton.h"
#include "support/fail.h"
#include "support/file.h"

namespace onnxport::serialize {
namespace {

namespace fs = std::filesystem;

constexpr const char* kWeight = "weight";  // key of the reference, which no file has

std::optional<DType> dtype_of(std::int32_t type) {
  for (const DType dtype :
       {DType::f32, DType::f16, DType::bf16, DType::f64, DType::i64, DType::i32, DType::i16, DType::i8,
        DType::u8, DType::u16, DType::u32, DType::u64, DType::boolean}) {
    if (element_type(dtype) == type) return dtype;
  }
  return std::nullopt;
}

std::vector<std::int64_t> dims_of(const onnx::TensorProto& tensor) {
  return {tensor.dims().begin(), tensor.dims().end()};
}

void refer(LazyModel& model, onnx::TensorProto& tensor, Weight weight) {
  tensor.clear_external_data();
  tensor.set_data_location(onnx::TensorProto::EXTERNAL);
  onnx::StringStringEntryProto& entry = *tensor.add_external_data();
  entry.set_key(kWeight);
  entry.set_value(std::to_string(model.weights.size()));
  model.weights.push_back(std::move(weight));
}

/// Resolves references to bytes in files.
class Resolver {
 public:
  Resolver(const fs::path& path, LazyModel& model) : path_(path), model_(model) {}

  /// Turns a reference to a file into one to a weight.
  void make_lazy(onnx::TensorProto& tensor) {
    if (tensor.data_location() != onnx::TensorProto::EXTERNAL) return;
    Weight bytes = find(tensor);
    refer(model_, tensor, std::move(bytes));
  }

  /// Reads the data into the message.
  void load(onnx::TensorProto& tensor) {
    if (tensor.data_location() != onnx::TensorProto::EXTERNAL) return;
    const Weight bytes = find(tensor);
    tensor.clear_external_data();
    tensor.clear_data_location();
    tensor.set_raw_data(payload(bytes));
  }
  void load(onnx::SparseTensorProto& tensor) {
    load(*tensor.mutable_values());
    load(*tensor.mutable_indices());
  }

  /// Everything in a node that is not lazy.
  void load_rest(onnx::NodeProto& node) {
    for (onnx::AttributeProto& attribute : *node.mutable_attribute()) {
      for (onnx::TensorProto& tensor : *attribute.mutable_tensors()) load(tensor);
      if (attribute.has_sparse_tensor()) load(*attribute.mutable_sparse_tensor());
      for (onnx::SparseTensorProto& tensor : *attribute.mutable_sparse_tensors()) load(tensor);
    }
    for_each_inner(node, [&](onnx::GraphProto& graph) { load_rest(graph); });
  }
  void load_rest(onnx::GraphProto& graph) {
    for (onnx::SparseTensorProto& tensor : *graph.mutable_sparse_initializer()) load(tensor);
    for (onnx::NodeProto& node : *graph.mutable_node()) load_rest(node);
  }

 private:
  Weight find(const onnx::TensorProto& tensor) {
    const std::optional<ExternalReference> reference = external_reference(tensor);
    const std::shared_ptr<const File>& file = open(tensor, reference->location);
    const std::uint64_t bytes = raw_bytes(tensor), length = reference->length.value_or(bytes);
    if (length != bytes) {
      fail(ErrorCode::io, "{}: tensor '{}' has {} bytes of data, expected {}: the file is damaged",
           path_.string(), tensor.name(), length, bytes);
    }
    if (bytes > file->size() || reference->offset > file->size() - bytes) {
      fail(ErrorCode::io,
           "{}: the data of tensor '{}' is at bytes {} to {} of {}, which ends at {}: the "
           "file is truncated; copy it again",
           path_.string(), tensor.name(), reference->offset, reference->offset + bytes, file->path().string(),
           file->size());
    }
    const std::optional<DType> dtype = dtype_of(tensor.data_type());
    const std::vector<std::int64_t> shape =
        dtype ? dims_of(tensor) : std::vector<std::int64_t>{static_cast<std::int64_t>(bytes)};
    return TensorView{tensor.name(), dtype.value_or(DType::u8), shape, file, reference->offset};
  }

  const std::shared_ptr<const File>& open(const onnx::TensorProto& tensor, const std::string& location) {
    std::shared_ptr<const File>& file = files_[location];
    if (file) return file;
    const fs::path inside = fs::path(location).lexically_normal();
    if (location.empty() || inside.is_absolute() || *inside.begin() == "..") {
      fail(ErrorCode::io, "{}: the data of tensor '{}' is in '{}', expected a file in the model's folder",
           path_.string(), tensor.name(), location);
    }
    const fs::path path = path_.parent_path() / inside;
    std::error_code error;
    if (!fs::exists(path, error)) {
      fail(ErrorCode::io, "{}: its data file {} is missing; put it beside the model", path_.string(),
           path.string());
    }
    if (location != path_.filename().string()) model_.data_files.insert(path);
    return file = File::open(path);
  }

  const fs::path& path_;
  LazyModel& model_;
  std::map<std::string, std::shared_ptr<const File>> files_;
};

}  // namespace

LazyModel read_lazy_model(const fs::path& path) {
  LazyModel model;
  model.path = path;
  model.head = read_skeleton(path);
  model.graph.Swap(model.head.mutable_graph());
  model.head.clear_graph();
  Resolver resolver(path, model);
  for (onnx::FunctionProto& function : *model.head.mutable_functions()) {
    for (onnx::NodeProto& node : *function.mutable_node()) {
      for (onnx::AttributeProto& attribute : *node.mutable_attribute()) {
        if (attribute.has_t()) resolver.load(*attribute.mutable_t());
      }
      for_each_inner(node, [&](onnx::GraphProto& graph) {
        for_each_tensor(graph, [&](onnx::TensorProto& tensor) { resolver.load(tensor); });
      });
      resolver.load_rest(node);
    }
  }
  for_each_tensor(model.graph, [&](onnx::TensorProto& tensor) { resolver.make_lazy(tensor); });
  resolver.load_rest(model.graph);
  return model;
}

const Weight* lazy_data(const LazyModel& model, const onnx::TensorProto& tensor) {
  if (tensor.data_location() != onnx::TensorProto::EXTERNAL || tensor.external_data_size() != 1 ||
      tensor.external_data(0).key() != kWeight) {
    return nullptr;
  }
  const std::string& text = tensor.external_data(0).value();
  std::size_t index = 0;
  std::from_chars(text.data(), text.data() + text.size(), index);
  return &model.weights.at(index);
}

Weight weight_of(const LazyModel& model, const onnx::TensorProto& tensor) {
  const std::optional<DType> dtype = dtype_of(tensor.data_type());
  if (!dtype) return {};
  if (const Weight* weight = lazy_data(model, tensor)) return *weight;
  const std::size_t size = static_cast<std::size_t>(raw_bytes(tensor));
  std::vector<std::byte> bytes(size);
  const auto copy = [&](const void* data, std::size_t given) {
    if (given != size) {
      fail(ErrorCode::io, "{}: tensor '{}' has {} bytes of data, expected {}: the file is damaged",
           model.path.string(), tensor.name(), given, size);
    }
    if (size > 0) std::memcpy(bytes.data(), data, size);
  };
  if (tensor.has_raw_data()) {
    copy(tensor.raw_data().data(), tensor.raw_data().size());
  } else if (*dtype == DType::f32) {
    copy(tensor.float_data().data(), sizeof(float) * static_cast<std::size_t>(tensor.float_data_size()));
  } else if (size > 0) {
    return {};
  }
  return Weight::constant(*dtype, dims_of(tensor), std::move(bytes), tensor.name());
}

onnx::TensorProto make_tensor(LazyModel& model, const std::string& name, const Weight& weight) {
  onnx::TensorProto tensor = tensor_header({name, weight});
  refer(model, tensor, weight);
  return tensor;
}

void for_each_tensor(onnx::GraphProto& graph, const std::function<void(onnx::TensorProto&)>& visit) {
  for (onnx::TensorProto& tensor : *graph.mutable_initializer()) visit(tensor);
  for (onnx::NodeProto& node : *graph.mutable_node()) {
    for (onnx::AttributeProto& attribute : *node.mutable_attribute()) {
      if (attribute.has_t()) visit(*attribute.mutable_t());
    }
    for_each_inner(node, [&](onnx::GraphProto& inner) { for_each_tensor(inner, visit); });
  }
}

}  // namespace onnxport::serialize
