/// Reads .onnx files without their payloads.
#pragma once

#include <onnx/onnx_pb.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace onnxport::serialize {

/// Tensor data above this many bytes stays on disk. The tensors that shape inference needs (shapes, axes,
/// pads) are smaller.
inline constexpr std::uint64_t payload_threshold = 1024;

/// Reads the model, with large tensor data replaced by external references to its bytes. Data inside the
/// message becomes a reference into `path` itself (location: its file name). Memory and time do not depend on
/// the size of weights. (Only integers in their packed form, which no current exporter writes for weights,
/// are read.) Throws ExportError(io) if the file cannot be read, is truncated or is not an ONNX model.
onnx::ModelProto read_skeleton(const std::filesystem::path& path);

/// The place of external tensor data.
struct ExternalReference {
  std::string location;  ///< file name, relative to the model's folder
  std::uint64_t offset = 0;
  std::optional<std::uint64_t> length;
};
/// Nothing if the data is inside the message. Throws ExportError(io) for offsets that are not numbers.
std::optional<ExternalReference> external_reference(const onnx::TensorProto& tensor);

/// The name and the type of a tensor, as of a value.
onnx::ValueInfoProto type_of(const onnx::TensorProto& tensor);

/// Bytes of the elements as raw data; 0 for strings. Throws ExportError(io) for invalid dims.
std::uint64_t raw_bytes(const onnx::TensorProto& tensor);

}  // namespace onnxport::serialize
