/// Mixers with a selective state space, and the parts that other recurrent mixers share with them.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "onnxport/graph.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/blocks.h"
#include "onnxport/nn/decoder_pass.h"
#include "onnxport/recurrence.h"
#include "onnxport/scope.h"

namespace onnxport::nn {

/// Depthwise convolution over the last `kernel` tokens. Its state, a part of the layer [B, channels, kept],
/// are the last inputs. Keys: weight [channels, 1, kernel], bias [channels].
class ONNXPORT_API CausalConv {
 public:
  /// `kept`: `kernel` where absent.
  CausalConv(const Scope& s, std::int64_t channels, std::int64_t kernel, bool bias,
             std::optional<std::int64_t> kept = {});
  /// From an existing weight [channels, 1, kernel], without a bias.
  CausalConv(std::string path, Weight weight);
  /// [B, S, channels] -> the same
  Value operator()(Value x, DecoderPass& pass, std::int64_t layer, std::string_view part = "conv") const;

 private:
  std::string path_;
  Weight weight_, bias_;
  std::int64_t kept_;
};

struct GatedNormParameters {
  double eps = 1e-6;
  std::int64_t groups = 1;          ///< of features; each is normalized on its own
  bool gate_first = true;           ///< norm(x * silu(gate)); else norm(x) * silu(gate)
  std::string activation = "silu";  ///< of the gate
};

/// RmsNorm over the last axis with a gate, in float32. Keys: weight [width].
class ONNXPORT_API GatedRmsNorm {
 public:
  GatedRmsNorm(const Scope& s, std::int64_t width, const GatedNormParameters& p);
  /// x and gate [..., width] -> the same, in the graph's dtype
  Value operator()(Value x, Value gate) const;

 private:
  std::string path_;
  Weight weight_;
  GatedNormParameters parameters_;
};

/// Where zeros take the place of padding: in what the convolution takes, or in what in_proj takes, whose bias
/// the convolution then sees.
enum class MambaPadding : std::uint8_t { convolution, projection };

struct MambaParameters {
  std::int64_t hidden_size = 0;
  std::int64_t intermediate_size = 0;
  std::int64_t state_size = 0;
  std::int64_t kernel = 0;  ///< of the convolution
  std::int64_t time_step_rank = 0;
  std::string activation = "silu";
  bool bias = false;
  bool conv_bias = true;
  MambaPadding padding = MambaPadding::convolution;
};
/// Norms of what the state is updated and read with; any may be absent.
struct MambaNorms {
  Norm time_step = {}, input = {}, output = {};
};

/// A selective state space with a decay for each channel and element of state (Gu and Dao 2023). States:
/// `conv` [B, intermediate, kernel] and `ssm` [B, intermediate, state_size]. Keys: in_proj, conv1d, x_proj,
/// dt_proj, A_log, D, out_proj.
class ONNXPORT_API Mamba {
 public:
  Mamba(const Scope& s, std::int64_t layer, const MambaParameters& p, MambaNorms norms = {});
  /// x [B, S, H] -> [B, S, H]
  Value operator()(Value x, DecoderPass& pass) const;

 private:
  std::string path_;
  std::int64_t layer_;
  MambaParameters parameters_;
  Linear in_proj_;
  CausalConv conv1d_;
  Linear x_proj_, dt_proj_;
  Weight decay_, d_;
  Linear out_proj_;
  Activation activation_;
  MambaNorms norms_;
};

struct Mamba2Sizes {
  std::int64_t hidden_size = 0;
  std::int64_t heads = 0;
  std::int64_t head_dim = 0;
  std::int64_t groups = 1;  ///< of heads, which share what their states are updated and read with
  std::int64_t state_size = 0;
  std::int64_t kernel = 0;  ///< of the convolution

  std::int64_t intermediate() const { return heads * head_dim; }
  std::int64_t convolved() const { return intermediate() + 2 * groups * state_size; }
  /// Gate, convolved features, time steps.
  std::int64_t projected() const { return intermediate() + convolved() + heads; }
};

/// The parts of a Mamba2 mixer. Its owner makes them, or changes those of mamba2_parts().
struct Mamba2Parts {
  std::string path;
  std::int64_t layer = 0;  ///< of its states
  Mamba2Sizes sizes;
  /// [B, S, H] -> [B, S, projected()]
  std::function<Value(Value)> in_proj;
  CausalConv conv1d;
  Weight decay;       ///< float32 [heads]: decay_of()
  Weight d, dt_bias;  ///< [heads]
  /// y and gate [B, S, intermediate()] -> the same
  std::function<Value(Value y, Value gate)> gated;
  Linear out_proj;
  std::string activation = "silu";
  /// Time steps are clamped. The shortest one of a single token with a past is only clamped if
  /// `clamps_single`.
  double shortest_step = 0, longest_step = std::numeric_limits<double>::infinity();
  bool clamps_single = true;
};

struct Mamba2Options {
  bool bias = false;
  bool conv_bias = true;
  GatedNormParameters norm = {};
};
/// Keys: in_proj, conv1d, A_log, D, dt_bias, norm, out_proj.
ONNXPORT_API Mamba2Parts mamba2_parts(const Scope& s, std::int64_t layer, const Mamba2Sizes& sizes,
                                      const Mamba2Options& options);

/// A selective state space with one decay per head (Dao and Gu 2024). States: `conv` [B, convolved(), kernel]
/// and `ssm` [B, heads, head_dim, state_size].
class ONNXPORT_API Mamba2 {
 public:
  Mamba2(Mamba2Parts parts) : parts_(std::move(parts)), activation_(parts_.activation) {}
  /// x [B, S, H] -> [B, S, H]
  Value operator()(Value x, DecoderPass& pass) const;

 private:
  Mamba2Parts parts_;
  Activation activation_;
};

/// -exp(log) in float32.
ONNXPORT_API Weight decay_of(const Weight& log);
/// The decay of a state below `s`, float32. Keys: A_log, or A, which is the decay itself (GGUF files).
ONNXPORT_API Weight state_decay(const Scope& s, const std::vector<std::int64_t>& shape);
/// A state in float32, or absent.
ONNXPORT_API Value wide_past(const DecoderPass& pass, std::int64_t layer, std::string_view part);
/// Keeps a state in the graph's dtype.
ONNXPORT_API void keep_wide(DecoderPass& pass, std::int64_t layer, std::string_view part, Value state);

}  // namespace onnxport::nn
