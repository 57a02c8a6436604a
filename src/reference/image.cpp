// Padding and resampling.
#include <algorithm>
#include <cmath>
#include <string>

#include "reference/call.h"

namespace onnxport::reference {
namespace {

struct Tap {
  std::int64_t from;
  double weight;
};
using Taps = std::vector<Tap>;

// The sources and weights of each element of a resampled axis.
std::vector<Taps> resampling(std::int64_t in, std::int64_t out, const std::string& mode, bool align_corners) {
  std::vector<Taps> all;
  const auto inside = [&](std::int64_t i) { return std::clamp<std::int64_t>(i, 0, in - 1); };
  for (std::int64_t i = 0; i < out; ++i) {
    if (mode == "nearest") {
      all.push_back({{inside(i * in / out), 1}});
      continue;
    }
    const double ratio = align_corners
                             ? (out > 1 ? static_cast<double>(in - 1) / static_cast<double>(out - 1) : 0)
                             : static_cast<double>(in) / static_cast<double>(out);
    const double place = static_cast<double>(i);
    double at = align_corners ? place * ratio : (place + 0.5) * ratio - 0.5;
    if (mode == "linear") {
      at = std::max(at, 0.0);
      const auto low = static_cast<std::int64_t>(std::floor(at));
      const double t = at - std::floor(at);
      all.push_back({{inside(low), 1 - t}, {inside(low + 1), t}});
      continue;
    }
    // Keys (1981): cubic convolution.
    constexpr double a = -0.75;
    const auto near = [&](double t) { return ((a + 2) * t - (a + 3)) * t * t + 1; };
    const auto far = [&](double t) { return ((a * t - 5 * a) * t + 8 * a) * t - 4 * a; };
    const auto low = static_cast<std::int64_t>(std::floor(at));
    const double t = at - std::floor(at);
    all.push_back({{inside(low - 1), far(t + 1)},
                   {inside(low), near(t)},
                   {inside(low + 1), near(1 - t)},
                   {inside(low + 2), far(2 - t)}});
  }
  return all;
}

// The elements of an axis that padding repeats, in order.
Extents repeated(const Call& call, std::int64_t extent, std::int64_t before, std::int64_t after, bool edge) {
  const std::int64_t most = edge ? extent : extent - 1;
  if (extent < 1 || (!edge && std::max(before, after) > most))
    reject(call.node, "{} and {} elements around an axis of {}", before, after, extent);
  Extents from;
  for (std::int64_t i = -before; i < extent + after; ++i) {
    const std::int64_t mirrored = extent - 1 - std::abs(extent - 1 - std::abs(i));
    from.push_back(edge ? std::clamp<std::int64_t>(i, 0, extent - 1) : mirrored);
  }
  return from;
}

HostTensor pad_with_own(const Call& call, const Extents& before, const Extents& after) {
  const bool edge = call.node.attrs.get<std::string>("mode") == "edge";
  HostTensor x = call.input(0);
  for (std::size_t axis = 0; axis < x.shape.size(); ++axis) {
    if (before[axis] == 0 && after[axis] == 0) continue;
    const Extents from = repeated(call, x.shape[axis], before[axis], after[axis], edge);
    const std::int64_t inner = product(std::span(x.shape).subspan(axis + 1));
    const std::int64_t outer = product(std::span(x.shape).first(axis)), extent = x.shape[axis];
    Extents shape = x.shape;
    shape[axis] = static_cast<std::int64_t>(from.size());
    HostTensor next = make_tensor(call.dtype(), std::move(shape));
    with_kind(call.dtype(), [&](auto kind) {
      using T = decltype(kind);
      auto to = elements<T>(next).begin();
      for (std::int64_t o = 0; o < outer; ++o) {
        for (const std::int64_t at : from)
          to = std::copy_n(elements<T>(x).begin() + (o * extent + at) * inner, inner, to);
      }
    });
    x = std::move(next);
  }
  return x;
}

}  // namespace

Results interpret_pad(const Call& call) {
  const HostTensor& x = call.input(0);
  const Extents before = call.evaluate(call.node.attrs.get<Shape>("before"));
  const Extents after = call.evaluate(call.node.attrs.get<Shape>("after"));
  if (call.node.attrs.get<std::string>("mode") != "constant") return pad_with_own(call, before, after);
  Extents shape = x.shape;
  for (std::size_t i = 0; i < shape.size(); ++i) shape[i] += before[i] + after[i];
  HostTensor out = make_tensor(call.dtype(), shape);
  const Extents strides = row_major_strides(shape);
  std::int64_t first = 0;
  for (std::size_t i = 0; i < shape.size(); ++i) first += before[i] * strides[i];
  with_kind(call.dtype(), [&](auto kind) {
    using T = decltype(kind);
    auto& to = elements<T>(out);
    const auto& from = elements<T>(x);
    std::fill(to.begin(), to.end(), static_cast<T>(call.node.attrs.real("value")));
    for_each_run<2>(x.shape, {row_major_strides(x.shape), strides},
                    [&](const auto& at, std::int64_t count, const auto& step) {
                      for (std::int64_t i = 0; i < count; ++i) {
                        to[static_cast<std::size_t>(first + at[1] + i * step[1])] =
                            from[static_cast<std::size_t>(at[0] + i * step[0])];
                      }
                    });
  });
  return out;
}

Results interpret_interpolate(const Call& call) {
  HostTensor x = call.input(0);
  const Extents size = call.evaluate(call.node.attrs.get<Shape>("size"));
  const auto& mode = call.node.attrs.get<std::string>("mode");
  const bool align_corners = call.node.attrs.flag("align_corners");
  for (std::size_t i = 0; i < size.size(); ++i) {
    const std::size_t axis = i + 2;
    const std::int64_t in = x.shape[axis];
    if (in < 1 || size[i] < 1) reject(call.node, "axis {} of extent {} to {}", axis, in, size[i]);
    const std::vector<Taps> made = resampling(in, size[i], mode, align_corners);
    const std::int64_t outer = product(std::span(x.shape).first(axis));
    const std::int64_t inner = product(std::span(x.shape).subspan(axis + 1));
    Extents shape = x.shape;
    shape[axis] = size[i];
    HostTensor next = make_tensor(call.dtype(), std::move(shape));
    double* to = next.reals.data();
    for (std::int64_t o = 0; o < outer; ++o) {
      const double* from = x.reals.data() + o * in * inner;
      for (const Taps& taps : made) {
        for (const Tap& tap : taps) {
          for (std::int64_t k = 0; k < inner; ++k) to[k] += tap.weight * from[tap.from * inner + k];
        }
        to += inner;
      }
    }
    x = std::move(next);
  }
  return x;
}

}  // namespace onnxport::reference
