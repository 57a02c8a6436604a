/// Files of a checkpoint as external data of models.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "onnxport/weight.h"

namespace onnxport::serialize {

/// The files of a checkpoint, as seen from the models of one folder.
class CheckpointFiles {
 public:
  explicit CheckpointFiles(std::filesystem::path folder) : folder_(std::move(folder)) {}

  /// The file that holds the bytes of the weight, relative to the folder; nothing if they are not the
  /// checkpoint's bytes, or their offset is not a multiple of the element size. Throws
  /// ExportError(invalid_argument) if the file is not in the folder (or below), or is a link, which the
  /// official checker refuses.
  std::optional<std::string> location(const Weight& weight);

 private:
  std::string find(const TensorView& view) const;
  std::filesystem::path folder_;
  std::map<std::string, std::string> locations_;  ///< by identity of the file
};

}  // namespace onnxport::serialize
