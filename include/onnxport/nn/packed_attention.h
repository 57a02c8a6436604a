/// Attention whose three projections are stored as one tensor.
#pragma once

#include <cstdint>
#include <string>

#include "onnxport/graph.h"
#include "onnxport/nn/basic.h"
#include "onnxport/op.h"
#include "onnxport/scope.h"

namespace onnxport::nn {

/// Attention of queries to keys and values. Keys: in_proj_weight [3 * width, width], in_proj_bias [3 *
/// width], out_proj. (torch.nn.MultiheadAttention)
class ONNXPORT_API PackedAttention {
 public:
  PackedAttention(const Scope& s, std::int64_t width, std::int64_t heads);
  /// query [B or 1, L, width], key and value [B, S, width] -> [B, L, width]
  Value operator()(Value query, Value key, Value value, op::AttentionMask mask = {}) const;

 private:
  std::string path_;
  std::int64_t heads_;
  Linear query_, key_, value_, output_;
};

}  // namespace onnxport::nn
