/// Shared parts of the Qwen types.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "onnxport/gguf.h"
#include "onnxport/interface.h"
#include "onnxport/model.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {

/// Qwen2, and language models that are the same but for the rotation in `c`.
NamedValues forward_qwen2(const Inputs& inputs, const Model& model, const Component& component,
                          TextDecoderConfig c);

/// Qwen3-VL's language model: the axes of positions take turns.
TextDecoderConfig qwen3_vl_config(const PretrainedConfig& config);
/// RopeParameters::axes that take turns, whatever mrope_interleaved says. `sections`: where the file has no
/// mrope_section.
std::vector<std::int64_t> axes_in_turns(const PretrainedConfig& config, std::vector<std::int64_t> sections,
                                        std::int64_t pairs);

/// Blocks of a decoder whose vectors [B, S, H * (1 + n)] bring n further features: the first layer gets the
/// first H elements, and what layer i gives is added to the features i + 1. (DeepStack, Meng et al. 2024)
nn::MakeBlock deepstack(const TextDecoderConfig& c, const nn::MakeBlock& make_block);

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
