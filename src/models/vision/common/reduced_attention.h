/// Attention to fewer tokens, as in pyramid vision transformers. (Wang et al. 2021)
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "onnxport/dim.h"
#include "onnxport/graph.h"
#include "onnxport/nn/basic.h"
#include "onnxport/scope.h"

namespace onnxport::models {

/// Tokens of a grid [B, rows * columns, C] -> fewer tokens [B, S, C].
using Reduction = std::function<Value(Value tokens, const Dim& rows, const Dim& columns)>;

/// One token for each patch of ratio x ratio tokens: a convolution and a norm. Empty for a ratio of 1.
Reduction patch_reduction(const Scope& convolution, const Scope& norm, std::int64_t width, std::int64_t ratio,
                          double eps);

struct ReducedAttentionParameters {
  std::int64_t width = 0, heads = 0;
  bool qkv_bias = true;
  /// Keys.
  std::string query = "query", key = "key", value = "value", output = "proj";
};

class ReducedAttention {
 public:
  ReducedAttention(const Scope& s, const ReducedAttentionParameters& p, Reduction reduction);
  /// x [B, rows * columns, width] -> the same. Without a reduction, there may be other tokens.
  Value operator()(Value x, const Dim& rows, const Dim& columns) const;

 private:
  std::string path_;
  std::int64_t heads_;
  nn::Linear query_, key_, value_, output_;
  Reduction reduction_;
};

}  // namespace onnxport::models
