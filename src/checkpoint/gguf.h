/// GGUF, versions 2 and 3: metadata and tensors in one file, or in numbered parts of one.
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

/// All that a reader of weights has to know.
struct Contents {
  GgufInfo info;
  /// By their names in the file. Those of plain types are views; those in blocks are float32, decoded when
  /// they are read.
  std::vector<StoredTensor> tensors;
};

/// Reads the header of one file; weights are not touched. Memory: a few times the bytes of names and short
/// values.
///
/// Throws ExportError(bad_checkpoint) that names the file and what in it, what it found and what it expected;
/// ExportError(unsupported) for a big-endian file, an older version, and a type that is not decoded.
Contents read_part(const std::shared_ptr<const File>& file);

/// The same for a file and, where it is one of several parts (`-00001-of-00003.gguf`), the others beside it,
/// which must be there. The metadata is that of the first part.
Contents read(const std::filesystem::path& path);

/// Of the names of files, those of the only model in .gguf files: the file, or all parts of it, in order;
/// empty when there is none. Throws ExportError(bad_checkpoint) that lists them when there are several;
/// `place` and `advice` are for its message.
std::vector<std::string> choose(const std::vector<std::string>& names, const std::string& place,
                                const std::string& advice);

/// The file to read in a folder: the only .gguf there, or the first part of the only one that is split; empty
/// when there is none. Throws ExportError(bad_checkpoint) that lists them when there are several.
std::filesystem::path find_in(const std::filesystem::path& folder);

/// Is it the path of a regular file that is called .gguf?
bool is_file(const std::filesystem::path& path);

}  // namespace onnxport::gguf
