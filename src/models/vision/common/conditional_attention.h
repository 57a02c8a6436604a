/// Attention of queries whose content and place are projected apart: Conditional DETR, DAB-DETR. (Meng et al.
/// 2021)
#pragma once

#include <cstdint>
#include <string>

#include "models/common/definition.h"
#include "models/vision/common/detr.h"

namespace onnxport::models {

/// The keys of the projections.
struct ConditionalNames {
  std::string query_content, query_place, key_content, key_place, value, output;
  std::string sine = {};  ///< of attention to the memory
};

struct ConditionalAttention {
  Scope s;
  ConditionalNames names;
  std::int64_t width, heads;

  /// Among the queries: x [B, Q, width], their places [1 or B, Q, width].
  Value to_queries(Value x, Value places) const;
  /// To the memory. `sines` of the places, [1 or B, Q, width], are half of each head. `placed`: content and
  /// place are also added.
  Value to_memory(Value x, Value places, Value sines, const DetrMemory& memory, bool placed) const;

 private:
  Value project(const std::string& name, Value x) const;
  Value join(Value content, Value place) const;
};

}  // namespace onnxport::models
