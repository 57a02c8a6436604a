/// GGUF files of Llama and of the decoders that name their tensors alike.
#pragma once

#include <string>

#include "models/common/gguf_layout.h"

namespace onnxport::models {

/// Names and metadata of Llama, but for the order of its rows.
GgufLayout llama_like_gguf(std::string architecture, std::string original_class);
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
/// The mixtures of DeepSeek V3 in its relatives (GLM 4.5, dots.llm1): names and metadata.
void add_deepseek_mixture(GgufLayout& layout);

}  // namespace onnxport::models
