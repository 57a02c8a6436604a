// Ops that move elements, and `size`.
#include <algorithm>
#include <numeric>

#include "reference/call.h"

namespace onnxport::reference {
namespace {

// The elements of x in the row-major order of `shape`, read with these strides.
HostTensor gather_strided(const HostTensor& x, Extents shape, Extents strides) {
  HostTensor out = make_tensor(x.dtype, std::move(shape));
  with_kind(x.dtype, [&]<class T>(T) {
    T* to = elements<T>(out).data();
    for_each_run(out.shape, std::array{std::move(strides)},
                 [&](const auto& at, std::int64_t count, const auto& step) {
                   const T* from = elements<T>(x).data() + at[0];
                   if (step[0] == 1) {
                     to = std::copy_n(from, count, to);
                   } else {
                     for (std::int64_t i = 0; i < count; ++i) *to++ = from[i * step[0]];
                   }
                 });
  });
  return out;
}

}  // namespace

Results interpret_reshape(const Call& call) {
  HostTensor out = call.take(0);
  Extents shape = call.evaluate(call.node.attrs.get<Shape>("shape"));
  if (product(shape) != out.numel()) {
    reject(call.node, "{} elements, expected {}", out.numel(), product(shape));
  }
  out.shape = std::move(shape);
  return out;
}

Results interpret_permute(const Call& call) {
  const HostTensor& x = call.input(0);
  const Extents own = row_major_strides(x.shape);
  Extents shape, strides;
  for (const std::int64_t axis : call.node.attrs.get<std::vector<std::int64_t>>("axes")) {
    const std::size_t at = op::detail::normalized_axis(call.node, axis, x.shape.size());
    shape.push_back(x.shape[at]);
    strides.push_back(own[at]);
  }
  return gather_strided(x, std::move(shape), std::move(strides));
}

Results interpret_expand(const Call& call) {
  const HostTensor& x = call.input(0);
  Extents shape = call.evaluate(call.node.attrs.get<Shape>("shape"));
  const std::size_t lead = shape.size() - x.shape.size();
  for (std::size_t i = 0; i < x.shape.size(); ++i) {
    if (x.shape[i] != 1 && x.shape[i] != shape[lead + i]) {
      reject(call.node, "axis {} has extent {}, expected 1 or {}", i, x.shape[i], shape[lead + i]);
    }
  }
  Extents strides = broadcast_strides(x.shape, shape);
  return gather_strided(x, std::move(shape), std::move(strides));
}

Results interpret_concat(const Call& call) {
  Extents shape = call.input(0).shape;
  const std::size_t axis = call.axis(shape);
  for (std::size_t i = 1; i < call.node.inputs.size(); ++i) shape[axis] += call.input(i).shape[axis];
  HostTensor out = make_tensor(call.dtype(), shape);
  const AxisView whole(shape, axis);
  std::int64_t done = 0;
  for (std::size_t i = 0; i < call.node.inputs.size(); ++i) {
    const HostTensor& part = call.input(i);
    const AxisView view(part.shape, axis);
    if (view.outer != whole.outer || view.inner != whole.inner) {
      reject(call.node, "operand {} differs outside axis {}", i, axis);
    }
    with_kind(part.dtype, [&]<class T>(T) {
      const std::int64_t count = view.extent * view.inner;
      for (std::int64_t o = 0; o < view.outer; ++o) {
        T* to = elements<T>(out).data() + (o * whole.extent + done) * whole.inner;
        std::copy_n(elements<T>(part).data() + o * count, count, to);
      }
    });
    done += view.extent;
  }
  return out;
}

namespace {

// Elements [begin, end) of an axis.
HostTensor cut(const HostTensor& x, std::size_t axis, std::int64_t begin, std::int64_t end) {
  const AxisView view(x.shape, axis);
  Extents shape = x.shape;
  shape[axis] = end - begin;
  HostTensor out = make_tensor(x.dtype, std::move(shape));
  with_kind(x.dtype, [&]<class T>(T) {
    T* to = elements<T>(out).data();
    for (std::int64_t o = 0; o < view.outer; ++o) {
      const T* from = elements<T>(x).data() + (o * view.extent + begin) * view.inner;
      to = std::copy_n(from, (end - begin) * view.inner, to);
    }
  });
  return out;
}

}  // namespace

Results interpret_slice(const Call& call) {
  const HostTensor& x = call.input(0);
  const std::size_t axis = call.axis(x.shape);
  const std::int64_t extent = x.shape[axis];
  const Shape& range = call.node.attrs.get<Shape>("range");
  const std::int64_t begin = call.evaluate(range[0]);
  const std::int64_t end = call.evaluate(range[1]);
  if (begin < 0 || begin > end || end > extent) {
    reject(call.node, "range [{}, {}) is outside axis {} with extent {}", begin, end, axis, extent);
  }
  return cut(x, axis, begin, end);
}

Results interpret_tail(const Call& call) {
  const HostTensor& x = call.input(0);
  const std::size_t axis = call.axis(x.shape);
  const std::int64_t extent = x.shape[axis], count = call.input(1).integers[0];
  return cut(x, axis, count > 0 ? std::max<std::int64_t>(extent - count, 0) : 0, extent);
}

Results interpret_split(const Call& call) {
  const HostTensor& x = call.input(0);
  const std::size_t axis = call.axis(x.shape);
  const AxisView view(x.shape, axis);
  Results parts;
  std::int64_t begin = 0;
  for (const std::int64_t size : call.node.attrs.get<std::vector<std::int64_t>>("sizes")) {
    Extents shape = x.shape;
    shape[axis] = size;
    if (begin + size > view.extent) reject(call.node, "the axis has {} elements", view.extent);
    HostTensor part = make_tensor(x.dtype, std::move(shape));
    with_kind(x.dtype, [&]<class T>(T) {
      T* to = elements<T>(part).data();
      for (std::int64_t o = 0; o < view.outer; ++o) {
        to = std::copy_n(elements<T>(x).data() + (o * view.extent + begin) * view.inner, size * view.inner,
                         to);
      }
    });
    parts.push_back(std::move(part));
    begin += size;
  }
  return parts;
}

Results interpret_arange(const Call& call) {
  const Shape& range = call.node.attrs.get<Shape>("range");
  const std::int64_t begin = call.evaluate(range[0]);
  const std::int64_t count = call.has(0) ? call.input(0).integers[0] : call.evaluate(range[1]) - begin;
  if (count < 0) reject(call.node, "{} elements", count);
  HostTensor out = make_tensor(DType::i64, {count});
  std::iota(out.integers.begin(), out.integers.end(), begin);
  return out;
}

Results interpret_nonzero(const Call& call) {
  const HostTensor& mask = call.input(0);
  HostTensor out = make_tensor(DType::i64, {0});
  for (std::size_t i = 0; i < mask.integers.size(); ++i)
    if (mask.integers[i] != 0) out.integers.push_back(static_cast<std::int64_t>(i));
  out.shape[0] = static_cast<std::int64_t>(out.integers.size());
  return out;
}

Results interpret_size(const Call& call) {
  HostTensor out = make_tensor(DType::i64, {});
  out.integers[0] = call.evaluate(call.node.attrs.get<Shape>("dim")[0]);
  return out;
}

}  // namespace onnxport::reference
