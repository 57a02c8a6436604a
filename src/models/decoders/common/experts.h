/// Shared parts of types with mixtures of experts.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "onnxport/nn/experts.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {

/// A setting that counts layers. Throws ExportError(bad_config) if it is below one.
std::int64_t interval_of(const PretrainedConfig& config, const char* key,
                         std::optional<std::int64_t> fallback = {});

/// Which layers have experts: `mlp_layer_types`, or else those for which `sparse` holds. Throws
/// ExportError(bad_config) for other types than "dense" and "sparse", or another number of them.
std::vector<bool> sparse_layers(const PretrainedConfig& config, std::int64_t layers,
                                const std::function<bool(std::int64_t layer)>& sparse);
/// The same with those from `first_k_dense_replace` on.
std::vector<bool> sparse_layers(const PretrainedConfig& config, std::int64_t layers);

/// The routing of most types: the num_experts_per_tok largest of the softmax over all experts, which sum to
/// one if norm_topk_prob says so.
nn::Routing softmax_routing(const PretrainedConfig& config);

/// A gated feed-forward of another width than intermediate_size, such as an expert that all tokens pass.
nn::GatedMlp mlp_of_width(const TextDecoderConfig& c, const Scope& s, std::int64_t width, bool bias = false);

/// A mixture of experts whose weights are stored as one tensor (Granite, JetMoE): the softmax over the
/// largest num_experts_per_tok logits. Keys: router.layer, input_linear, which holds gate and up, and
/// output_linear.
nn::SparseMixture stacked_mixture(const Scope& s, const PretrainedConfig& config,
                                  std::int64_t intermediate_size, const std::string& activation);

}  // namespace onnxport::models
