/// pytorch_model.bin: what torch.save writes since PyTorch 1.6, a zip archive of a pickle
/// (`<folder>/data.pkl`) and one file per storage (`<folder>/data/<name>`).
/// https://github.com/pytorch/pytorch/blob/v2.9.0/torch/serialization.py
#pragma once

#include <memory>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "support/file.h"

namespace onnxport::torch_file {

/// The tensors of an open file. The directory of the archive and the pickle are read; a stored (not
/// compressed) storage stays where it is, tensors that share one share its bytes, and a transposed tensor is
/// its storage with other axes. Deflated storages are extracted to an anonymous temporary file.
///
/// Throws ExportError(bad_checkpoint) that names the file, the tensor, what it found and what it expected,
/// and for the older formats of torch.save how to convert them; ExportError(io) where a temporary file cannot
/// be written.
std::vector<StoredTensor> read(const std::shared_ptr<const File>& file);

}  // namespace onnxport::torch_file
