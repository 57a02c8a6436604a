/// Linear attention by the gated delta rule.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "onnxport/graph.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/decoder_pass.h"
#include "onnxport/nn/mamba.h"
#include "onnxport/scope.h"

namespace onnxport::nn {

struct DeltaSizes {
  std::int64_t hidden_size = 0;
  std::int64_t key_heads = 0;
  std::int64_t value_heads = 0;  ///< a multiple of key_heads
  std::int64_t key_dim = 0;
  std::int64_t value_dim = 0;
  std::int64_t kernel = 0;  ///< of the convolution

  std::int64_t keys() const { return key_heads * key_dim; }
  std::int64_t values() const { return value_heads * value_dim; }
  std::int64_t convolved() const { return 2 * keys() + values(); }
};

/// What a token adds to the state and reads from it.
struct DeltaInputs {
  Value mixed;  ///< [B, S, convolved()]: queries, keys, values, before the convolution
  Value gate;   ///< [B, S, values()]
  Value
      beta;  ///< float32 [B, S, value_heads]: how far a value replaces the one that the state has for its key
  /// float32 [B, S, value_heads], or [B, S, value_heads * key_dim] where each element of a key has its own:
  /// the logarithm of what remains of the state.
  Value decay;
};
/// sigmoid(x) in float32: the usual beta.
ONNXPORT_API Value delta_beta(Value x);
/// The usual decay. step [B, S, heads] or [B, S, heads * size], shift [heads] or [heads * size], decay
/// float32 [heads]: decay * softplus(step + shift), in float32.
ONNXPORT_API Value delta_decay(Value step, const Weight& shift, const Weight& decay);

/// The parts of a gated delta net. Its owner makes them.
struct GatedDeltaParts {
  std::string path;
  std::int64_t layer = 0;  ///< of its states
  DeltaSizes sizes;
  std::function<DeltaInputs(Value)> project;  ///< of x [B, S, H]
  CausalConv conv1d;
  GatedRmsNorm norm;  ///< of each head's values
  Linear out_proj;
  std::string activation = "silu";
};

/// Queries and keys of length 1, and a state that is corrected towards each value (Yang et al. 2024). States:
/// `conv` [B, convolved(), kernel] and `recurrent` [B, value_heads, key_dim, value_dim].
class ONNXPORT_API GatedDeltaNet {
 public:
  GatedDeltaNet(GatedDeltaParts parts) : parts_(std::move(parts)), activation_(parts_.activation) {}
  /// x [B, S, H] -> [B, S, H]
  Value operator()(Value x, DecoderPass& pass) const;

 private:
  GatedDeltaParts parts_;
  Activation activation_;
};

}  // namespace onnxport::nn
