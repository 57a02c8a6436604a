/// Linear, Embedding, LayerNorm, RmsNorm.
#pragma once

#include <cstdint>
#include <string>

#include "onnxport/graph.h"
#include "onnxport/scope.h"

namespace onnxport::nn {

/// y = x W^T + b. Keys: weight [out, in], bias [out]. (torch.nn.Linear)
class ONNXPORT_API Linear {
 public:
  Linear(const Scope& s, std::int64_t in, std::int64_t out, bool bias = true);
  /// From existing weights, such as a tied output embedding. `bias` may be empty.
  Linear(std::string path, Weight weight, Weight bias);
  /// For a checkpoint that stores the weight as [in, out]. (transformers' Conv1D)
  static Linear transposed(const Scope& s, std::int64_t in, std::int64_t out);
  /// [..., in] -> [..., out]
  Value operator()(Value x) const;

  const std::string& path() const { return path_; }
  const Weight& weight() const { return weight_; }  ///< [out, in]
  const Weight& bias() const { return bias_; }      ///< [out], or empty

 private:
  std::string path_;
  Weight weight_, bias_;
};

/// Keys: weight [count, width]. (torch.nn.Embedding)
class ONNXPORT_API Embedding {
 public:
  Embedding(const Scope& s, std::int64_t count, std::int64_t width);
  /// int [...] -> [..., width]
  Value operator()(Value indices) const;
  /// The first rows: [count, width]. The same as a lookup of 0, 1, …, but without one.
  Value first(Graph& graph, const Dim& count) const;
  const Weight& weight() const { return weight_; }

 private:
  std::string path_;
  Weight weight_;
};

/// Over the last axis. Keys: weight [width], bias [width]. (torch.nn.LayerNorm)
class ONNXPORT_API LayerNorm {
 public:
  /// `affine` false: no weight and no bias; `bias` false: no bias.
  LayerNorm(const Scope& s, std::int64_t width, double eps, bool affine = true, bool bias = true);
  Value operator()(Value x) const;

 private:
  std::string path_;
  Weight weight_, bias_;
  double eps_;
};

struct NormParameters {
  double eps = 1e-6;
  double offset = 0;  ///< added to the stored weight
};

/// x / sqrt(mean(x²) + eps) * (offset + weight) over the last axis. Keys: weight [width]. (torch.nn.RMSNorm)
/// The result has the graph's dtype, also if x is float32 in a graph of half precision.
class ONNXPORT_API RmsNorm {
 public:
  RmsNorm(const Scope& s, std::int64_t width, const NormParameters& p);
  Value operator()(Value x) const;

 private:
  std::string path_;
  Weight weight_;
  double eps_;
};

/// What originals do after a layer in float16 alone: values beyond ±64504 become that, which is 1000 less
/// than the largest float16. In other dtypes it is x itself. Some originals do this only if a value is
/// infinite; the result differs by at most 1.6 %, and only for values beyond 64504.
ONNXPORT_API Value clamp_half(Value x);

}  // namespace onnxport::nn
