/// GGUF, versions 2 and 3: metadata and tensors in one file or in numbered parts.
/// https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "onnxport/gguf_info.h"
#include "support/file.h"

namespace onnxport::gguf {

/// Everything that a reader of weights needs.
struct Contents {
  GgufInfo info;
  /// The tensors by their names in the file. Plain types are views; block types are float32, decoded when
  /// they are read.
  std::vector<StoredTensor> tensors;
};

/// Reads only the header of one file. Memory: a few times the bytes of names and short values.
///
/// Throws ExportError(bad_checkpoint) that names the file, the item, the value found and the value expected.
/// Throws ExportError(unsupported) for a big-endian file, an older version, or a type that cannot be decoded.
Contents read_part(const std::shared_ptr<const File>& file);

/// The same for a file or, if it is one of several parts (`-00001-of-00003.gguf`), for all parts, which must
/// be in the same folder. The metadata comes from the first part.
Contents read(const std::filesystem::path& path);

/// From names of files, selects those of the only GGUF model: the file, or all its parts in order; empty if
/// there is none. If there are several models, throws ExportError(bad_checkpoint) that lists them; `place`
/// and `advice` are for its message.
std::vector<std::string> choose(const std::vector<std::string>& names, const std::string& place,
                                const std::string& advice);

/// The file to read in a folder: the only .gguf file, or the first part of the only split one; empty if there
/// is none. If there are several, throws ExportError(bad_checkpoint) that lists them.
std::filesystem::path find_in(const std::filesystem::path& folder);

/// Whether the path is a regular file with the extension .gguf.
bool is_file(const std::filesystem::path& path);

}  // namespace onnxport::gguf
