/// A layer of BERT around another attention.
#pragma once

#include <string>
#include <utility>

#include "onnxport/graph.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/op.h"
#include "onnxport/scope.h"
#include "onnxport/text_encoder_config.h"

namespace onnxport::models {

/// BERT's feed-forward. Keys below a layer: intermediate.dense, output.dense.
inline nn::FeedForward bert_mlp(const Scope& s, const TextEncoderConfig& c) {
  return nn::Mlp(s.path(), nn::Linear(s / "intermediate.dense", c.hidden_size, c.intermediate_size),
                 nn::Linear(s / "output.dense", c.intermediate_size, c.hidden_size), c.hidden_act);
}

/// The keys of a layer's norms.
struct PostNormKeys {
  const char* attention = "attention.output.LayerNorm";
  const char* output = "output.LayerNorm";
};

/// norm(x + attention(x)), then norm(x + mlp(x)). `Attention`: x [B, S, H] and what all layers share -> [B,
/// S, H]. (Vaswani et al. 2017)
template <class Attention>
class PostNormLayer {
 public:
  PostNormLayer(const Scope& s, const TextEncoderConfig& c, Attention attention, nn::FeedForward mlp,
                const PostNormKeys& norms = {})
      : path_(s.path()),
        attention_(std::move(attention)),
        attention_norm_(s / norms.attention, c.hidden_size, c.layer_norm_eps),
        mlp_(std::move(mlp)),
        output_norm_(s / norms.output, c.hidden_size, c.layer_norm_eps) {}
  /// With BERT's feed-forward.
  PostNormLayer(const Scope& s, const TextEncoderConfig& c, Attention attention,
                const PostNormKeys& norms = {})
      : PostNormLayer(s, c, std::move(attention), bert_mlp(s, c), norms) {}

  template <class... Shared>
  Value operator()(Value x, const Shared&... shared) const {
    const ModulePath at(x, path_);
    const Value attended = attention_norm_(op::add(attention_(x, shared...), x));
    return output_norm_(op::add(mlp_(attended), attended));
  }

 private:
  std::string path_;
  Attention attention_;
  nn::LayerNorm attention_norm_;
  nn::FeedForward mlp_;
  nn::LayerNorm output_norm_;
};

/// The projections of an attention. Keys: self.query, self.key, self.value, output.dense.
struct Projections {
  std::string path;
  nn::Linear query, key, value, output;

  /// `bias`: of queries, keys and values.
  Projections(const Scope& s, std::int64_t width, bool bias = true)
      : path(s.path()),
        query(s / "self.query", width, width, bias),
        key(s / "self.key", width, width, bias),
        value(s / "self.value", width, width, bias),
        output(s / "output.dense", width, width) {}
};

}  // namespace onnxport::models
