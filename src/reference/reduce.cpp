// Ops along an axis: reductions, softmax, the largest elements, unit vectors.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "onnxport/ops.h"
#include "reference/call.h"
#include "reference/rounding.h"

namespace onnxport::reference {
namespace {

// Integers wrap around. They are added unsigned, because signed overflow is undefined.
template <class T>
using Sum = std::conditional_t<std::is_same_v<T, double>, double, std::uint64_t>;

// First index of the largest element; NaN counts as the largest, as in PyTorch.
template <class T>
std::int64_t index_of_largest(Lane<const T> lane) {
  std::int64_t best = 0;
  for (std::int64_t i = 0; i < lane.size; ++i) {
    if (is_nan(lane[i])) return i;
    if (lane[i] > lane[best]) best = i;
  }
  return best;
}

// One result per lane: f(lane).
template <class F>
Results reduce(const Call& call, const HostTensor& x, F f) {
  const std::size_t axis = call.axis(x.shape);
  const AxisView view(x.shape, axis);
  Extents shape = x.shape;
  shape[axis] = 1;
  if (!call.node.attrs.flag("keepdim")) shape.erase(shape.begin() + static_cast<std::ptrdiff_t>(axis));
  HostTensor out = make_tensor(call.dtype(), std::move(shape));
  with_kind(x.dtype, [&]<class T>(T) {
    using Result = std::invoke_result_t<F, Lane<const T>>;
    const T* from = elements<T>(x).data();
    Result* to = elements<Result>(out).data();
    for (std::int64_t o = 0; o < view.outer; ++o, from += view.extent * view.inner) {
      for (std::int64_t i = 0; i < view.inner; ++i)
        *to++ = f(Lane<const T>{from + i, view.extent, view.inner});
    }
  });
  return out;
}

// As many results as elements: f(lane of elements, lane of results).
template <class F>
Results transform(const Call& call, const HostTensor& x, std::size_t axis, F f) {
  const AxisView view(x.shape, axis);
  HostTensor out = make_tensor(call.dtype(), x.shape);
  with_kind(x.dtype, [&]<class T>(T) {
    if constexpr (std::is_invocable_v<F, Lane<const T>, Lane<T>>) {
      const T* from = elements<T>(x).data();
      T* to = elements<T>(out).data();
      const double work = kTranscendental * static_cast<double>(x.numel());
      for_each_part(view.outer, work, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t lane = begin * view.inner; lane < end * view.inner; ++lane) {
          const std::int64_t at = lane / view.inner * view.extent * view.inner + lane % view.inner;
          f(Lane<const T>{from + at, view.extent, view.inner}, Lane<T>{to + at, view.extent, view.inner});
        }
      });
    } else {
      reject(call.node, "got {}", to_string(x.dtype));
    }
  });
  return out;
}

void require_elements(const Call& call) {
  const HostTensor& x = call.input(0);
  if (AxisView(x.shape, call.axis(x.shape)).extent == 0) reject(call.node, "the axis has no elements");
}

}  // namespace

Results interpret_sum(const Call& call) {
  return reduce(call, call.input(0), []<class T>(Lane<const T> lane) {
    Sum<T> sum = 0;
    for (std::int64_t i = 0; i < lane.size; ++i) sum += static_cast<Sum<T>>(lane[i]);
    return static_cast<T>(sum);
  });
}

Results interpret_mean(const Call& call) {
  Results sums = interpret_sum(call);
  const HostTensor& x = call.input(0);
  const double count = static_cast<double>(x.shape[call.axis(x.shape)]);
  for (double& value : sums[0].reals) value /= count;
  return sums;
}

Results interpret_amax(const Call& call) {
  require_elements(call);
  return reduce(call, call.input(0),
                []<class T>(Lane<const T> lane) -> T { return lane[index_of_largest(lane)]; });
}

Results interpret_argmax(const Call& call) {
  require_elements(call);
  const HostTensor x = rounded(call.input(0));
  Results results = reduce(call, x, []<class T>(Lane<const T> lane) { return index_of_largest(lane); });
  if (call.on_decision.ranking)
    call.on_decision.ranking({Op::argmax, x, call.axis(x.shape), results[0].integers});
  return results;
}

Results interpret_cumsum(const Call& call) {
  const HostTensor& x = call.input(0);
  return transform(call, x, call.axis(x.shape), []<class T>(Lane<const T> from, Lane<T> to) {
    Sum<T> sum = 0;
    for (std::int64_t i = 0; i < from.size; ++i) to[i] = static_cast<T>(sum += static_cast<Sum<T>>(from[i]));
  });
}

void softmax(Lane<const double> from, Lane<double> to) {
  double largest = -std::numeric_limits<double>::infinity();
  for (std::int64_t i = 0; i < from.size; ++i) largest = from[i] > largest ? from[i] : largest;  // NaN is not
  double sum = 0;
  for (std::int64_t i = 0; i < from.size; ++i) sum += to[i] = std::exp(from[i] - largest);
  for (std::int64_t i = 0; i < from.size; ++i) to[i] /= sum;
}

Results interpret_softmax(const Call& call) {
  const HostTensor& x = call.input(0);
  return transform(call, x, call.axis(x.shape),
                   [](Lane<const double> from, Lane<double> to) { softmax(from, to); });
}

Results interpret_topk(const Call& call) {
  const HostTensor x = rounded(call.input(0));
  const std::size_t axis = call.axis(x.shape);
  const std::int64_t k = call.node.attrs.integer("k");
  const AxisView from(x.shape, axis);
  if (k > from.extent) reject(call.node, "k is {}, the axis has {} elements", k, from.extent);
  Extents shape = x.shape;
  shape[axis] = k;
  Results results(make_tensor(x.dtype, shape));
  results.push_back(make_tensor(DType::i64, shape));
  const auto for_each_lane = [&](const auto& visit) {
    for (std::int64_t lane = 0; lane < from.outer * from.inner; ++lane) {
      const std::int64_t outer = lane / from.inner, inner = lane % from.inner;
      const std::int64_t first = outer * from.extent * from.inner + inner,
                         to = outer * k * from.inner + inner;
      visit(Lane<const double>{x.reals.data() + first, from.extent, from.inner},
            Lane<double>{results[0].reals.data() + to, k, from.inner},
            Lane<std::int64_t>{results[1].integers.data() + to, k, from.inner});
    }
  };
  std::vector<std::int64_t> order(static_cast<std::size_t>(from.extent));
  for_each_lane([&](Lane<const double> scores, Lane<double>, Lane<std::int64_t> places) {
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](std::int64_t a, std::int64_t b) { return scores[a] > scores[b]; });
    for (std::int64_t i = 0; i < k; ++i) places[i] = order[static_cast<std::size_t>(i)];
  });
  if (call.on_decision.ranking) call.on_decision.ranking({Op::topk, x, axis, results[1].integers});
  for_each_lane([&](Lane<const double> scores, Lane<double> values, Lane<std::int64_t> places) {
    for (std::int64_t i = 0; i < k; ++i) values[i] = scores[places[i]];
  });
  return results;
}

Results interpret_normalize(const Call& call) {
  const HostTensor& x = call.input(0);
  const double eps = call.node.attrs.real("eps");
  return transform(call, x, call.axis(x.shape), [eps](Lane<const double> from, Lane<double> to) {
    double squares = 0;
    for (std::int64_t i = 0; i < from.size; ++i) squares += from[i] * from[i];
    const double norm = std::sqrt(squares);
    for (std::int64_t i = 0; i < from.size; ++i) to[i] = from[i] / (norm < eps ? eps : norm);  // NaN stays
  });
}

}  // namespace onnxport::reference
