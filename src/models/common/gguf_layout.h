/// Helpers for the layouts of GGUF files, which stand beside their types: changes to a layout, and the
/// reverse of the changes that llama.cpp's converter makes to the elements and numbers of a checkpoint.
/// https://github.com/ggml-org/llama.cpp/blob/b6907/convert_hf_to_gguf.py, which later became the folder
/// `conversion`, and gguf-py/gguf/tensor_mapping.py there.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "onnxport/gguf.h"

namespace onnxport::models {

using GgufTensors = std::vector<GgufTensor>;
using GgufRestore = std::function<Weight(const Weight& stored)>;

/// Restores the order of a head's rows, in which row i is rotated with row i + half. The converter puts
/// rotated pairs next to each other.
GgufRestore rotary_halves(std::int64_t heads);
/// From all queries, then all keys, then all values, to queries, keys and values of each head.
GgufRestore per_head(std::int64_t heads);
/// From all queries, then all keys, then all values, to groups of a key head with its queries.
GgufRestore per_key_head(std::int64_t heads, std::int64_t kv_heads);
/// [in, out], as GPT-2 has it. (Biases stay.)
Weight transposed(const Weight& stored);
/// Norms of Gemma and Qwen3-Next multiply by 1 + weight; the converter adds the 1.
Weight minus_one(const Weight& stored);

/// JSON by key of config.json.
using ConfigTexts = std::map<std::string, std::string>;

/// Adds to the names of a layout. One that it has already is replaced.
void change_names(GgufLayout& layout, std::function<GgufTensors(const PretrainedConfig&)> more);
/// Adds keys of config.json that a file's metadata give. One that the layout has already is kept.
void add_config(GgufLayout& layout, std::function<ConfigTexts(const GgufInfo&)> more);
/// Adds keys of the metadata, each with the name that config.json has for it.
void add_keys(GgufLayout& layout, const std::vector<std::pair<std::string, std::string>>& keys);

/// A flag of config.json that is true if the file has this tensor.
std::function<ConfigTexts(const GgufInfo&)> whether_stored(std::string key, std::string tensor);
/// partial_rotary_factor: the part of a head that is rotated.
ConfigTexts partial_rotary(const GgufInfo& file);
/// sliding_window, if the file has one; 0 stands for none.
ConfigTexts stated_window(const GgufInfo& file);
/// layer_types from the layers that slide, if the file lists them.
ConfigTexts sliding_layers(const GgufInfo& file);

// rope_scaling and related keys, if the file has all of them.

/// Positions scaled by one factor, or by yarn.
ConfigTexts rope_scaling(const GgufInfo& file);
/// Llama 3 divides each frequency by its own factor. The file has these factors, but not their parameters.
/// They must equal the formula with the parameters of all published models. transformers v4.57.6,
/// modeling_rope_utils.py, _compute_llama3_parameters
ConfigTexts llama3_scaling(const GgufInfo& file);
/// Phi-3 has two lists of such factors, for short and for long inputs.
ConfigTexts longrope(const GgufInfo& file);

}  // namespace onnxport::models
