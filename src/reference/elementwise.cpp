// Elementwise ops, casts and activations.
#include <array>
#include <cmath>

#include "onnxport/ops.h"
#include "reference/call.h"
#include "reference/rounding.h"

namespace onnxport::reference {
namespace {

// ---- functions of single elements; the generic ones serve integers too -----------------------------------

using Int = std::int64_t;

// Integers wrap around. Uses unsigned arithmetic, because signed overflow is undefined.
double wrapping(double value) { return value; }
std::uint64_t wrapping(Int value) { return static_cast<std::uint64_t>(value); }

template <class T>
T power(T base, T exponent) {
  if constexpr (std::is_same_v<T, double>) {
    return exponent == 2 ? base * base : std::pow(base, exponent);  // squares are common, std::pow is slow
  } else {
    std::uint64_t result = 1;
    for (std::uint64_t factor = wrapping(base); exponent > 0; exponent /= 2, factor *= factor) {
      if (exponent % 2 != 0) result *= factor;
    }
    return static_cast<Int>(result);
  }
}

namespace fn {

constexpr auto neg = [](auto x) { return static_cast<decltype(x)>(-wrapping(x)); };
constexpr auto abs = [](auto x) { return x < 0 ? neg(x) : x; };
constexpr auto exp = [](double x) { return std::exp(x); };
constexpr auto log = [](double x) { return std::log(x); };
constexpr auto sqrt = [](double x) { return std::sqrt(x); };
constexpr auto reciprocal = [](double x) { return 1 / x; };
constexpr auto erf = [](double x) { return std::erf(x); };
constexpr auto tanh = [](double x) { return std::tanh(x); };
constexpr auto sigmoid = [](double x) { return 1 / (1 + std::exp(-x)); };
constexpr auto relu = [](auto x) { return x < 0 ? decltype(x)(0) : x; };  // NaN stays
constexpr auto softplus = [](double x) { return relu(x) + std::log1p(std::exp(-std::abs(x))); };
constexpr auto round = [](double x) { return std::nearbyint(x); };  // ties to even
constexpr auto sin = [](double x) { return std::sin(x); };
constexpr auto cos = [](double x) { return std::cos(x); };
constexpr auto logical_not = [](Int x) -> Int { return x == 0; };

constexpr auto add = [](auto a, auto b) { return static_cast<decltype(a)>(wrapping(a) + wrapping(b)); };
constexpr auto sub = [](auto a, auto b) { return static_cast<decltype(a)>(wrapping(a) - wrapping(b)); };
constexpr auto mul = [](auto a, auto b) { return static_cast<decltype(a)>(wrapping(a) * wrapping(b)); };
constexpr auto div = [](auto a, auto b) {
  if constexpr (std::is_same_v<decltype(a), Int>) {
    if (b == -1) return neg(a);  // the quotient of the lowest integer does not fit
  }
  return a / b;
};
constexpr auto pow = [](auto a, auto b) { return power(a, b); };
constexpr auto maximum = [](auto a, auto b) { return a > b || is_nan(a) ? a : b; };  // NaN wins
constexpr auto minimum = [](auto a, auto b) { return a < b || is_nan(a) ? a : b; };
constexpr auto logical_and = [](Int a, Int b) -> Int { return a != 0 && b != 0; };
constexpr auto logical_or = [](Int a, Int b) -> Int { return a != 0 || b != 0; };

constexpr auto eq = [](auto a, auto b) -> Int { return a == b; };
constexpr auto lt = [](auto a, auto b) -> Int { return a < b; };
constexpr auto le = [](auto a, auto b) -> Int { return a <= b; };
constexpr auto gt = [](auto a, auto b) -> Int { return a > b; };
constexpr auto ge = [](auto a, auto b) -> Int { return a >= b; };

}  // namespace fn

// ---- their application to tensors -------------------------------------------------------------------------

// The common shape of all operands.
Extents broadcast_operands(const Call& call) {
  std::vector<Extents> shapes;
  shapes.reserve(call.node.inputs.size());
  for (const Value& operand : call.node.inputs) shapes.push_back(call.tensor_of(operand).shape);
  return broadcast_extents(call, shapes);
}

template <class F>
Results map(const Call& call, F f) {
  HostTensor x = call.take(0);
  with_kind(x.dtype, [&]<class T>(T) {
    if constexpr (std::is_same_v<std::invoke_result_t<F, T>, T>) {
      T* values = elements<T>(x).data();
      const double work = kTranscendental * static_cast<double>(x.numel());
      for_each_part(x.numel(), work, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) values[i] = f(values[i]);
      });
    } else {
      reject(call.node, "got {}", to_string(x.dtype));
    }
  });
  x.dtype = call.dtype();
  return x;
}

template <class T, class F>
void zip_elements(const HostTensor& a, const HostTensor& b, HostTensor& out, F f) {
  auto* to = elements<std::invoke_result_t<F, T, T>>(out).data();
  const std::array strides{broadcast_strides(a.shape, out.shape), broadcast_strides(b.shape, out.shape)};
  for_each_run(out.shape, strides, [&](const auto& at, std::int64_t count, const auto& step) {
    const T* x = elements<T>(a).data() + at[0];
    const T* y = elements<T>(b).data() + at[1];
    if (step[0] == 1 && step[1] == 1) {  // the compiler makes vectors of these three
      for (std::int64_t i = 0; i < count; ++i) to[i] = f(x[i], y[i]);
    } else if (step[0] == 1 && step[1] == 0) {
      for (std::int64_t i = 0; i < count; ++i) to[i] = f(x[i], *y);
    } else if (step[0] == 0 && step[1] == 1) {
      for (std::int64_t i = 0; i < count; ++i) to[i] = f(*x, y[i]);
    } else {
      for (std::int64_t i = 0; i < count; ++i) to[i] = f(x[i * step[0]], y[i * step[1]]);
    }
    to += count;
  });
}

void reject_undefined_integers(const Call& call) {
  for (const std::int64_t operand : call.input(1).integers) {
    if (call.node.op == Op::div && operand == 0) reject(call.node, "integer division by zero");
    if (call.node.op == Op::pow && operand < 0) reject(call.node, "integer to the power of {}", operand);
  }
}

template <class F>
Results zip(const Call& call, F f) {
  const HostTensor& a = call.input(0);
  const HostTensor& b = call.input(1);
  if (call.node.op == Op::div || call.node.op == Op::pow) reject_undefined_integers(call);
  HostTensor out = make_tensor(call.dtype(), broadcast_operands(call));
  with_kind(a.dtype, [&]<class T>(T) {
    if constexpr (std::is_same_v<std::invoke_result_t<F, T, T>, T>) {
      zip_elements<T>(a, b, out, f);
    } else {
      reject(call.node, "got {}", to_string(a.dtype));
    }
  });
  return out;
}

template <class F>
Results compare(const Call& call, F f) {
  const HostTensor a = rounded(call.input(0));
  const HostTensor b = rounded(call.input(1));
  HostTensor out = make_tensor(DType::boolean, broadcast_operands(call));
  with_kind(a.dtype, [&]<class T>(T) { zip_elements<T>(a, b, out, f); });
  if (call.on_decision.comparison) {
    HostTensor margins{a.dtype, out.shape, {}, {}};
    if (is_float(a.dtype)) {
      margins.reals.resize(out.integers.size());
      zip_elements<double>(a, b, margins, fn::sub);
    }
    call.on_decision.comparison({call.node.op, margins, out.integers});
  }
  return out;
}

}  // namespace

namespace {

template <class F>
Results unary(const Call& call, F f) {
  return map(call, f);
}
// Passes may give it a slope for numbers below 0.
Results unary(const Call& call, decltype(fn::relu) relu) {
  if (!call.node.attrs.has("slope")) return map(call, relu);
  return map(call, [slope = call.node.attrs.real("slope")](double x) { return x < 0 ? slope * x : x; });
}

}  // namespace

#define ONNXPORT_UNARY(name) \
  Results interpret_##name(const Call& call) { return unary(call, fn::name); }
#define ONNXPORT_BINARY(name) \
  Results interpret_##name(const Call& call) { return zip(call, fn::name); }
#define ONNXPORT_COMPARE(name) \
  Results interpret_##name(const Call& call) { return compare(call, fn::name); }
#include "onnxport/ops.def"

namespace {

// The cosine or sine of positions, perhaps scaled.
bool is_turn(const Value& x) {
  const Node& node = *x.node();
  return node.op == Op::cos || node.op == Op::sin || (node.op == Op::mul && is_turn(node.inputs[0]));
}

bool is_rounded(const Value& x) {
  return x.node()->op == Op::weight || x.node()->op == Op::input || is_turn(x);
}

}  // namespace

// A file in bfloat16 is validated with its values widened to float32 (serialize/widen.h), so that computed
// values keep their digits.
Results interpret_cast(const Call& call) {
  const HostTensor& x = call.input(0);
  HostTensor out = make_tensor(call.dtype(), x.shape);
  const Value& from = call.node.inputs[0];
  if (out.dtype == DType::bf16 && is_float(x.dtype) && !is_rounded(from)) {
    out.reals = x.reals;
    return out;
  }
  const std::size_t count = static_cast<std::size_t>(x.numel());
  if (!is_float(x.dtype)) {
    for (std::size_t i = 0; i < count; ++i) {
      if (is_float(out.dtype)) {
        out.reals[i] = round_to(out.dtype, static_cast<double>(x.integers[i]));
      } else {
        out.integers[i] = wrap(out.dtype, x.integers[i]);
      }
    }
    return out;
  }
  // In a real graph, a narrowing cast starts from the precision of the operand's dtype.
  const bool narrows = !is_float(out.dtype) || size_of(out.dtype) <= size_of(x.dtype);
  for (std::size_t i = 0; i < count; ++i) {
    const double value = narrows ? round_to(x.dtype, x.reals[i]) : x.reals[i];
    if (is_float(out.dtype)) {
      out.reals[i] = round_to(out.dtype, value);
    } else {
      out.integers[i] = truncate_to(out.dtype, value);
    }
  }
  return out;
}

Results interpret_where(const Call& call) {
  const HostTensor& condition = call.input(0);
  HostTensor out = make_tensor(call.dtype(), broadcast_operands(call));
  with_kind(out.dtype, [&]<class T>(T) {
    const T* a = elements<T>(call.input(1)).data();
    const T* b = elements<T>(call.input(2)).data();
    T* to = elements<T>(out).data();
    std::array<Extents, 3> strides;
    for (std::size_t i = 0; i < 3; ++i) strides[i] = broadcast_strides(call.input(i).shape, out.shape);
    for_each_run(out.shape, strides, [&](const auto& at, std::int64_t count, const auto& step) {
      for (std::int64_t i = 0; i < count; ++i) {
        const bool first = condition.integers[static_cast<std::size_t>(at[0] + i * step[0])] != 0;
        *to++ = first ? a[at[1] + i * step[1]] : b[at[2] + i * step[2]];
      }
    });
  });
  return out;
}

Results interpret_clamp(const Call& call) {
  const double low = call.node.attrs.real("low"), high = call.node.attrs.real("high");
  // Written so that a NaN stays one.
  return map(call, [=](double x) { return x < low ? low : x > high ? high : x; });
}

namespace {

double gelu_tanh(double x) {
  return 0.5 * x * (1 + std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
}
// erfc keeps its precision in the left tail, where 1 + erf cancels.
double gelu_erf(double x) { return 0.5 * x * std::erfc(-x * 0.7071067811865476); }

auto gelu_of(const Call& call) {
  return call.node.attrs.get<std::string>("approximate") == "tanh" ? gelu_tanh : gelu_erf;
}

}  // namespace

Results interpret_gelu(const Call& call) { return map(call, gelu_of(call)); }

Results interpret_bias_gelu(const Call& call) {
  const auto gelu = gelu_of(call);
  return zip(call, [=](double x, double bias) { return gelu(x + bias); });
}

Results interpret_quick_gelu(const Call& call) {
  return map(call, [](double x) { return x * fn::sigmoid(1.702 * x); });
}

Results interpret_silu(const Call& call) {
  return map(call, [](double x) { return x * fn::sigmoid(x); });
}

Results interpret_mish(const Call& call) {
  return map(call, [](double x) { return x * std::tanh(fn::softplus(x)); });
}

}  // namespace onnxport::reference
