#include "models/vision/common/square_windows.h"

#include "onnxport/op.h"

namespace onnxport::models {
namespace {

std::int64_t windows(std::int64_t extent, std::int64_t window) { return (extent + window - 1) / window; }

}  // namespace

Value cut_windows(Value x, std::int64_t window) {
  const std::int64_t rows = x.dim(1).constant().value(), columns = x.dim(2).constant().value();
  const std::int64_t down = windows(rows, window), across = windows(columns, window);
  const Dim batch = x.dim(0), channels = x.dim(3);
  const std::int64_t below = down * window - rows, right = across * window - columns;
  if (below + right > 0) x = op::pad(x, {0, 0, 0, 0}, {0, below, right, 0});
  const Value apart = op::reshape(x, {batch, down, window, across, window, channels});
  return op::reshape(op::permute(apart, {0, 1, 3, 2, 4, 5}),
                     {batch * (down * across), window, window, channels});
}

Value join_windows(Value x, const Dim& batch, std::int64_t rows, std::int64_t columns) {
  const std::int64_t window = x.dim(1).constant().value();
  const std::int64_t down = windows(rows, window), across = windows(columns, window);
  const Dim channels = x.dim(3);
  const Value apart = op::reshape(x, {batch, down, across, window, window, channels});
  x = op::reshape(op::permute(apart, {0, 1, 3, 2, 4, 5}), {batch, down * window, across * window, channels});
  if (down * window > rows) x = op::slice(x, 1, 0, rows);
  if (across * window > columns) x = op::slice(x, 2, 0, columns);
  return x;
}

}  // namespace onnxport::models
