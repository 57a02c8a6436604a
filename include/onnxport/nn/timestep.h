/// The step of a diffusion, as a vector that conditions the layers.
#pragma once

#include <cstdint>
#include <string>

#include "onnxport/graph.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/basic.h"
#include "onnxport/scope.h"

namespace onnxport::nn {

struct StepSinusoids {
  std::int64_t width = 0;
  bool cosines_first = true;  ///< `flip_sin_to_cos`
  double freq_shift = 0;      ///< frequency i is 10000^(-i / (width / 2 - freq_shift))
};

/// Sines and cosines of numbers [N] -> [N, width], computed in float32. (Ho et al. 2020;
/// diffusers.models.embeddings.get_timestep_embedding)
ONNXPORT_API Value step_sinusoids(Value steps, const StepSinusoids& p);

struct StepEmbeddingParameters {
  std::int64_t in = 0, out = 0;
  std::string activation = "silu";
  std::int64_t condition = 0;  ///< width of a condition that is added to the input; 0: none
};

/// linear_2(activation(linear_1(x + cond_proj(condition)))). Keys: linear_1 [out, in], linear_2 [out, out],
/// cond_proj [in, condition] without a bias. (diffusers.models.embeddings.TimestepEmbedding)
class ONNXPORT_API StepEmbedding {
 public:
  StepEmbedding(const Scope& s, const StepEmbeddingParameters& p);
  /// x [N, in], condition [B, condition] or absent -> [N or B, out]
  Value operator()(Value x, Value condition = {}) const;

 private:
  std::string path_;
  Linear first_, second_;
  Weight condition_;  // empty: none
  Activation activation_;
};

/// The StepEmbedding of 256 sinusoids of each number. Keys: linear_1 [width, 256], linear_2 [width, width].
class ONNXPORT_API SinusoidsEmbedding {
 public:
  SinusoidsEmbedding(const Scope& s, std::int64_t width);
  /// numbers [N] -> [N, width]
  Value operator()(Value numbers) const;

 private:
  StepEmbedding embedding_;
};

}  // namespace onnxport::nn
