#include "onnxport/nn/block_sparse.h"

#include <fmt/format.h>

#include <cmath>

#include "onnxport/error.h"
#include "onnxport/nn/attention.h"

namespace onnxport::nn {

BlockSight block_sight(Value attention_mask, const BlockSparsity& p, DType dtype) {
  constexpr std::int64_t kMost = 1 << 20;
  if (p.block < 1 || p.block > kMost || p.random_blocks < 0 || p.random_blocks > kMost) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("block_size is {} and num_random_blocks {}, expected at least 1 and 0, and "
                                  "at most {}",
                                  p.block, p.random_blocks, kMost));
  }
  Graph& graph = attention_mask.graph();
  const ModulePath at(graph, "block_mask");
  const auto of_block = [&](Value place) { return op::div(place, static_cast<double>(p.block)); };
  const Value length = op::size(graph, attention_mask.dim(1));
  const Value is_long = op::gt(length, static_cast<double>(p.longest_full()));
  const Value is_short = op::logical_not(is_long);
  const Value block = of_block(op::arange(graph, attention_mask.dim(1)));
  const Value last = of_block(op::sub(length, 1.0));
  const Value first = op::eq(block, 0.0);
  const Value outer = op::logical_or(first, op::eq(block, last));
  const Value outer_rows = op::unsqueeze(outer, 1);
  const Value apart = op::abs(op::sub(op::unsqueeze(block, 1), block));
  const Value near_or_outer = op::logical_or(op::lt(apart, 2.0), outer);
  const Value seen = op::logical_or(near_or_outer, outer_rows);
  const Value again = op::logical_and(first, op::logical_not(outer_rows));
  const Value more = op::cast(op::logical_and(again, is_long), dtype);
  const Value bias = op::mul(more, std::log(1 + static_cast<double>(p.random_blocks)));
  const Value real = op::logical_or(op::ne(attention_mask, 0.0), is_short);

  const auto of_all = [](Value x) { return op::unsqueeze(op::unsqueeze(x, 0), 0); };
  BlockSight sight{.mask = padding_mask(attention_mask)};
  sight.mask.visible = of_all(op::logical_or(seen, is_short));
  sight.mask.bias = of_all(bias);
  sight.keep = op::unsqueeze(op::cast(real, dtype), 2);
  return sight;
}

}  // namespace onnxport::nn
