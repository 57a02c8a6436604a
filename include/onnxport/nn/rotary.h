/// Rotary position embeddings.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "onnxport/graph.h"
#include "onnxport/op.h"
#include "onnxport/weight.h"

namespace onnxport::nn {

/// The settings of `rope_scaling` or `rope_parameters` in a config, with the same names (transformers 4.57.6
/// and 5.23.0, modeling_rope_utils.py).
struct RopeParameters {
  std::int64_t dim = 0;  ///< elements of a head that are rotated
  double theta = 10000;
  std::string type = "default";  ///< default, linear, dynamic, llama3, yarn, longrope, proportional
  double factor = 1;
  double attention_factor = 1;  ///< of cosines and sines
  bool interleaved = false;     ///< element 2 i pairs with 2 i + 1
  std::int64_t max_position_embeddings = 0;
  std::int64_t original_max_position_embeddings = 0;
  /// Which axis of the positions turns each pair, [dim / 2]; empty: positions have one axis.
  std::vector<std::int64_t> axes = {};
  std::int64_t turning = 0;  ///< proportional: elements of `dim` that turn; the others have frequency 0
  double low_freq_factor = 1, high_freq_factor = 4;  ///< llama3
  double beta_fast = 32, beta_slow = 1;              ///< yarn
  bool truncate = true;                              ///< yarn
  std::vector<double> short_factor, long_factor;     ///< longrope, dim / 2 each
};

/// RopeParameters::axes of so many pairs, where the axes take turns: 0 1 2 0 1 2 …, each for at most
/// sections[axis] pairs; the pairs that are left have axis 0.
ONNXPORT_API std::vector<std::int64_t> axes_in_turns(const std::vector<std::int64_t>& sections,
                                                     std::int64_t pairs);

/// Like the originals, computes angles in float32, whatever the dtype of the graph. With `dynamic` and
/// `longrope`, the frequencies depend on the largest position of the call.
class ONNXPORT_API RotaryEmbedding {
 public:
  /// Throws ExportError(bad_config) for an unknown type or a wrong number of factors or axes.
  RotaryEmbedding(std::string path, RopeParameters p);
  /// position_ids int [B, S] or [1, S]; with axes also [A, B, S], each axis for some of the pairs
  op::Rope operator()(Value position_ids) const;

 private:
  Value frequencies(Value position_ids) const;

  std::string path_;
  RopeParameters parameters_;
};

/// x [B, S, heads * head_dim] with every head rotated, for what an attention does between the rotation and
/// the scores.
ONNXPORT_API Value turned(Value x, const op::Rope& rope, std::int64_t heads);

}  // namespace onnxport::nn
