#include "ir/weight_block_layout.h"

#include <bit>

#include "support/fail.h"
#include "support/text.h"

namespace onnxport::detail {

void fail_operand(std::string_view what, const Weight& weight, std::string_view expected) {
  fail(ErrorCode::shape, "{} '{}' {}{}, expected {}", what, weight.name(), to_string(weight.dtype()),
       text::shape_text(weight.shape()), expected);
}

void check_block_size(std::int64_t block_size) {
  if (block_size < 16 || block_size > 256 || !std::has_single_bit(static_cast<std::uint64_t>(block_size))) {
    fail(ErrorCode::invalid_argument, "blocks of {} values, expected 16, 32, 64, 128 or 256", block_size);
  }
}

void check_parameters(const BlockParameters& parameters) {
  check_block_size(parameters.block_size);
  const int bits = parameters.bits;
  const bool k_quant = parameters.algorithm == BlockAlgorithm::k_quant;
  if (bits != 4 && bits != 8 && (bits != 2 || k_quant)) {
    fail(ErrorCode::invalid_argument, "codes of {} bits, expected {}", bits,
         k_quant ? "4 or 8 for k_quant" : "2, 4 or 8");
  }
}

}  // namespace onnxport::detail
