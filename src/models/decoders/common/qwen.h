/// Shared parts of the Qwen types.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "onnxport/gguf.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {

/// Windows in the layers that `layer_types` names, or else from `max_window_layers` on, where
/// `use_sliding_window` asks for them.
std::vector<nn::Visibility> qwen_layer_visibility(const PretrainedConfig& config, std::int64_t layers);

/// Which layers have a mixture of experts: every `decoder_sparse_step`-th, but those of `mlp_only_layers`.
std::vector<bool> qwen_sparse_layers(const PretrainedConfig& config, std::int64_t layers,
                                     std::int64_t experts);

/// An expert that all tokens pass, each as much as a sigmoid says. Keys: shared_expert, shared_expert_gate.
nn::FeedForward qwen_shared_expert(const Scope& s, const TextDecoderConfig& c, std::int64_t width);

/// GGUF files with such an expert beside the others.
GgufLayout gguf_qwen2_moe(std::string architecture, std::string original_class);

}  // namespace onnxport::models
