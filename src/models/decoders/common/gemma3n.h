/// Parts of Gemma 3n: its configuration, attention with keys of other layers, sparse feed-forwards.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "onnxport/nn/activation.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/decoder_pass.h"
#include "onnxport/nn/rotary.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {

struct Gemma3nConfig : TextDecoderConfig {
  explicit Gemma3nConfig(const PretrainedConfig& c);

  std::vector<std::int64_t> widths;  ///< of the feed-forwards
  std::vector<double> sparsity;      ///< of their gates
  std::vector<nn::Visibility> visible;
  nn::RopeParameters local_rope;
  std::int64_t streams, active;  ///< of alternating updates
  std::int64_t layer_width, layer_vocab, shared_layers, laurel_rank;
  std::optional<double> clip;
  bool scales_active;

  /// Layers from here on take the keys and values of an earlier one.
  std::int64_t first_shared() const;
  /// The last layer of the same kind with keys and values of its own. Throws ExportError(bad_config) if there
  /// is none.
  std::optional<std::int64_t> source_of(std::int64_t layer) const;
};

/// Keys and values of the layers of one pass, in their whole length.
using KeptKeys = std::map<std::int64_t, nn::KeyValue>;

class Gemma3nAttention {
 public:
  Gemma3nAttention(const Scope& s, std::int64_t layer, const Gemma3nConfig& c);
  /// x [B, S, H] -> [B, S, H]
  Value operator()(Value x, nn::DecoderPass& pass, KeptKeys& kept) const;

 private:
  Value with_own(Value x, Value query, const op::Rope& rope, nn::DecoderPass& pass, KeptKeys& kept) const;
  Value with_shared(Value query, const op::Rope& rope, const nn::DecoderPass& pass,
                    const nn::KeyValue& kept) const;
  /// [1, 1, S, P + S]: the order of the keys, which keys of another layer do not have by themselves.
  Value ordered(const nn::DecoderPass& pass) const;

  std::string path_;
  std::int64_t layer_;
  std::optional<std::int64_t> source_;
  nn::HeadSizes sizes_;
  nn::Visibility visible_;
  nn::RotaryEmbedding rotary_;
  nn::Linear query_, output_;
  std::function<Value(Value)> query_norm_, key_, value_;
};

/// Gated. Of the gate, only the part beyond a quantile counts, as if its elements were normally distributed.
class Gemma3nMlp {
 public:
  Gemma3nMlp(const Scope& s, std::int64_t layer, const Gemma3nConfig& c);
  /// [B, S, H] -> [B, S, H]
  Value operator()(Value x) const;

 private:
  Value cut(Value gate) const;

  std::string path_;
  std::int64_t width_;
  nn::Linear gate_, up_, down_;
  nn::Activation activation_;
  double sparsity_;
};

}  // namespace onnxport::models
