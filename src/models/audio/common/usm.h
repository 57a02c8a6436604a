/// Conformer layers over chunks of frames (Gemma 3n, Gemma 4). (Zhang et al. 2023, Universal Speech Model)
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "models/common/bounded_linear.h"
#include "models/common/definition.h"
#include "onnxport/nn/activation.h"

namespace onnxport::models {

/// Keys below a layer.
struct UsmKeys {
  std::string first, before_attention, attention, distances, attention_output, after_attention, second, norm;
};

/// Makes the linear layer, without bias, whose keys lie below `s`.
using MakeLinear = std::function<BoundedLinear(const Scope& s, std::int64_t in, std::int64_t out)>;

struct UsmConfig {
  std::int64_t hidden_size = 0, heads = 1, kernel = 1;
  /// Frames of a chunk see those of the chunk, and so many before and behind it,
  std::int64_t chunk = 1, past = 0, future = 0;
  /// if they are no further away than this.
  std::int64_t back = 0, ahead = 0;
  /// The distances with vectors: `farthest`, farthest - 1, …, so many.
  std::int64_t farthest = 0, distances = 1;
  double query_scale = 1, key_scale = 1, softcap = 50;
  double hidden_score = -1e9;  ///< of a frame that is not seen
  double limit = 1e10;         ///< of the values between layers
  double residual = 0.5;       ///< of the feed-forwards
  double eps = 1e-6;           ///< of the norms around the convolution; that of the others is 1e-6
  std::string activation = "silu";
  bool zero_padding = false;  ///< frames that are not real are 0 in front of the convolution
  UsmKeys keys;
  MakeLinear linear;

  std::int64_t head_dim() const { return hidden_size / heads; }
  std::int64_t seen() const { return past + chunk + future; }
};

/// x [B, L, hidden_size]; `real`, bool [B, L]: the frames of the sound.
struct UsmFrames {
  Value x, real;
};

/// Which frames the queries of a chunk see: bool [B * chunks, 1, chunk, past + chunk + future]. All layers
/// share it.
Value usm_visibility(const UsmConfig& c, Value real);

/// One layer: half a feed-forward, attention, a convolution, another half of a feed-forward, a norm.
/// `visible`: usm_visibility(). -> [B, L, hidden_size]
Value usm_layer(const Scope& s, const UsmConfig& c, const UsmFrames& frames, Value visible);

/// Frames 0, step, 2 step, …: [B, L, …] -> [B, L / step, rounded up, …].
Value every_frame(Value x, std::int64_t step);

}  // namespace onnxport::models
