/// What the layouts of GGUF files have in common: changes of a layout, and what llama.cpp's converter does to
/// elements and numbers of a checkpoint, undone. The layouts themselves stand beside their types, as the
/// converter's classes `…Model` have them.
/// https://github.com/ggml-org/llama.cpp/blob/b6907/convert_hf_to_gguf.py, and gguf-py/gguf/tensor_mapping.py
/// there.
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

/// The rows of a head in the order of rotary positions, of which each half turns with the other: the
/// converter brings those together that turn with each other.
GgufRestore rotary_halves(std::int64_t heads);
/// Queries, keys and values of all heads, one after the other, to those of each head.
GgufRestore per_head(std::int64_t heads);
/// Queries, keys and values, one after the other, to groups of a key head with its queries.
GgufRestore per_key_head(std::int64_t heads, std::int64_t kv_heads);
/// [in, out], as GPT-2 has it. (Biases stay.)
Weight transposed(const Weight& stored);
/// Gemma's norms multiply by 1 + weight; the converter adds the 1.
Weight minus_one(const Weight& stored);

/// JSON by key of config.json.
using ConfigTexts = std::map<std::string, std::string>;

/// Adds to the names of a layout. One that it has already is replaced.
void change_names(GgufLayout& layout, std::function<GgufTensors(const PretrainedConfig&)> more);
/// Adds keys of config.json that a file's metadata give. One that the layout has already is kept.
void add_config(GgufLayout& layout, std::function<ConfigTexts(const GgufInfo&)> more);
/// Adds keys of the metadata, each with the name that config.json has for it.
void add_keys(GgufLayout& layout, const std::vector<std::pair<std::string, std::string>>& keys);

// rope_scaling, and what belongs to it, where the file says all of it.

/// Positions scaled by one factor, or by yarn.
ConfigTexts rope_scaling(const GgufInfo& file);
/// Llama 3 divides its frequencies by factors of their own, which the file has and the metadata do not
/// explain: they must be those of the formula with the numbers that all published models have.
/// transformers v4.57.6, modeling_rope_utils.py, _compute_llama3_parameters
ConfigTexts llama3_scaling(const GgufInfo& file);
/// Phi-3 has two lists of such factors, for short and for long inputs.
ConfigTexts longrope(const GgufInfo& file);

}  // namespace onnxport::models
