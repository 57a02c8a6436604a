/// The safetensors format: an unsigned 64-bit length (little-endian), a JSON header of that length, and the
/// bytes of the tensors. https://github.com/huggingface/safetensors#format
///
/// Everything in a file is checked before it is used. Every reader here throws ExportError(bad_checkpoint)
/// that names the file, the tensor, the value found and the value expected. It throws
/// ExportError(unsupported) for a dtype that ONNX or onnxport does not have.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "onnxport/weight.h"
#include "support/float8.h"

namespace onnxport::safetensors {

/// Maximum size of a header in bytes; the limit of the official implementation.
inline constexpr std::uint64_t kMaxHeader = 100'000'000;

/// The tensors of an open file, in the order of their offsets. Reads only the header. There is no DType for
/// 8-bit floats; such tensors become computed float32 tensors.
std::vector<StoredTensor> read(const std::shared_ptr<const File>& file);

/// A tensor as a header describes it.
struct Described {
  TensorView view;  ///< without a file
  /// Set if the elements are 8-bit floats; `view` then holds their bytes as uint8.
  std::optional<Float8> float8 = {};
};

/// The same from the text of the header. `file_size` is the size of the whole file, including the 8 bytes of
/// length and the header. `file_name` is for messages.
std::vector<Described> parse_header(std::string_view header, std::uint64_t file_size,
                                    const std::string& file_name);

/// The header length from the first 8 bytes of a file, checked against its size. `beginning`: the first bytes
/// of the file, or all of them if it is shorter than 64.
std::uint64_t parse_header_length(std::string_view beginning, std::uint64_t file_size,
                                  const std::string& file_name);

}  // namespace onnxport::safetensors
