// Recurrences, token by token.
#include <algorithm>
#include <cmath>

#include "reference/call.h"

namespace onnxport::reference {
namespace {

using Reals = std::vector<double>;

std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

// A state to start with.
Reals start(const Call& call, std::size_t operand, std::int64_t count, double value = 0) {
  return call.has(operand) ? call.input(operand).reals : Reals(index(count), value);
}

HostTensor tensor(const Call& call, Extents shape, Reals reals) {
  return {call.dtype(), std::move(shape), std::move(reals), {}};
}

}  // namespace

Results interpret_causal_conv(const Call& call) {
  const HostTensor& x = call.input(0);
  const HostTensor& weight = call.input(1);
  const std::int64_t channels = x.shape[1], length = x.shape[2], kernel = weight.shape[2];
  const std::int64_t kept = call.node.attrs.integer("kept");
  const std::int64_t width = call.has(3) ? call.input(3).shape[2] : 0;
  // The input at a position, which is negative for those of the past.
  const auto at = [&](std::int64_t row, std::int64_t position) {
    if (position >= 0) return x.reals[index(row * length + position)];
    return position + width < 0 ? 0.0 : call.input(3).reals[index(row * width + width + position)];
  };
  HostTensor out = make_tensor(call.dtype(), x.shape);
  HostTensor state = make_tensor(call.dtype(), {x.shape[0], channels, kept});
  for (std::int64_t row = 0; row < x.shape[0] * channels; ++row) {
    const std::int64_t channel = row % channels;
    for (std::int64_t t = 0; t < length; ++t) {
      double sum = call.has(2) ? call.input(2).reals[index(channel)] : 0;
      for (std::int64_t k = 0; k < kernel; ++k)
        sum += weight.reals[index(channel * kernel + k)] * at(row, t - kernel + 1 + k);
      out.reals[index(row * length + t)] = sum;
    }
    for (std::int64_t k = 0; k < kept; ++k) state.reals[index(row * kept + k)] = at(row, length - kept + k);
  }
  Results results;
  results.push_back(std::move(out));
  results.push_back(std::move(state));
  return results;
}

Results interpret_selective_scan(const Call& call) {
  const HostTensor &x = call.input(0), &step = call.input(1), &decay = call.input(2);
  const HostTensor &input = call.input(3), &output = call.input(4);
  const std::int64_t batch = x.shape[0], length = x.shape[1], heads = step.shape[2];
  const std::int64_t channels = x.shape[2] / heads, groups = call.node.attrs.integer("groups");
  const std::int64_t size = input.shape[2] / groups;
  const bool per_element = decay.shape.size() == 2;
  Reals state = start(call, 5, batch * heads * channels * size);
  Reals out(x.reals.size());
  const double work = kTranscendental * static_cast<double>(length) * static_cast<double>(state.size());
  for_each_part(batch * heads, work, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t b = row / heads, h = row % heads, g = h / (heads / groups);
      for (std::int64_t t = 0; t < length; ++t) {
        const std::int64_t token = b * length + t;
        const double dt = step.reals[index(token * heads + h)];
        for (std::int64_t n = 0; n < size; ++n) {
          const double remains = std::exp(dt * decay.reals[index(per_element ? h * size + n : h)]);
          const double in = dt * input.reals[index((token * groups + g) * size + n)];
          const double read = output.reals[index((token * groups + g) * size + n)];
          for (std::int64_t p = 0; p < channels; ++p) {
            const std::size_t at = index((token * heads + h) * channels + p);
            double& one = state[index((row * channels + p) * size + n)];
            one = remains * one + in * x.reals[at];
            out[at] += one * read;
          }
        }
      }
    }
  });
  Results results;
  results.push_back(tensor(call, x.shape, std::move(out)));
  results.push_back(tensor(call, {batch, heads, channels, size}, std::move(state)));
  return results;
}

Results interpret_linear_attention(const Call& call) {
  const HostTensor &query = call.input(0), &key = call.input(1), &value = call.input(2);
  const HostTensor& decay = call.input(3);
  const HostTensor* const beta = call.has(4) ? &call.input(4) : nullptr;
  const std::int64_t batch = value.shape[0], length = value.shape[1];
  const std::int64_t heads = call.node.attrs.integer("heads"), groups = call.node.attrs.integer("key_heads");
  const std::int64_t keys = query.shape[2] / groups, values = value.shape[2] / heads;
  const std::int64_t decays = decay.shape[2] / heads;  // one, or one per key
  Reals state = start(call, 5, batch * heads * keys * values);
  Reals out(value.reals.size());
  const double work = 8 * static_cast<double>(length) * static_cast<double>(state.size());
  for_each_part(batch * heads, work, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t b = row / heads, h = row % heads, g = h / (heads / groups);
      double* const mine = state.data() + row * keys * values;
      for (std::int64_t t = 0; t < length; ++t) {
        const std::int64_t token = b * length + t;
        const double* const q = query.reals.data() + (token * groups + g) * keys;
        const double* const k = key.reals.data() + (token * groups + g) * keys;
        const double* const left = decay.reals.data() + (token * heads + h) * decays;
        for (std::int64_t d = 0; d < keys; ++d) {
          const double remains = std::exp(left[decays == 1 ? 0 : d]);
          for (std::int64_t e = 0; e < values; ++e) mine[d * values + e] *= remains;
        }
        for (std::int64_t e = 0; e < values; ++e) {
          const std::size_t at = index((token * heads + h) * values + e);
          double added = value.reals[at];
          if (beta != nullptr) {
            double known = 0;
            for (std::int64_t d = 0; d < keys; ++d) known += k[d] * mine[d * values + e];
            added = beta->reals[index(token * heads + h)] * (added - known);
          }
          for (std::int64_t d = 0; d < keys; ++d) {
            mine[d * values + e] += k[d] * added;
            out[at] += q[d] * mine[d * values + e];
          }
        }
      }
    }
  });
  Results results;
  results.push_back(tensor(call, value.shape, std::move(out)));
  results.push_back(tensor(call, {batch, heads, keys, values}, std::move(state)));
  return results;
}

Results interpret_linear_recurrence(const Call& call) {
  const HostTensor &x = call.input(0), &remains = call.input(1);
  const std::int64_t batch = x.shape[0], length = x.shape[1], width = x.shape[2];
  Reals state = start(call, 2, batch * width);
  Reals out(x.reals.size());
  for (std::int64_t i = 0; i < batch * length * width; ++i) {
    double& one = state[index(i / (length * width) * width + i % width)];
    one = remains.reals[index(i)] * one + x.reals[index(i)];
    out[index(i)] = one;
  }
  Results results;
  results.push_back(tensor(call, x.shape, std::move(out)));
  results.push_back(tensor(call, {batch, width}, std::move(state)));
  return results;
}

Results interpret_wkv(const Call& call) {
  const HostTensor &key = call.input(0), &value = call.input(1);
  const HostTensor &decay = call.input(2), &bonus = call.input(3);
  const std::int64_t batch = key.shape[0], length = key.shape[1], width = key.shape[2];
  Reals numerator = start(call, 4, batch * width), denominator = start(call, 5, batch * width);
  Reals maximum = start(call, 6, batch * width, lowest(call.dtype()));
  Reals out(key.reals.size());
  for (std::int64_t i = 0; i < batch * length * width; ++i) {
    const std::size_t channel = index(i % width);
    const std::size_t at = index(i / (length * width) * width) + channel;
    const double k = key.reals[index(i)], v = value.reals[index(i)];
    const double own = k + bonus.reals[channel];
    const double top = std::max(maximum[at], own);
    const double old = std::exp(maximum[at] - top), fresh = std::exp(own - top);
    out[index(i)] = (old * numerator[at] + fresh * v) / (old * denominator[at] + fresh);
    const double decayed = maximum[at] + decay.reals[channel];
    maximum[at] = std::max(decayed, k);
    const double remains = std::exp(decayed - maximum[at]), added = std::exp(k - maximum[at]);
    numerator[at] = remains * numerator[at] + added * v;
    denominator[at] = remains * denominator[at] + added;
  }
  Results results;
  results.push_back(tensor(call, key.shape, std::move(out)));
  for (Reals* state : {&numerator, &denominator, &maximum})
    results.push_back(tensor(call, {batch, width}, std::move(*state)));
  return results;
}

Results interpret_lstm(const Call& call) {
  const HostTensor &x = call.input(0), &input = call.input(1), &recurrent = call.input(2);
  const std::int64_t batch = x.shape[0], length = x.shape[1], in = x.shape[2], width = recurrent.shape[1];
  Reals hidden = start(call, 5, batch * width), cell = start(call, 6, batch * width);
  Reals out(index(batch * length * width));
  const double work = 8.0 * static_cast<double>(batch * length * width) * static_cast<double>(in + width);
  const auto sigmoid = [](double v) { return 1 / (1 + std::exp(-v)); };
  for_each_part(batch, work, [&](std::int64_t begin, std::int64_t end) {
    Reals gates(index(4 * width));
    for (std::int64_t token = begin * length; token < end * length; ++token) {
      double* const h = hidden.data() + token / length * width;
      double* const c = cell.data() + token / length * width;
      for (std::int64_t row = 0; row < 4 * width; ++row) {
        double sum = call.has(3) ? call.input(3).reals[index(row)] + call.input(4).reals[index(row)] : 0;
        for (std::int64_t i = 0; i < in; ++i)
          sum += input.reals[index(row * in + i)] * x.reals[index(token * in + i)];
        for (std::int64_t i = 0; i < width; ++i) sum += recurrent.reals[index(row * width + i)] * h[i];
        gates[index(row)] = sum;
      }
      for (std::int64_t i = 0; i < width; ++i) {
        const double taken = sigmoid(gates[index(i)]) * std::tanh(gates[index(2 * width + i)]);
        c[i] = sigmoid(gates[index(width + i)]) * c[i] + taken;
        h[i] = sigmoid(gates[index(3 * width + i)]) * std::tanh(c[i]);
        out[index(token * width + i)] = h[i];
      }
    }
  });
  Results results;
  results.push_back(tensor(call, {batch, length, width}, std::move(out)));
  for (Reals* state : {&hidden, &cell}) results.push_back(tensor(call, {batch, width}, std::move(*state)));
  return results;
}

}  // namespace onnxport::reference
