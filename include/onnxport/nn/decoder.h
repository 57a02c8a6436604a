/// The parts of decoders with a cache: attention, feed-forward, blocks, and the stack of pre-norm blocks that
/// most of today's language models are.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "onnxport/graph.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/decoder_pass.h"
#include "onnxport/nn/rotary.h"
#include "onnxport/op.h"
#include "onnxport/scope.h"

namespace onnxport::nn {

// ---- queries, keys and values ----

struct HeadSizes {
  std::int64_t hidden_size = 0;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;
};

/// [B, S, heads * head_dim], [B, S, kv_heads * head_dim] twice.
struct QueryKeyValue {
  Value query, key, value;
};

/// How one weight holds queries, keys and values.
enum class FusedLayout {
  stacked,      ///< all queries, all keys, all values: [heads + 2 kv_heads, head_dim]
  per_kv_head,  ///< for each key head its queries, its key, its value: [kv_heads, heads / kv_heads + 2,
                ///< head_dim]
};

/// The projections in front of an attention: three linear layers, or one whose rows hold all three.
class ONNXPORT_API QkvProjection {
 public:
  /// Keys: the three names below `s`.
  static QkvProjection separate(const Scope& s, const HeadSizes& sizes, bool bias,
                                const std::string& query = "q_proj", const std::string& key = "k_proj",
                                const std::string& value = "v_proj", bool key_bias = true);
  /// Keys: weight and maybe bias of `fused`, in this layout.
  static QkvProjection fused(const Linear& fused, const HeadSizes& sizes, FusedLayout layout);

  /// The same with keys and values repeated for every query head: models that cache them so.
  QkvProjection repeated(const HeadSizes& sizes) &&;

  /// [B, S, hidden_size]
  QueryKeyValue operator()(Value x) const;

 private:
  QkvProjection(std::vector<Linear> linears, std::vector<std::int64_t> widths)
      : linears_(std::move(linears)), widths_(std::move(widths)) {}
  std::vector<Linear> linears_;  // three, or one
  std::vector<std::int64_t> widths_;
  std::optional<HeadSizes> repeated_;
};

// ---- attention ----

struct CausalAttentionParameters {
  HeadSizes sizes;
  op::AttentionOptions options = {};
  /// Norms of each head's queries and keys before they turn: keys q_norm, k_norm.
  std::optional<NormParameters> head_norm = {};
};

/// Self-attention with a cache, around projections that its owner makes.
class ONNXPORT_API CausalAttention {
 public:
  CausalAttention(const Scope& s, CausalAttentionParameters p, QkvProjection qkv, Linear output);
  /// x [B, S, H]. Keeps keys and values in `pass`.
  Value operator()(Value x, DecoderPass& pass, std::int64_t layer, const op::AttentionMask& mask,
                   const op::Rope& rope = {}) const;

 private:
  std::string path_;
  CausalAttentionParameters parameters_;
  QkvProjection qkv_;
  Linear output_;
  std::optional<RmsNorm> query_norm_, key_norm_;
};

// ---- feed-forward ----

/// [B, S, H] -> [B, S, H]
using FeedForward = std::function<Value(Value)>;

/// down(activation(up(x)))
class ONNXPORT_API Mlp {
 public:
  Mlp(std::string path, Linear up, Linear down, const std::string& activation)
      : path_(std::move(path)), up_(std::move(up)), down_(std::move(down)), activation_(activation) {}
  Value operator()(Value x) const;

 private:
  std::string path_;
  Linear up_, down_;
  Activation activation_;
};

struct GatedMlpParameters {
  std::int64_t hidden_size = 0;
  std::int64_t intermediate_size = 0;
  std::string activation = "silu";
  bool bias = false;
};

/// down(activation(gate(x)) * up(x)) (Shazeer 2020). Keys: gate_proj, up_proj, down_proj; or, where the first
/// two are one, gate_up_proj, down_proj.
class ONNXPORT_API GatedMlp {
 public:
  GatedMlp(const Scope& s, const GatedMlpParameters& p);
  Value operator()(Value x) const;

 private:
  std::string path_;
  std::vector<Linear> gate_up_;  // two, or one
  Linear down_;
  Activation activation_;
};

// ---- the stack of pre-norm blocks ----

struct DecoderParameters {
  std::int64_t vocab_size = 0;
  std::int64_t layers = 0;
  NormParameters norm;
  CausalAttentionParameters attention;
  std::function<QkvProjection(const Scope& attention)> qkv;
  bool output_bias = false;
  std::function<FeedForward(const Scope& layer, std::int64_t index)> mlp;
  /// Also norms behind attention and feed-forward, before they are added.
  bool sandwich = false;
  /// What queries see, and how they turn, in the layers of each kind; `kind` chooses for a layer.
  struct LayerKind {
    Visibility visible;
    RopeParameters rope;
  };
  std::vector<LayerKind> kinds;
  std::vector<std::size_t> kind_of_layer;  ///< empty: all of the first kind
  /// Multiplies the embeddings.
  std::optional<double> embedding_scale = {};
  /// `attn_implementation` "eager": masks are added, which shows where a query sees no key.
  bool eager = false;
};

/// embed_tokens; for each layer x + attention(norm(x)), x + mlp(norm(x)); norm. Keys: embed_tokens,
/// layers.{i}.{input_layernorm, self_attn, post_attention_layernorm, mlp}, norm; with sandwich norms also
/// pre_feedforward_layernorm and post_feedforward_layernorm.
class ONNXPORT_API PreNormDecoder {
 public:
  PreNormDecoder(const Scope& s, DecoderParameters p);
  /// -> [B, S, H]
  Value operator()(DecoderPass& pass) const;
  /// The table of tokens, for a tied output layer.
  const Weight& embeddings() const { return embed_tokens_.weight(); }

 private:
  struct Layer {
    RmsNorm before_attention;
    CausalAttention attention;
    std::optional<RmsNorm> after_attention;
    RmsNorm before_mlp;
    FeedForward mlp;
    std::optional<RmsNorm> after_mlp;
  };
  Layer make_layer(const Scope& s, std::int64_t index) const;

  std::string path_;
  DecoderParameters parameters_;
  Embedding embed_tokens_;
  std::vector<RotaryEmbedding> rotaries_;  // by kind
  std::vector<Layer> layers_;
  RmsNorm norm_;
};

}  // namespace onnxport::nn
