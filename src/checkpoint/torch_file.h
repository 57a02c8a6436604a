/// pytorch_model.bin: the format of torch.save since PyTorch 1.6, a zip archive with a pickle
/// (`<folder>/data.pkl`) and one file per storage (`<folder>/data/<name>`).
/// https://github.com/pytorch/pytorch/blob/v2.9.0/torch/serialization.py
#pragma once

#include <memory>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "support/file.h"

namespace onnxport::torch_file {

/// The tensors of an open file. Reads the directory of the archive and the pickle. Uncompressed storages stay
/// in place, tensors that share a storage share its bytes, and a transposed tensor is its storage with
/// permuted axes. Deflated storages are extracted to an anonymous temporary file.
///
/// Throws ExportError(bad_checkpoint) that names the file, the tensor, the value found and the value
/// expected; for the older formats of torch.save, it explains how to convert them. Throws ExportError(io) if
/// a temporary file cannot be written.
std::vector<StoredTensor> read(const std::shared_ptr<const File>& file);

}  // namespace onnxport::torch_file
