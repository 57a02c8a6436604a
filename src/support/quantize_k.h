/// The search of k_quant; see quantize_blocks().
#pragma once

#include <cstdint>

#include "support/quantize_blocks.h"

namespace onnxport {

/// quantize_blocks() for `k_quant`.
void quantize_k(const float* values, std::int64_t count, const BlockParameters& parameters,
                BlockResults results, SumOrder order);

}  // namespace onnxport
