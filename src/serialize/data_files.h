/// Files of external data while they are laid out.
#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <string>
#include <unordered_map>
#include <utility>

#include "onnx/onnx_graph.h"
#include "serialize/checkpoint_files.h"
#include "serialize/layout.h"
#include "serialize/writer.h"

namespace onnxport::serialize {

/// The external data of one model, or of several that share it: one file, or as many as the limit for a file
/// needs. The second one is called like the first, with `_1` behind its name, and so on.
class DataFiles {
 public:
  struct File {
    std::filesystem::path path;
    Layout layout;
  };
  struct Place {
    std::string location;  ///< name of the file, or its path in the folder of the model
    std::uint64_t offset = 0;
  };

  /// `path`: of the first file. `checkpoint`: asked first for a place; null: all goes here.
  DataFiles(std::filesystem::path path, const WriteOptions& options, CheckpointFiles* checkpoint = nullptr);

  /// Whether tensors of this size are external; smaller ones stay in the message.
  bool takes(std::uint64_t bytes) const { return bytes > 0 && bytes >= threshold_; }
  /// The place of a tensor, which is added if its bytes are new. Throws ExportError(invalid_argument) if it
  /// is larger than a file may be.
  Place place(const OnnxInitializer& initializer);

  /// Those that have content.
  const std::deque<File>& files() const { return files_; }

 private:
  File& file_with_room(const OnnxInitializer& initializer);

  std::filesystem::path path_;
  std::uint64_t threshold_, alignment_, limit_;
  CheckpointFiles* checkpoint_;
  std::deque<File> files_;
  std::unordered_map<std::string, Place> places_;  ///< by fingerprint of the bytes
};

}  // namespace onnxport::serialize
