#include "onnxport/nn/packed_attention.h"

#include <utility>

namespace onnxport::nn {
namespace {

Linear part_of(const Scope& s, std::int64_t width, std::int64_t part) {
  const std::int64_t begin = part * width, end = begin + width;
  return {s.path(), s.weight("in_proj_weight", {3 * width, width}).slice(0, begin, end),
          s.weight("in_proj_bias", {3 * width}).slice(0, begin, end)};
}

}  // namespace

PackedAttention::PackedAttention(const Scope& s, std::int64_t width, std::int64_t heads)
    : path_(s.path()),
      heads_(heads),
      query_(part_of(s, width, 0)),
      key_(part_of(s, width, 1)),
      value_(part_of(s, width, 2)),
      output_(s / "out_proj", width, width) {}

Value PackedAttention::operator()(Value query, Value key, Value value, op::AttentionMask mask) const {
  const ModulePath at(key, path_);
  Value queries = query_(query);
  const Value keys = key_(key);
  const Value values = value_(value);
  // Equal queries of all rows are projected once.
  if (queries.dim(0) != keys.dim(0))
    queries = op::expand(queries, {keys.dim(0), queries.dim(1), queries.dim(2)});
  const op::AttentionOperands operands = {
      .query = queries, .key = keys, .value = values, .mask = std::move(mask)};
  return output_(op::attention(operands, heads_, heads_).output);
}

}  // namespace onnxport::nn
