/// Reads .onnx files without their payloads.
#pragma once

#include <onnx/onnx_pb.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace onnxport::serialize {

/// Tensor data above this many bytes stays on disk. What shape inference wants to see (shapes, axes, pads) is
/// smaller.
inline constexpr std::uint64_t payload_threshold = 1024;

/// The model with large tensor data, wherever it is, replaced by external references to its bytes: into
/// `path` itself (location: its file name) where it is inside the message. Memory and time do not depend on
/// the size of weights. (Only integers in their packed form, which no current exporter writes for weights,
/// are read.) Throws ExportError(io) for a file that cannot be read, is truncated or is not an ONNX model.
onnx::ModelProto read_skeleton(const std::filesystem::path& path);

/// Where the data of a tensor lies outside of the message.
struct ExternalReference {
  std::string location;  ///< file name, relative to the model's folder
  std::uint64_t offset = 0;
  std::optional<std::uint64_t> length;
};
/// Nothing for a tensor with its data inside. Throws ExportError(io) for offsets that are not numbers.
std::optional<ExternalReference> external_reference(const onnx::TensorProto& tensor);

/// Bytes of the elements as raw data; 0 for strings. Throws ExportError(io) for dims that make no sense.
std::uint64_t raw_bytes(const onnx::TensorProto& tensor);

}  // namespace onnxport::serialize
