/// Linear layers whose inputs and outputs fall into groups.
#pragma once

#include <cstdint>
#include <string>

#include "onnxport/graph.h"
#include "onnxport/scope.h"
#include "onnxport/weight.h"

namespace onnxport::models {

/// Each group of outputs is a linear function of its group of inputs; with one group, a plain linear layer.
class GroupedLinear {
 public:
  /// `weight` [out, in / groups], `bias` [out].
  GroupedLinear(std::string path, Weight weight, Weight bias, std::int64_t groups);
  /// A convolution of one tap. Keys: weight [out, in / groups, 1], bias [out]. (squeezebert)
  static GroupedLinear pointwise(const Scope& s, std::int64_t in, std::int64_t out, std::int64_t groups);
  /// Keys: weight [groups, in / groups, out / groups], or [out, in] for one group; bias [out]. (convbert)
  static GroupedLinear stacked(const Scope& s, std::int64_t in, std::int64_t out, std::int64_t groups);
  /// x [B, S, in] -> [B, S, out]
  Value operator()(Value x) const;

 private:
  std::string path_;
  Weight weight_, bias_;
  std::int64_t groups_;
};

}  // namespace onnxport::models
