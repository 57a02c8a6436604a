/// Reads the pickle of a state dict, as written by torch.save (protocol 2), without running any code. It
/// knows a fixed list of opcodes, and of names that stand for tensors and their parts. Anything else that a
/// pickle asks for is refused by name. https://github.com/python/cpython/blob/3.13/Lib/pickletools.py
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "onnxport/dtype.h"

namespace onnxport::pickle {

/// Limits of a pickle, in bytes and objects. A tensor takes about 300 bytes and 20 objects.
inline constexpr std::uint64_t kMaxBytes = 100'000'000;
inline constexpr std::size_t kMaxObjects = 2'000'000;
inline constexpr std::size_t kMaxKey = 10'000;
inline constexpr std::size_t kMaxAxes = 32;

/// A tensor of the state dict: a view of a storage, which is a separate file in the archive.
struct Tensor {
  std::string key;
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
  std::vector<std::int64_t> strides;  ///< in elements, not negative; as many as extents
  std::string_view storage;           ///< name of the storage, a part of the pickle
  std::uint64_t storage_bytes = 0;
  std::uint64_t offset = 0;  ///< of the first element, in bytes of the storage
};

/// The tensors of the dict in the pickle, in its order, without its other values. Every element is inside its
/// storage. Throws ExportError(bad_checkpoint) that names the file, and the byte or key, if the pickle is not
/// a dict of tensors by name.
std::vector<Tensor> parse_state_dict(std::string_view bytes, const std::string& file_name);

}  // namespace onnxport::pickle
