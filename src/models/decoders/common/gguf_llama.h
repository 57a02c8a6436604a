/// GGUF files of Llama and of the decoders that name their tensors alike.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "models/common/gguf_layout.h"

namespace onnxport::models {

/// Names and metadata of Llama, but for the order of its rows.
GgufLayout llama_like_gguf(std::string architecture, std::string original_class);
/// Adds names of layers: `blk.{}.` before the first of each pair, `model.layers.{}.` before the second.
void add_layer_names(GgufLayout& layout, const std::vector<std::pair<const char*, const char*>>& names,
                     const GgufRestore& restore = {});
/// Adds names that do not depend on the configuration.
void add_names(GgufLayout& layout, GgufTensors names);
/// Rows of queries and keys in the order of interleaved rotation.
void turn_rows(GgufLayout& layout);
/// The types that the converter of Llama handles, with such rows. Llama, Mistral and Mixtral share an
/// architecture.
GgufLayout turning_gguf(std::string original_class, std::string architecture = "llama");
/// Which of the three a file of the architecture `llama` holds.
bool has_gguf_experts(const GgufInfo& file);
bool is_gguf_mistral(const GgufInfo& file);
/// The experts of each layer, below `mlp`: one tensor for all of them, or one for each in old files.
GgufTensors gguf_experts(const std::string& mlp, const char* gate, const char* up, const char* down);
/// An expert of each layer that all tokens pass: `expert` below the layer.
GgufTensors gguf_shared_expert(const std::string& expert);
/// Adds the metadata of mixtures: `count` and `used` are the names of config.json for the number of experts
/// and of those for each token.
void add_expert_keys(GgufLayout& layout, const char* count, const char* used = "num_experts_per_tok");
/// The mixtures of DeepSeek V3 and its relatives (GLM 4.5, dots.llm1): names and metadata. `count` and
/// `shared` are the names of config.json for the numbers of experts.
void add_deepseek_mixture(GgufLayout& layout, const char* count = "n_routed_experts",
                          const char* shared = "n_shared_experts");

}  // namespace onnxport::models
