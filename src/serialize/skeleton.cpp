#include "serialize/skeleton.h"

#include <fmt/format.h>

#include <charconv>
#include <system_error>

#include "onnx/element_type.h"
#include "onnxport/error.h"
#include "serialize/model_proto.h"
#include "serialize/wire.h"
#include "support/file.h"

namespace onnxport::serialize {
namespace {

/// The kinds of messages that contain tensors, directly or not.
enum class Kind { model, graph, node, attribute, tensor, sparse_tensor, function };

/// The kind of the sub-message in a field, if tensors may be inside. Field numbers of onnx.proto.
std::optional<Kind> child(Kind parent, std::uint64_t field) {
  switch (parent) {
    case Kind::model:
      if (field == onnx::ModelProto::kGraphFieldNumber) return Kind::graph;
      if (field == onnx::ModelProto::kFunctionsFieldNumber) return Kind::function;
      break;
    case Kind::graph:
      if (field == onnx::GraphProto::kNodeFieldNumber) return Kind::node;
      if (field == onnx::GraphProto::kInitializerFieldNumber) return Kind::tensor;
      if (field == onnx::GraphProto::kSparseInitializerFieldNumber) return Kind::sparse_tensor;
      break;
    case Kind::node:
      if (field == onnx::NodeProto::kAttributeFieldNumber) return Kind::attribute;
      break;
    case Kind::attribute:
      if (field == onnx::AttributeProto::kTFieldNumber) return Kind::tensor;
      if (field == onnx::AttributeProto::kTensorsFieldNumber) return Kind::tensor;
      if (field == onnx::AttributeProto::kGFieldNumber) return Kind::graph;
      if (field == onnx::AttributeProto::kGraphsFieldNumber) return Kind::graph;
      if (field == onnx::AttributeProto::kSparseTensorFieldNumber) return Kind::sparse_tensor;
      if (field == onnx::AttributeProto::kSparseTensorsFieldNumber) return Kind::sparse_tensor;
      break;
    case Kind::sparse_tensor:
      if (field == onnx::SparseTensorProto::kValuesFieldNumber) return Kind::tensor;
      if (field == onnx::SparseTensorProto::kIndicesFieldNumber) return Kind::tensor;
      break;
    case Kind::function:
      if (field == onnx::FunctionProto::kNodeFieldNumber) return Kind::node;
      if (field == onnx::FunctionProto::kAttributeProtoFieldNumber) return Kind::attribute;
      break;
    case Kind::tensor:
      break;
  }
  return std::nullopt;
}

/// Fields that store the elements like raw data.
bool is_payload(Kind kind, std::uint64_t field) {
  if (kind != Kind::tensor) return false;
  switch (field) {
    case onnx::TensorProto::kRawDataFieldNumber:
    case onnx::TensorProto::kFloatDataFieldNumber:
    case onnx::TensorProto::kDoubleDataFieldNumber:
      return true;
    default:
      return false;
  }
}

/// Copies messages from a file, leaving payloads out.
class Stripper {
 public:
  explicit Stripper(const std::filesystem::path& path)
      : file_(File::open(path)), in_(*file_), location_(path.filename().string()) {}

  onnx::ModelProto model() {
    const std::string bytes = copy(Kind::model, in_.size(), 0);
    onnx::ModelProto model;
    if (!model.ParseFromString(bytes)) in_.fail("an inner message does not parse");
    if (!model.has_graph()) in_.fail("it holds no graph");
    if (model.opset_import().empty()) in_.fail("it imports no opset");  // our own last field
    return model;
  }

 private:
  /// Fields of a message of this kind that ends at `end`.
  std::string copy(Kind kind, std::uint64_t end, int depth) {
    if (depth > 100) in_.fail("its graphs are nested too deeply");
    std::string out;
    while (in_.position() < end) {
      const std::uint64_t tag = in_.varint(end);
      const std::uint64_t field = tag >> 3;
      // An unknown field at the top level is the best sign that the file is not a model.
      if (field == 0 || (kind == Kind::model && field > newest_model_field))
        in_.fail("it starts like another kind of file");
      switch (static_cast<WireType>(tag & 7)) {
        case WireType::varint:
          append_varint(out, tag);
          append_varint(out, in_.varint(end));
          break;
        case WireType::fixed64:
          append_varint(out, tag);
          in_.read(out, 8, end);
          break;
        case WireType::fixed32:
          append_varint(out, tag);
          in_.read(out, 4, end);
          break;
        case WireType::bytes: {
          const std::uint64_t size = in_.varint(end);
          if (size > end - in_.position())
            in_.fail(fmt::format("{} bytes are announced, {} are left", size, end - in_.position()));
          copy_bytes(out, kind, tag, size, depth);
          break;
        }
        default:
          in_.fail(fmt::format("unknown wire type {}", tag & 7));
      }
    }
    return out;
  }

  void copy_bytes(std::string& out, Kind kind, std::uint64_t tag, std::uint64_t size, int depth) {
    const std::uint64_t field = tag >> 3;
    const std::uint64_t end = in_.position() + size;
    if (size > payload_threshold && is_payload(kind, field)) {
      onnx::TensorProto reference;
      set_external(reference, location_, in_.position(), size);
      out += serialize(reference);  // messages merge by being appended
      in_.skip_to(end);
      return;
    }
    append_varint(out, tag);
    const std::optional<Kind> inner = child(kind, field);
    if (size > payload_threshold && inner) {
      const std::string bytes = copy(*inner, end, depth + 1);
      append_varint(out, bytes.size());
      out += bytes;
    } else {
      append_varint(out, size);
      in_.read(out, size, end);
    }
  }

  static constexpr std::uint64_t newest_model_field = onnx::ModelProto::kConfigurationFieldNumber;
  std::shared_ptr<const File> file_;
  WireReader in_;
  std::string location_;
};

}  // namespace

onnx::ModelProto read_skeleton(const std::filesystem::path& path) { return Stripper(path).model(); }

std::optional<ExternalReference> external_reference(const onnx::TensorProto& tensor) {
  if (tensor.data_location() != onnx::TensorProto::EXTERNAL) return std::nullopt;
  ExternalReference reference;
  const auto number = [&](const onnx::StringStringEntryProto& entry) {
    std::uint64_t value = 0;
    const char* end = entry.value().data() + entry.value().size();
    const auto [stop, error] = std::from_chars(entry.value().data(), end, value);
    if (error != std::errc() || stop != end) {
      throw ExportError(ErrorCode::io,
                        fmt::format("tensor {}: {} of its external data is '{}', expected a number",
                                    tensor.name(), entry.key(), entry.value()));
    }
    return value;
  };
  for (const onnx::StringStringEntryProto& entry : tensor.external_data()) {
    if (entry.key() == "location") reference.location = entry.value();
    if (entry.key() == "offset") reference.offset = number(entry);
    if (entry.key() == "length") reference.length = number(entry);
  }
  return reference;
}

onnx::ValueInfoProto type_of(const onnx::TensorProto& tensor) {
  onnx::ValueInfoProto value;
  value.set_name(tensor.name());
  auto& type = *value.mutable_type()->mutable_tensor_type();
  type.set_elem_type(tensor.data_type());
  type.mutable_shape();
  for (const std::int64_t dim : tensor.dims()) type.mutable_shape()->add_dim()->set_dim_value(dim);
  return value;
}

std::uint64_t raw_bytes(const onnx::TensorProto& tensor) {
  std::uint64_t bits = element_type_bits(tensor.data_type());
  for (const std::int64_t dim : tensor.dims()) {
    if (dim < 0 || __builtin_mul_overflow(bits, static_cast<std::uint64_t>(dim), &bits)) {
      throw ExportError(ErrorCode::io, fmt::format("tensor {}: its dims [{}] are invalid", tensor.name(),
                                                   fmt::join(tensor.dims(), ", ")));
    }
  }
  return bits / 8 + (bits % 8 != 0);
}

}  // namespace onnxport::serialize
