/// Models in memory as checkpoints.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "onnxport/dtype.h"
#include "onnxport/export_macro.h"

namespace onnxport {

/// A tensor of a model in memory: dense, row-major, little-endian.
struct LiveTensor {
  std::string key;
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> owner = {};  ///< keeps the bytes alive
};

/// Puts the weights of a model in memory in the place of those of a checkpoint folder. The folder has
/// config.json and the other small files, but no weights. As long as this object lives, all functions that
/// open a checkpoint read these tensors there, in place: nothing is copied. Two tensors at the same address
/// are one weight.
///
/// A module of Sentence Transformers that has weights of its own (`2_Dense`) is a folder of its own.
class ONNXPORT_API LiveWeights {
 public:
  /// Throws ExportError(bad_checkpoint) if the bytes of a tensor do not fit its shape, and
  /// ExportError(invalid_argument) if the folder does not exist or already has such weights.
  LiveWeights(const std::filesystem::path& folder, std::vector<LiveTensor> tensors);
  ~LiveWeights();
  LiveWeights(const LiveWeights&) = delete;
  LiveWeights& operator=(const LiveWeights&) = delete;

 private:
  std::string folder_;
};

}  // namespace onnxport
