/// Shared parts of T5 and its relatives.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "onnxport/middle_end.h"
#include "onnxport/model.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/causal_attention.h"
#include "onnxport/nn/decoder_pass.h"
#include "onnxport/op.h"

namespace onnxport::models {

class T5OnnxConfig : public TextSeq2SeqOnnxConfig {
 public:
  using TextSeq2SeqOnnxConfig::TextSeq2SeqOnnxConfig;
  NormalizedConfig normalized_config() const override {
    const auto decoder = config().unaccounted().maybe_integer("num_decoder_layers");
    return NormalizedSeq2SeqConfig(config()).with_args(
        {{"encoder_num_layers", "num_layers"},
         {"decoder_num_layers", decoder ? "num_decoder_layers" : "num_layers"},
         {"encoder_num_attention_heads", "num_heads"},
         {"decoder_num_attention_heads", "num_heads"},
         {"head_dim", "d_kv"}});
  }
};

/// The table of tokens under all its names.
KeyNames t5_key_names();

struct T5Config {
  explicit T5Config(const PretrainedConfig& config);

  std::int64_t vocab_size, d_model, d_kv, d_ff, layers, decoder_layers, heads, buckets, max_distance;
  double eps;
  std::string activation;
  bool gated, tied;
  bool scale_hidden;  ///< the head's input is scaled
  /// In float16: scores are not scaled, so half precision would round them too much.
  std::optional<DType> score_dtype = {};

  nn::HeadSizes head_sizes() const { return {d_model, heads, heads, d_kv}; }
  nn::RmsNorm norm(const Scope& s) const { return {s, d_model, {.eps = eps}}; }
  /// The bias of relative distances; those of a decoder look back.
  nn::RelativeBiasParameters relative_bias(bool decoder) const;
};

/// The self-attention of the layers of one half of the model, without the norm in front of it.
struct T5SelfAttention {
  /// What all layers share: the keys that queries see, and maybe a bias.
  std::function<op::AttentionMask(nn::DecoderPass&)> mask;
  /// x [B, S, d_model] -> [B, S, d_model]
  using Layer = std::function<Value(Value x, nn::DecoderPass&, const op::AttentionMask&)>;
  /// The layer of this number, whose scope is block.{number}.layer.0.
  std::function<Layer(const Scope& s, std::int64_t number)> layer;
};

/// T5's own: a bias of the first layer, which all of them add. `half`: the scope of encoder or decoder.
T5SelfAttention t5_self_attention(const Scope& half, const T5Config& config, bool decoder);
/// The keys that are real, and in a decoder not behind the query.
op::AttentionMask t5_mask(nn::DecoderPass& pass, bool decoder);
/// The attention below `s`, without a bias of its own.
nn::CausalAttention t5_attention(const Scope& s, std::int64_t number, const T5Config& config);

/// x [B, S, d_model] -> [B, S, d_model], without the norm in front of it.
using T5FeedForward = std::function<Value(Value)>;
/// wo(act(wi(x))), or wo(act(wi_0(x)) * wi_1(x)). In float16, the original keeps wo in float32, and so is the
/// result.
T5FeedForward t5_feed_forward(const Scope& s, const T5Config& config);

/// The parts in which relatives of T5 differ.
struct T5Parts {
  std::function<T5SelfAttention(const Scope& half, const T5Config&, bool decoder)> self_attention =
      t5_self_attention;
  /// `s`: the scope of the layer's last part.
  std::function<T5FeedForward(const Scope& s, const T5Config&, std::int64_t number, bool decoder)>
      feed_forward = [](const Scope& s, const T5Config& c, std::int64_t, bool) {
        return t5_feed_forward(s / "DenseReluDense", c);
      };
};

/// T5 itself.
NamedValues forward_t5(const Inputs& inputs, const Model& model, const Component& component);
NamedValues forward_t5_like(const Inputs& inputs, const Model& model, const Component& component,
                            T5Config config, const T5Parts& parts = {});

/// Registers a type with the tasks and names of T5.
void register_t5_like(TasksManager& tasks, ModelDefinition definition);

}  // namespace onnxport::models
