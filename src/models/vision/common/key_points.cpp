#include "models/vision/common/key_points.h"

#include "onnxport/index_ops.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

constexpr const char* kCount = "num_keypoints_and_one";

Value counted(Value flags) { return op::cast(flags, DType::i64); }

// Elements [B, N] of a table [B, K] by their numbers.
Value pick(Value table, Value numbers) { return op::gather(table, 1, numbers); }

// The same for rows of a table [B, K, W] -> [B, N, W].
Value pick_rows(Value table, Value numbers) {
  const Shape shape = {numbers.dim(0), numbers.dim(1), table.dim(2)};
  return op::gather(table, 1, op::expand(op::unsqueeze(numbers, 2), shape));
}

Value at_most(Value numbers, const Dim& last) {
  const Value end = op::size(numbers.graph(), last);
  return op::where(op::lt(numbers, end), numbers, end);
}

struct Places {
  Value rows, columns, real;  // [B, N]
};

// The places of the true flags [B, H, W], row by row, as many as `ranks` [N]; anything where there are fewer.
Places true_places(Value flags, Value ranks) {
  const Value ones = counted(flags);
  const Value in_row = op::sum(ones, 2);                           // [B, H]
  const Value up_to_row = op::cumsum(in_row, 1);                   // [B, H]
  const Value up_to_column = op::cumsum(ones, 2);                  // [B, H, W]
  const Value wanted = op::unsqueeze(op::unsqueeze(ranks, 0), 2);  // [1, N, 1]
  // Rows before that of a point are those with too few up to them.
  const Value passed = op::sum(counted(op::le(op::unsqueeze(up_to_row, 1), wanted)), 2);  // [B, N]
  const Value rows = at_most(passed, flags.dim(1) - 1);
  const Value own = pick(in_row, rows);
  const Value before = op::sub(pick(up_to_row, rows), own);
  const Value rank = op::unsqueeze(op::sub(op::unsqueeze(ranks, 0), before), 2);  // [B, N, 1]
  const Value columns = op::sum(counted(op::le(pick_rows(up_to_column, rows), rank)), 2);
  const Value total = op::sum(in_row, 1, true);  // [B, 1]
  return {rows, at_most(columns, flags.dim(2) - 1), op::lt(op::unsqueeze(ranks, 0), total)};
}

}  // namespace

Value local_maxima(Value image, std::int64_t radius) {
  const auto largest = [&](Value x) {
    const std::int64_t side = 2 * radius + 1;
    return op::max_pool2d(x, {side, side}, {.stride = {1, 1}, .padding = {radius, radius}});
  };
  const Value zero = op::scalar(image.graph(), 0.0, image.dtype());
  Value found = op::eq(image, largest(image));
  for (int round = 0; round < 2; ++round) {
    const Value near = op::gt(largest(op::cast(found, image.dtype())), 0.0);
    const Value rest = op::where(near, zero, image);
    const Value again = op::eq(rest, largest(rest));
    found = op::logical_or(found, op::logical_and(again, op::logical_not(near)));
  }
  return op::where(found, image, zero);
}

Dim key_point_count() { return Dim::symbol(kCount) - 1; }

KeyPoints key_points(Value scores, const KeyPointParameters& p) {
  Graph& graph = scores.graph();
  const Dim &rows = scores.dim(1), &columns = scores.dim(2);
  const auto inside = [&](const Dim& extent) {
    const Value border = op::size(graph, p.border);
    return op::ge(op::arange(graph, extent), border);
  };
  const Value below = op::unsqueeze(inside(rows), 1);
  const Value framed = op::logical_and(below, inside(columns));
  const Value high = op::gt(scores, p.threshold);
  const Value flags = op::logical_and(high, framed);

  const Value totals = op::sum(op::sum(counted(flags), 2), 1);  // [B]
  Value most = op::amax(totals, 0);
  if (p.most > 0) most = at_most(most, p.most);
  // One more than there are points, as there may be none.
  const Value all = op::arange(graph, rows * columns + 1);
  const Value last = op::tail(all, 0, op::add(most, 1.0), Dim::symbol(kCount));
  const Value from_zero = op::sub(last, op::sub(op::size(graph, rows * columns), most));
  const Value ranks = op::slice(from_zero, 0, 0, key_point_count());

  const Places places = true_places(flags, ranks);
  const Value flat = op::flatten(scores, 1, 2);
  const Value width = op::size(graph, columns);
  Value numbers = op::add(op::mul(places.rows, width), places.columns);
  if (p.most > 0) {
    const Value none = op::scalar(graph, -1.0, DType::f32);
    const Value best = op::topk(op::flatten(op::where(flags, scores, none), 1, 2), p.most, 1).indices;
    const Shape shape = numbers.shape();
    const Value in_order = pick(best, op::expand(op::unsqueeze(at_most(ranks, p.most - 1), 0), shape));
    const Value too_many = op::gt(op::unsqueeze(totals, 1), static_cast<double>(p.most));
    numbers = op::where(too_many, in_order, numbers);
  }
  const Value row = op::div(numbers, width);
  return {row, op::sub(numbers, op::mul(row, width)), pick(flat, numbers), places.real};
}

Value bilinear_at(Value image, Value rows, Value columns) {
  Graph& graph = image.graph();
  const Dim &height = image.dim(2), &width = image.dim(3);
  const Value pixels = nn::image_to_tokens(image);  // [B, H * W, C]
  // Rounded down.
  const auto floor = [](Value x) { return op::sub(op::cast(op::add(x, 1.0), DType::i64), 1.0); };
  struct Corner {
    Value number, share;
  };
  // The two neighbours along an axis; those outside have no share.
  const auto neighbours = [&](Value place, const Dim& extent) {
    const Value first = floor(place);
    const Value beyond = op::sub(place, op::cast(first, place.dtype()));
    const auto inside = [&](Value number, Value share) {
      const Value after = op::gt(number, -1.0);
      const Value within = op::logical_and(after, op::lt(number, op::size(graph, extent)));
      const Value first_place = op::size(graph, 0);
      const Value clamped = op::where(after, at_most(number, extent - 1), first_place);
      return Corner{clamped, op::mul(share, op::cast(within, place.dtype()))};
    };
    return std::pair{inside(first, op::sub(1.0, beyond)), inside(op::add(first, 1.0), beyond)};
  };
  const auto [top, bottom] = neighbours(rows, height);
  const auto [left, right] = neighbours(columns, width);
  Value sum;
  for (const Corner& row : {top, bottom}) {
    for (const Corner& column : {left, right}) {
      const Value number = op::add(op::mul(row.number, op::size(graph, width)), column.number);
      const Value share = op::unsqueeze(op::mul(row.share, column.share), 2);
      const Value part = op::mul(pick_rows(pixels, number), share);
      sum = sum ? op::add(sum, part) : part;
    }
  }
  return sum;
}

}  // namespace onnxport::models
