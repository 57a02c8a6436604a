/// Shared parts of decoders whose attention caches latents, as transformers 5 has them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "models/decoders/common/deepseek.h"
#include "models/decoders/common/experts.h"
#include "models/decoders/common/hybrid.h"
#include "onnxport/nn/blocks.h"
#include "onnxport/nn/key_indexer.h"
#include "onnxport/nn/latent_attention.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {

/// The states of each layer are its latents and the turned parts of its keys: [B, 1, P, kv_lora_rank] and
/// [B, 1, P, qk_rope_head_dim].
class LatentCacheOnnxConfig : public HybridOnnxConfig {
 public:
  using HybridOnnxConfig::HybridOnnxConfig;

 protected:
  std::vector<StateSpec> layer_states(std::int64_t layer) const override;
};

/// The same, where layers with an indexer also have its keys: [B, P, index_head_dim].
class IndexedLatentOnnxConfig : public LatentCacheOnnxConfig {
 public:
  using LatentCacheOnnxConfig::LatentCacheOnnxConfig;

 protected:
  std::vector<StateSpec> layer_states(std::int64_t layer) const override;
  virtual bool has_indexer(std::int64_t /*layer*/) const { return true; }
  StateSpec indexer_state(std::int64_t layer) const;
};

/// A state that grows along a new axis, past_sequence_length.
StateSpec with_growing_axis(StateSpec state, int axis);

/// latent_attention_parameters() with the rotation that config.json describes.
nn::LatentAttentionParameters turning_latent_parameters(const PretrainedConfig& config,
                                                        const TextDecoderConfig& c, bool interleaved);

/// nn::cached_latent_attention() with the scale and the mask of the original.
nn::LatentAttentionParts latent_parts(const Scope& s, std::int64_t layer, const PretrainedConfig& config,
                                      const TextDecoderConfig& c, const nn::LatentAttentionParameters& p,
                                      nn::LatentQueries query = {});

/// TextDecoderConfig::block() around any attention.
nn::Block latent_block(const TextDecoderConfig& c, const Scope& s, nn::Mixer attention, nn::FeedForward mlp);

/// deepseek_routing() as transformers 5 computes it: experts of other groups are never chosen.
nn::Routing grouped_routing(const PretrainedConfig& config, const Weight& bias);
/// deepseek_mixture() with it.
nn::FeedForward grouped_mixture(const Scope& s, const PretrainedConfig& config, const TextDecoderConfig& c);

/// Where the heads of an indexer turn, and how.
enum class IndexerTurns {
  first_halves,      ///< the first elements; element i together with i + half
  first_neighbours,  ///< the first elements; neighbours, of which the first ones come to the front
  last_halves,       ///< the last elements; element i together with i + half
};
/// The indexer of index_n_heads, index_head_dim and index_topk. Throws ExportError(bad_config) if its heads
/// have fewer elements than turn.
nn::KeyIndexerParameters indexer_parameters(const PretrainedConfig& config, const TextDecoderConfig& c,
                                            const nn::RopeParameters& rope, IndexerTurns turns);
/// The keys that this indexer keeps.
nn::KeySelection kept_by(nn::KeyIndexer indexer);

/// `indexer_types` "full" and "shared", or else what `full` says. Throws ExportError(bad_config) for other
/// types or another number of them, and if the first layer has no indexer.
std::vector<bool> indexed_layers(const PretrainedConfig& config, std::int64_t layers,
                                 const std::function<bool(std::int64_t layer)>& full);

/// Layers that attend to the keys that an earlier layer has chosen. The copies of one share what it holds.
class SharedSelection {
 public:
  /// What `selection` chooses stays for later layers.
  nn::KeySelection made_by(nn::KeySelection selection) const;
  nn::KeySelection last() const;

 private:
  std::shared_ptr<Value> chosen_ = std::make_shared<Value>();
};

/// The config with `num_experts`, if it has that older key, as n_routed_experts.
PretrainedConfig with_routed_experts(const PretrainedConfig& config);

/// The keys that a layer sees, from an indexer below `s`.
using SelectKeys = std::function<nn::KeySelection(const Scope& s, std::int64_t layer,
                                                  const nn::KeyIndexerParameters& indexer)>;
/// A decoder of latent attentions that see chosen keys, and of feed-forwards or mixtures (sparse_layers()).
NamedValues forward_indexed_decoder(const Inputs& inputs, const Model& model, const Component& component,
                                    const PretrainedConfig& config, IndexerTurns turns,
                                    const SelectKeys& select);

/// Throws ExportError(bad_config) without `q_lora_rank`, for originals that need it.
void require_query_rank(const PretrainedConfig& config);

}  // namespace onnxport::models
