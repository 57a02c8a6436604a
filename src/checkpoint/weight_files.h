/// Names of weights files.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace onnxport {

/// The files that can hold the weights of a folder, best first: safetensors before pickles, and a single file
/// before the index of shards. With a variant ("fp16"), their names in that variant: model.fp16.safetensors,
/// model.safetensors.index.fp16.json or model.fp16.safetensors.index.json, pytorch_model.fp16.bin, …
/// Throws ExportError(invalid_argument) if the variant cannot be part of a name.
std::vector<std::string> weight_file_names(const std::string& variant = {});

/// What a folder without readable weights has instead, and the next step, as sentences for an error message:
/// "there is tf_model.h5 (weights of TensorFlow): …". `files`: paths below the folder, with `/`. Empty if
/// none of them looks like weights.
std::string instead_of_weights(std::span<const std::string> files);

}  // namespace onnxport
