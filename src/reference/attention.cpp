// Attention, with and without a cache.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "op/attention.h"
#include "reference/matrix_view.h"
#include "reference/rounding.h"

namespace onnxport::reference {
namespace {

// The keys that each query sees, and the bias of its scores.
struct Visibility {
  const HostTensor* padding = nullptr;
  const HostTensor* visible = nullptr;
  const HostTensor* bias = nullptr;
  bool causal = false;
  std::int64_t window = 0;  // 0: none
  std::int64_t past = 0;
  bool uniform = false;  // a query that sees no key attends to all of them equally
  const HostTensor* sinks = nullptr;
};

// Softmax over the scores and one more, which is not part of the result.
void softmax_beside(double sink, Lane<double> scores) {
  double largest = sink;
  for (std::int64_t i = 0; i < scores.size; ++i) largest = std::max(largest, scores[i]);
  double sum = std::exp(sink - largest);
  for (std::int64_t i = 0; i < scores.size; ++i) sum += scores[i] = std::exp(scores[i] - largest);
  for (std::int64_t i = 0; i < scores.size; ++i) scores[i] /= sum;
}

class ScoreMask {
 public:
  ScoreMask(const Call& call, const Visibility& sight, const Extents& scores)
      : sight_(sight),
        heads_(scores[1]),
        lowest_(lowest(call.dtype())),
        limit_(overflow_limit(call.dtype())) {
    const auto strides_of = [&](const HostTensor* tensor) {
      if (tensor == nullptr) return Extents();
      if (broadcast_extents(call, std::array{scores, tensor->shape}) != scores)
        reject(call.node, "the mask does not fit the scores");
      return broadcast_strides(tensor->shape, scores);
    };
    visible_ = strides_of(sight.visible);
    bias_ = strides_of(sight.bias);
  }

  // Masks the scores of one query. False if it sees no key and must return 0.
  bool apply(Lane<double> scores, std::int64_t head, std::int64_t row) const {
    bool any = false;
    for (std::int64_t key = 0; key < scores.size; ++key) {
      if (!sees(head, row, key, scores.size)) {
        scores[key] = sight_.uniform ? lowest_ : -std::numeric_limits<double>::infinity();
        continue;
      }
      any = true;
      if (sight_.bias != nullptr)
        scores[key] = limited(scores[key] + sight_.bias->reals[at(bias_, head, row, key)], limit_);
    }
    return any || sight_.uniform;
  }

 private:
  std::size_t at(const Extents& strides, std::int64_t head, std::int64_t row, std::int64_t key) const {
    return static_cast<std::size_t>(head / heads_ * strides[0] + head % heads_ * strides[1] +
                                    row * strides[2] + key * strides[3]);
  }
  bool sees(std::int64_t head, std::int64_t row, std::int64_t key, std::int64_t keys) const {
    const std::int64_t own = sight_.past + row;
    if (sight_.causal && key > own) return false;
    if (sight_.window > 0 && std::abs(key - own) >= sight_.window) return false;
    if (sight_.padding != nullptr &&
        sight_.padding->integers[static_cast<std::size_t>(head / heads_ * keys + key)] == 0)
      return false;
    return sight_.visible == nullptr || sight_.visible->integers[at(visible_, head, row, key)] != 0;
  }

  Visibility sight_;
  std::int64_t heads_;
  double lowest_, limit_;
  Extents visible_, bias_;  // strides
};

// query [B, H, L, D], key [B, G, S, D], value [B, G, S, E] -> [B, H, L, E]. `weights`: [B, H, L, S], or null.
HostTensor attend(const Call& call, const HostTensor& q, const HostTensor& k, const HostTensor& v,
                  const Visibility& sight, HostTensor* weights = nullptr) {
  const Stack query(q);
  const Stack key(k);
  const Stack value(v);
  const std::int64_t heads = query.leading[1];
  const std::int64_t kv_heads = key.leading[1];
  if (key.leading != value.leading || query.leading[0] != key.leading[0] || heads % kv_heads != 0 ||
      query.cols != key.cols || key.rows != value.rows) {
    reject(call.node, "query, key and value do not fit");
  }
  HostTensor out = make_tensor(call.dtype(), {query.leading[0], heads, query.rows, value.cols});
  const ScoreMask mask(call, sight, {query.leading[0], heads, query.rows, key.rows});
  const double scale = call.node.attrs.real("scale");
  const double cap = call.node.attrs.real("softcap");
  const double limit = overflow_limit(call.dtype());

  const std::int64_t stacks = product(query.leading);
  const double work = static_cast<double>(stacks * query.rows * key.rows * (query.cols + value.cols + 20));
  for_each_part(stacks, work, [&](std::int64_t begin, std::int64_t end) {
    Matrix scores(query.rows, key.rows);
    for (std::int64_t head = begin; head < end; ++head) {
      const std::int64_t kv = head / heads * kv_heads + head % heads / (heads / kv_heads);
      multiply(query.at(head), key.at(kv).transpose(), MatrixView(scores.data(), query.rows, key.rows));
      for (std::int64_t row = 0; row < query.rows; ++row) {
        const Lane<double> lane{scores.data() + row * key.rows, key.rows, 1};
        for (std::int64_t i = 0; i < lane.size; ++i) {
          lane[i] = limited(lane[i] * scale, limit);
          if (cap != 0) lane[i] = cap * std::tanh(lane[i] / cap);
        }
        const bool sees_any = mask.apply(lane, head, row);
        if (sight.sinks != nullptr) {
          softmax_beside(sight.sinks->reals[static_cast<std::size_t>(head % heads)], lane);
        } else if (sees_any) {
          softmax({lane.data, lane.size, 1}, lane);
        } else {
          scores.row(row).setZero();
        }
      }
      if (weights != nullptr)
        std::copy_n(scores.data(), scores.size(), weights->reals.data() + head * scores.size());
      double* result = out.reals.data() + head * query.rows * value.cols;
      multiply(scores, value.at(kv), MatrixView(result, query.rows, value.cols));
    }
  });
  return out;
}

// [B, L, heads * D] -> [B, heads, L, D], or back.
HostTensor swap_heads(const HostTensor& x, std::int64_t heads, bool back) {
  const std::int64_t batch = x.shape[0];
  const std::int64_t length = back ? x.shape[2] : x.shape[1];
  const std::int64_t width = back ? x.shape[3] : x.shape[2] / heads;
  HostTensor out = make_tensor(
      x.dtype, back ? Extents{batch, length, heads * width} : Extents{batch, heads, length, width});
  for (std::int64_t b = 0; b < batch; ++b) {
    for (std::int64_t l = 0; l < length; ++l) {
      for (std::int64_t h = 0; h < heads; ++h) {
        const std::int64_t together = ((b * length + l) * heads + h) * width;
        const std::int64_t apart = ((b * heads + h) * length + l) * width;
        std::copy_n(x.reals.data() + (back ? apart : together), width,
                    out.reals.data() + (back ? together : apart));
      }
    }
  }
  return out;
}

// Cosines and sines [B or 1, L, R / 2] of positions, rounded to the dtype.
std::pair<HostTensor, HostTensor> angles(const Call& call) {
  const HostTensor& positions = call.input(op::detail::kPositionIds);
  const HostTensor& frequencies = call.input(op::detail::kFrequencies);
  const double scale = call.node.attrs.real("rope_scale");
  const std::int64_t half = frequencies.shape[0];
  const bool of_pairs = positions.shape.size() == 3;
  HostTensor cos = make_tensor(call.dtype(), {positions.shape[0], positions.shape[1], half});
  HostTensor sin = cos;
  const auto stored = [&](double value) {
    return call.dtype() == DType::f32 ? value : round_to(call.dtype(), value);
  };
  for (std::size_t i = 0; i < cos.reals.size(); ++i) {
    const auto place = i / static_cast<std::size_t>(half), pair = i % static_cast<std::size_t>(half);
    const double position = static_cast<double>(positions.integers[of_pairs ? i : place]);
    const double angle = position * frequencies.reals[pair];
    cos.reals[i] = stored(std::cos(angle) * scale);
    sin.reals[i] = stored(std::sin(angle) * scale);
  }
  return {std::move(cos), std::move(sin)};
}

// The layout of the heads of x [B, L, heads * D] or [B, heads, L, D].
struct HeadView {
  std::int64_t batch, heads, length, width;
  bool apart;
  HeadView(const HostTensor& x, std::int64_t heads)
      : batch(x.shape[0]),
        heads(heads),
        length(x.shape[x.shape.size() - 2]),
        width(x.shape.size() == 4 ? x.shape[3] : x.shape[2] / heads),
        apart(x.shape.size() == 4) {}
  std::int64_t at(std::int64_t b, std::int64_t h, std::int64_t l) const {
    return (apart ? (b * heads + h) * length + l : (b * length + l) * heads + h) * width;
  }
};

// Rotates every head by the angles of its position: pair i is elements i and i + R / 2, or 2 i and 2 i + 1.
void rotate(HostTensor& x, std::int64_t heads, const HostTensor& cos, const HostTensor& sin,
            bool interleaved) {
  const HeadView view(x, heads);
  const std::int64_t half = cos.shape[2];
  const std::int64_t step = interleaved ? 2 : 1, apart = interleaved ? 1 : half;
  for (std::int64_t b = 0; b < view.batch; ++b) {
    for (std::int64_t h = 0; h < heads; ++h) {
      for (std::int64_t l = 0; l < view.length; ++l) {
        double* at = x.reals.data() + view.at(b, h, l);
        const std::int64_t place = ((cos.shape[0] == 1 ? 0 : b) * view.length + l) * half;
        for (std::int64_t i = 0; i < half; ++i) {
          const double c = cos.reals[static_cast<std::size_t>(place + i)];
          const double s = sin.reals[static_cast<std::size_t>(place + i)];
          const double first = at[step * i], second = at[step * i + apart];
          at[step * i] = first * c - second * s;
          at[step * i + apart] = second * c + first * s;
        }
      }
    }
  }
}

// past [B, G, P, D] and now [B, G, L, D] -> [B, G, P + L, D]
HostTensor append(const HostTensor& past, const HostTensor& now) {
  HostTensor out =
      make_tensor(now.dtype, {now.shape[0], now.shape[1], past.shape[2] + now.shape[2], now.shape[3]});
  double* to = out.reals.data();
  for (std::int64_t stack = 0; stack < now.shape[0] * now.shape[1]; ++stack) {
    for (const HostTensor* part : {&past, &now}) {
      const std::int64_t count = part->shape[2] * part->shape[3];
      to = std::copy_n(part->reals.data() + stack * count, count, to);
    }
  }
  return out;
}

}  // namespace

Results interpret_scaled_dot_product_attention(const Call& call) {
  Visibility sight;
  if (call.has(3)) (is_float(call.input(3).dtype) ? sight.bias : sight.visible) = &call.input(3);
  if (call.has(4)) sight.bias = &call.input(4);
  sight.uniform = call.node.attrs.get<std::string>("no_keys") == "uniform";
  if (call.has(5)) sight.sinks = &call.input(5);
  return attend(call, call.input(0), call.input(1), call.input(2), sight);
}

Results interpret_rotary_embedding(const Call& call) {
  HostTensor x = call.take(0);
  rotate(x, call.node.attrs.integer("heads"), call.input(1), call.input(2),
         call.node.attrs.flag("interleaved"));
  return x;
}

Results interpret_attention(const Call& call) {
  using namespace op::detail;  // the places of the operands
  const Attrs& attrs = call.node.attrs;
  const std::int64_t heads = attrs.integer("heads");
  const std::int64_t kv_heads = attrs.integer("kv_heads");
  const auto apart = [&](std::size_t operand, std::int64_t count) {
    const HostTensor& x = call.input(operand);
    return x.shape.size() == 4 ? x : swap_heads(x, count, false);
  };
  HostTensor query = apart(kQuery, heads);
  HostTensor key = apart(kKey, kv_heads);
  HostTensor value = apart(kValue, kv_heads);
  if (call.has(kPositionIds)) {
    const auto [cos, sin] = angles(call);
    rotate(query, heads, cos, sin, attrs.flag("interleaved"));
    rotate(key, kv_heads, cos, sin, attrs.flag("interleaved"));
  }
  Visibility sight{.causal = attrs.flag("causal"),
                   .window = attrs.integer("window"),
                   .uniform = attrs.get<std::string>("no_keys") == "uniform"};
  if (call.has(kPastKey)) {
    sight.past = call.input(kPastKey).shape[2];
    key = append(call.input(kPastKey), key);
    value = append(call.input(kPastValue), value);
  }
  if (call.has(kPadding)) sight.padding = &call.input(kPadding);
  if (call.has(kVisible)) sight.visible = &call.input(kVisible);
  if (call.has(kBias)) sight.bias = &call.input(kBias);
  if (call.has(kSinks)) sight.sinks = &call.input(kSinks);
  HostTensor weights;
  const bool wanted = attrs.flag("weights");
  if (wanted) weights = make_tensor(call.dtype(), {query.shape[0], heads, query.shape[2], key.shape[2]});
  Results results(
      swap_heads(attend(call, query, key, value, sight, wanted ? &weights : nullptr), heads, true));
  results.push_back(std::move(key));
  results.push_back(std::move(value));
  if (wanted) results.push_back(std::move(weights));
  return results;
}

}  // namespace onnxport::reference
