// Attention, with and without a cache.
#include <array>
#include <limits>

#include "reference/matrix_view.h"
#include "reference/rounding.h"

namespace onnxport::reference {
namespace {

// The mask of an attention, if it has one.
class ScoreMask {
 public:
  ScoreMask(const Call& call, std::size_t operand, const Extents& scores) : heads_(scores[1]) {
    if (!call.has(operand)) return;
    mask_ = &call.input(operand);
    if (broadcast_extents(call, std::array{scores, mask_->shape}) != scores) {
      reject(call.node, "the mask does not fit the scores");
    }
    strides_ = broadcast_strides(mask_->shape, scores);
  }

  // Masks the scores of one query. False where a boolean mask leaves none of them.
  bool apply(Lane<double> scores, std::int64_t head, std::int64_t row, double limit) const {
    if (mask_ == nullptr) return true;
    bool any = is_float(mask_->dtype);
    const std::int64_t first = head / heads_ * strides_[0] + head % heads_ * strides_[1] + row * strides_[2];
    for (std::int64_t i = 0; i < scores.size; ++i) {
      const std::size_t at = static_cast<std::size_t>(first + i * strides_[3]);
      if (is_float(mask_->dtype)) {
        scores[i] = limited(scores[i] + mask_->reals[at], limit);
      } else if (mask_->integers[at] != 0) {
        any = true;
      } else {
        scores[i] = -std::numeric_limits<double>::infinity();
      }
    }
    return any;
  }

 private:
  std::int64_t heads_;
  const HostTensor* mask_ = nullptr;
  Extents strides_;
};

// query [B, H, L, D], key [B, G, S, D], value [B, G, S, E] -> [B, H, L, E]; the mask is an operand of the
// node.
HostTensor attend(const Call& call, const HostTensor& q, const HostTensor& k, const HostTensor& v,
                  std::size_t mask_operand) {
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
  const ScoreMask mask(call, mask_operand, {query.leading[0], heads, query.rows, key.rows});
  const double scale = call.node.attrs.real("scale");
  const double cap = call.node.attrs.real("softcap");
  const double limit = overflow_limit(call.dtype());

  const std::int64_t stacks = product(query.leading);
  const double work = static_cast<double>(stacks * query.rows * key.rows * (query.cols + value.cols + 20));
  for_each_part(stacks, work, [&](std::int64_t begin, std::int64_t end) {
    Matrix scores(query.rows, key.rows);
    for (std::int64_t head = begin; head < end; ++head) {
      const std::int64_t kv = head / heads * kv_heads + head % heads / (heads / kv_heads);
      scores.noalias() = query.at(head) * key.at(kv).transpose();
      for (std::int64_t row = 0; row < query.rows; ++row) {
        const Lane<double> lane{scores.data() + row * key.rows, key.rows, 1};
        for (std::int64_t i = 0; i < lane.size; ++i) {
          lane[i] = limited(lane[i] * scale, limit);
          if (cap != 0) lane[i] = cap * std::tanh(lane[i] / cap);
        }
        if (mask.apply(lane, head, row, limit)) {
          softmax({lane.data, lane.size, 1}, lane);
        } else {
          scores.row(row).setZero();
        }
      }
      double* result = out.reals.data() + head * query.rows * value.cols;
      MatrixView(result, query.rows, value.cols).noalias() = scores * value.at(kv);
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

// Turns elements i and i + R / 2 of every head of x [B, heads, L, D] by the angle i of their position.
void rotate(HostTensor& x, const HostTensor& cos, const HostTensor& sin) {
  const std::int64_t heads = x.shape[1], length = x.shape[2], width = x.shape[3], half = cos.shape[2];
  for (std::int64_t b = 0; b < x.shape[0]; ++b) {
    for (std::int64_t h = 0; h < heads; ++h) {
      for (std::int64_t l = 0; l < length; ++l) {
        double* at = x.reals.data() + ((b * heads + h) * length + l) * width;
        const std::int64_t angles = ((cos.shape[0] == 1 ? 0 : b) * length + l) * half;
        for (std::int64_t i = 0; i < half; ++i) {
          const double c = cos.reals[static_cast<std::size_t>(angles + i)];
          const double s = sin.reals[static_cast<std::size_t>(angles + i)];
          const double first = at[i], second = at[i + half];
          at[i] = first * c - second * s;
          at[i + half] = second * c + first * s;
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
  return attend(call, call.input(0), call.input(1), call.input(2), 3);
}

Results interpret_attention(const Call& call) {
  const std::int64_t heads = call.node.attrs.integer("heads");
  const std::int64_t kv_heads = call.node.attrs.integer("kv_heads");
  HostTensor query = swap_heads(call.input(0), heads, false);
  HostTensor key = swap_heads(call.input(1), kv_heads, false);
  HostTensor value = swap_heads(call.input(2), kv_heads, false);
  if (call.has(6)) {
    rotate(query, call.input(6), call.input(7));
    rotate(key, call.input(6), call.input(7));
  }
  if (call.has(3)) {
    key = append(call.input(3), key);
    value = append(call.input(4), value);
  }
  Results results(swap_heads(attend(call, query, key, value, 5), heads, true));
  results.push_back(std::move(key));
  results.push_back(std::move(value));
  return results;
}

}  // namespace onnxport::reference
