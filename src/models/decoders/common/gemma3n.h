/// Parts of Gemma 3n: its configuration, attention with keys of other layers, sparse feed-forwards.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "models/decoders/common/shared_keys.h"
#include "onnxport/gguf.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/basic.h"
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
};

GgufLayout gguf_gemma3n();

/// Keys: q_proj, k_proj, v_proj, o_proj, q_norm, k_norm.
SharedKeyAttention gemma3n_attention(const Scope& s, std::int64_t layer, const Gemma3nConfig& c);

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
