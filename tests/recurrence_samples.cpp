#include <span>
#include <string>
#include <utility>

#include "onnxport/op.h"
#include "onnxport/ops.h"
#include "onnxport/recurrence.h"
#include "op_samples.h"

namespace onnxport::test {
namespace {

using Reals = std::vector<double>;

const Dim N = Dim::symbol("N");
const Dim M = Dim::symbol("M");

// Output and states in one vector.
Value joined(const std::vector<Value>& results) {
  std::vector<Value> flat;
  for (const Value& one : results) flat.push_back(op::flatten(one, 0, one.rank() - 1));
  return op::concat(flat, 0);
}

struct Maker {
  Graph& graph;
  DType dtype;
  Value operator()(const char* name, Shape shape) const {
    return graph.input(name, {dtype, std::move(shape)});
  }
  // Between 0 and 1.
  Value share(const char* name, Shape shape) const { return op::sigmoid((*this)(name, std::move(shape))); }
};

class Samples {
 public:
  explicit Samples(std::vector<OpSample> list) : list_(std::move(list)) {}
  void add(Op op, const std::string& name, const std::function<std::vector<Value>(const Maker&)>& results,
           DType dtype = DType::f32) {
    list_.push_back({op, name + "_" + std::string(short_name(dtype)), dtype,
                     [=](Graph& graph) { graph.output("y", joined(results({graph, dtype}))); }});
  }
  std::vector<OpSample> take() { return std::move(list_); }

 private:
  std::vector<OpSample> list_;
};

std::string suffix(const Dim& length, bool past) {
  return std::string(length == Dim(1) ? "_one" : "") + (past ? "_past" : "");
}

std::vector<Value> all(const op::Recurrence& made) { return {made.output, made.state}; }

void convolutions(Samples& s, bool past) {
  for (const DType dtype : {DType::f32, DType::f16}) {
    for (const std::int64_t kept : {2, 3}) {
      const std::string name = "causal_conv_" + std::to_string(kept) + suffix(M, past);
      s.add(
          Op::causal_conv, name,
          [=](const Maker& in) {
            const Value x = in("x", {N, 4, M}), weight = in("weight", {4, 1, 3});
            const Value bias = past ? in("bias", {4}) : Value();
            return all(op::causal_conv(x, weight, bias, past ? in("past", {N, 4, kept}) : Value(), kept));
          },
          dtype);
    }
  }
  s.add(Op::causal_conv, "causal_conv_output" + suffix(M, past), [=](const Maker& in) {
    const Value x = in("x", {N, 4, M}), weight = in("weight", {4, 1, 1});
    return std::vector<Value>{
        op::causal_conv(x, weight, {}, past ? in("past", {N, 4, 1}) : Value(), 1).output};
  });
}

void recurrences(Samples& s, const Dim& length, bool past) {
  const std::string end = suffix(length, past);
  for (const bool per_element : {false, true}) {
    s.add(Op::selective_scan, std::string("selective_scan") + (per_element ? "_elements" : "") + end,
          [=](const Maker& in) {
            op::SelectiveScanOperands o;
            o.x = in("x", {N, length, 4 * 3});
            o.time_step = in.share("time_step", {N, length, 4});
            o.decay = op::neg(in.share("decay", per_element ? Shape{4, 5} : Shape{4}));
            o.input = in("input", {N, length, 2 * 5});
            o.output = in("output", {N, length, 2 * 5});
            if (past) o.past = in("past", {N, 4, 3, 5});
            return all(op::selective_scan(o, 2));
          });
  }
  for (int form = 0; form < 4; ++form) {
    const bool delta = form % 2 == 1, per_key = form >= 2;
    const std::string name = std::string(delta ? "_delta" : "") + (per_key ? "_keys" : "") + end;
    s.add(Op::linear_attention, "linear_attention" + name, [=](const Maker& in) {
      op::LinearAttentionOperands o;
      o.query = in("query", {N, length, 2 * 5});
      o.key = op::mul(in("key", {N, length, 2 * 5}), 0.125);
      o.value = in("value", {N, length, 4 * 3});
      o.decay = op::neg(in.share("decay", {N, length, per_key ? 4 * 5 : 4}));
      if (delta) o.beta = in.share("beta", {N, length, 4});
      if (past) o.past = in("past", {N, 4, 5, 3});
      return all(op::linear_attention(o, 4, 2));
    });
  }
  s.add(Op::linear_recurrence, "linear_recurrence" + end, [=](const Maker& in) {
    const Value x = in("x", {N, length, 4}), remains = in.share("remains", {N, length, 4});
    return all(op::linear_recurrence(x, remains, past ? in("past", {N, 4}) : Value()));
  });
  s.add(Op::wkv, "wkv" + end, [=](const Maker& in) {
    const Value key = in("key", {N, length, 4}), value = in("value", {N, length, 4});
    const Value decay = op::neg(in.share("decay", {4}));
    op::WkvState state;
    if (past) {
      state.numerator = in("numerator", {N, 4});
      state.denominator = in.share("denominator", {N, 4});
      state.maximum = in("maximum", {N, 4});
    }
    const op::Wkv made = op::wkv(key, value, decay, in("bonus", {4}), state);
    return std::vector<Value>{made.output, made.state.numerator, made.state.denominator, made.state.maximum};
  });
}

void memories(Samples& s, const Dim& length, bool past, DType dtype) {
  s.add(
      Op::lstm, "lstm" + suffix(length, past),
      [=](const Maker& in) {
        op::LstmOperands o;
        o.x = in("x", {N, length, 3});
        o.input_weight = in("input_weight", {20, 3});
        Reals reals;
        for (int i = 0; i < 100; ++i) reals.push_back(0.02 * i - 1);
        o.hidden_weight = in.graph.weight_as_is(Weight::from_doubles(dtype, {20, 5}, reals));
        if (past) {
          o.input_bias = in("input_bias", {20});
          o.hidden_bias =
              in.graph.weight_as_is(Weight::from_doubles(dtype, {20}, std::span(reals).first(20)));
          o.past_hidden = in("hidden", {N, 5});
          o.past_cell = in("cell", {N, 5});
        }
        const op::Lstm made = op::lstm(o);
        return std::vector<Value>{made.output, made.hidden, made.cell};
      },
      dtype);
}

}  // namespace

std::vector<OpSample> with_recurrent_samples(std::vector<OpSample> samples) {
  Samples s(with_signal_samples(std::move(samples)));
  for (const bool past : {false, true}) {
    convolutions(s, past);
    for (const Dim& length : {M, Dim(1)}) {
      recurrences(s, length, past);
      for (const DType dtype : {DType::f32, DType::f16}) memories(s, length, past, dtype);
    }
  }
  return s.take();
}

}  // namespace onnxport::test
