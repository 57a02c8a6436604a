/// DeBERTa, and its versions 2 and 3.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "models/text_encoders/common/disentangled_attention.h"
#include "onnxport/inputs.h"
#include "onnxport/middle_end.h"
#include "onnxport/model.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/plan.h"
#include "onnxport/text_encoder_config.h"

namespace onnxport::models {

/// The second has, besides other names, a convolution, buckets of distances, and projections of the positions
/// that may be those of the contents.
enum class DebertaVersion { first, second };

/// Also reads embedding_size, position_biased_input, conv_*, relative_attention, share_att_key, norm_rel_ebd,
/// pos_att_type, max_relative_positions and position_buckets. Throws ExportError(bad_config).
struct DebertaConfig : TextEncoderConfig {
  DebertaConfig(const PretrainedConfig& config, DebertaVersion version);

  std::int64_t embedding_size, conv_kernel_size, conv_groups;
  std::int64_t pooler_hidden_size;  ///< only classification has the pooler
  std::string conv_act, pooler_hidden_act;
  bool position_biased_input;  ///< the embeddings have absolute positions
  bool norm_rel_ebd;           ///< the table of relative positions has a norm
  bool legacy;                 ///< the keys of the masked language model are BERT's
  DisentangledAttentionParameters attention;
  DistanceBuckets distances;

  nn::LayerNorm norm(const Scope& s) const { return {s, hidden_size, layer_norm_eps}; }
};

/// Self-attention and feed-forward, each with a residual and a norm. Keys: attention.self,
/// attention.output.{dense, LayerNorm}, intermediate.dense, output.{dense, LayerNorm}.
class DebertaLayer {
 public:
  DebertaLayer(const Scope& s, const DebertaConfig& c);
  Value operator()(Value x, const DisentangledContext& shared) const;

 private:
  std::string path_;
  DisentangledAttention attention_;
  nn::Linear attention_output_;
  nn::LayerNorm attention_norm_;
  nn::Mlp mlp_;
  nn::LayerNorm output_norm_;
};

/// norm(first layer's result for x + act(conv(x))), without padding. Keys: conv, LayerNorm.
class DebertaConvLayer {
 public:
  DebertaConvLayer(const Scope& s, const DebertaConfig& c);
  /// `residual`: the result of the first layer; keep [B, S, 1]: 0 where there is padding, or absent.
  Value operator()(Value x, Value residual, Value keep) const;

 private:
  std::string path_;
  Weight weight_, bias_;
  std::int64_t groups_, padding_;
  nn::Activation activation_;
  nn::LayerNorm norm_;
};

/// Layers that share a table of relative positions. Keys: rel_embeddings, LayerNorm, layer.{i}, conv.
class DebertaEncoder {
 public:
  DebertaEncoder(const Scope& s, const DebertaConfig& c);
  /// Embeddings [B, S, hidden_size] and a mask [B, S] of 0 and 1 -> [B, S, hidden_size].
  Value operator()(Value x, Value attention_mask) const { return states(x, attention_mask).back(); }
  /// The same for all hidden states, starting with the embeddings. An absent mask hides nothing.
  std::vector<Value> states(Value x, Value attention_mask) const;

 private:
  DisentangledContext context(Graph& graph, Value x, Value attention_mask) const;

  std::string path_;
  DistanceBuckets distances_;
  Weight rel_embeddings_;  // empty: no relative positions
  std::optional<nn::LayerNorm> rel_norm_;
  std::vector<DebertaLayer> layers_;
  std::optional<DebertaConvLayer> conv_;
};

class DebertaOnnxConfig : public TextEncoderOnnxConfig {
 public:
  using TextEncoderOnnxConfig::TextEncoderOnnxConfig;
  AxesByName inputs() const override;
};

/// The outputs of a task.
NamedValues build_deberta(const Inputs& inputs, const Model& model, const Component& component,
                          DebertaVersion version);

}  // namespace onnxport::models
