#include "onnxport/nn/mamba.h"

#include <array>
#include <cmath>
#include <utility>
#include <vector>

#include "onnxport/op.h"

namespace onnxport::nn {
namespace {

Value wide(Value x) { return op::cast(x, DType::f32); }

// softplus in float32
Value time_steps(Value x) { return op::softplus(wide(x)); }

Value clamped(Value step, const Mamba2Parts& p, const DecoderPass& pass) {
  if (std::isfinite(p.longest_step)) step = op::minimum(step, p.longest_step);
  if (p.shortest_step <= 0) return step;
  if (p.clamps_single || !pass.has_past()) return op::maximum(step, p.shortest_step);
  Graph& graph = step.graph();
  const Value many = op::gt(op::size(graph, pass.length()), 1.0);
  const Value shortest = op::scalar(graph, p.shortest_step, DType::f32);
  const Value least = op::where(many, shortest, op::scalar(graph, 0.0, DType::f32));
  return op::maximum(step, least);
}

}  // namespace

Weight decay_of(const Weight& log) {
  const double minus_one = -1;
  return log.cast(DType::f32).exp().mul(Weight::from_doubles(DType::f32, {}, {&minus_one, 1}));
}

Weight state_decay(const Scope& s, const std::vector<std::int64_t>& shape) {
  if (s.has("A")) return s.weight("A", shape).cast(DType::f32);
  return decay_of(s.weight("A_log", shape));
}

Value wide_past(const DecoderPass& pass, std::int64_t layer, std::string_view part) {
  const Value past = pass.past(layer, part);
  return past ? wide(past) : past;
}

void keep_wide(DecoderPass& pass, std::int64_t layer, std::string_view part, Value state) {
  pass.keep(layer, part, op::cast(state, state.graph().float_dtype()));
}

CausalConv::CausalConv(const Scope& s, std::int64_t channels, std::int64_t kernel, bool bias,
                       std::optional<std::int64_t> kept)
    : path_(s.path()),
      weight_(s.weight("weight", {channels, 1, kernel})),
      bias_(bias ? s.weight("bias", {channels}) : Weight()),
      kept_(kept.value_or(kernel)) {}

CausalConv::CausalConv(std::string path, Weight weight)
    : path_(std::move(path)), weight_(std::move(weight)), kept_(weight_.shape().at(2)) {}

Value CausalConv::operator()(Value x, DecoderPass& pass, std::int64_t layer, std::string_view part) const {
  const ModulePath at(x, path_);
  const Value channels_first = op::transpose(x, 1, 2);
  const Value weight = x.graph().weight(weight_);
  const Value bias = bias_ ? x.graph().weight(bias_) : Value();
  const op::Recurrence made = op::causal_conv(channels_first, weight, bias, pass.past(layer, part), kept_);
  pass.keep(layer, part, made.state);
  return op::transpose(made.output, 1, 2);
}

GatedRmsNorm::GatedRmsNorm(const Scope& s, std::int64_t width, const GatedNormParameters& p)
    : path_(s.path()), weight_(s.weight("weight", {width})), parameters_(p) {}

Value GatedRmsNorm::operator()(Value x, Value gate) const {
  const ModulePath at(x, path_);
  const GatedNormParameters& p = parameters_;
  const Value opened = Activation(p.activation)(wide(gate));
  Value y = wide(x);
  if (p.gate_first) y = op::mul(y, opened);
  const Value weight = wide(x.graph().weight(weight_));
  if (p.groups == 1) {
    y = op::rms_norm(y, weight, p.eps);
  } else {
    Shape apart = x.shape();
    apart.back() = p.groups;
    apart.emplace_back(weight_.shape()[0] / p.groups);
    const Value normed = op::rms_norm(op::reshape(y, std::move(apart)), {}, p.eps);
    y = op::mul(op::reshape(normed, x.shape()), weight);
  }
  if (!p.gate_first) y = op::mul(y, opened);
  return op::cast(y, x.graph().float_dtype());
}

Mamba::Mamba(const Scope& s, std::int64_t layer, const MambaParameters& p, MambaNorms norms)
    : path_(s.path()),
      layer_(layer),
      parameters_(p),
      in_proj_(s / "in_proj", p.hidden_size, 2 * p.intermediate_size, p.bias),
      conv1d_(s / "conv1d", p.intermediate_size, p.kernel, p.conv_bias),
      x_proj_(s / "x_proj", p.intermediate_size, p.time_step_rank + 2 * p.state_size, false),
      dt_proj_(s / "dt_proj", p.time_step_rank, p.intermediate_size),
      decay_(state_decay(s, {p.intermediate_size, p.state_size})),
      d_(s.weight("D", {p.intermediate_size})),
      out_proj_(s / "out_proj", p.intermediate_size, p.hidden_size, p.bias),
      activation_(p.activation),
      norms_(std::move(norms)) {}

Value Mamba::operator()(Value x, DecoderPass& pass) const {
  const ModulePath at(x, path_);
  const MambaParameters& p = parameters_;
  const bool early = p.padding == MambaPadding::projection;
  const std::vector<Value> projected = op::chunk(in_proj_(early ? pass.zero_padding(x) : x), -1, 2);
  const Value convolved = conv1d_(early ? projected[0] : pass.zero_padding(projected[0]), pass, layer_);
  const Value hidden = pass.zero_padding(activation_(convolved));
  std::vector<Value> selected =
      op::split(x_proj_(hidden), -1, {p.time_step_rank, p.state_size, p.state_size});
  const std::array<Norm, 3> norms = {norms_.time_step, norms_.input, norms_.output};
  for (std::size_t i = 0; i < 3; ++i) {
    if (norms[i]) selected[i] = norms[i](selected[i]);
  }
  op::SelectiveScanOperands scan;
  scan.x = wide(hidden);
  scan.time_step = time_steps(dt_proj_(selected[0]));
  scan.decay = x.graph().weight_as_is(decay_);
  scan.input = wide(selected[1]);
  scan.output = wide(selected[2]);
  // To the op, each channel is a head of its own.
  const Shape state = {x.dim(0), p.intermediate_size, 1, p.state_size};
  if (const Value past = wide_past(pass, layer_, "ssm")) scan.past = op::reshape(past, state);
  const op::Recurrence made = op::selective_scan(scan, 1);
  keep_wide(pass, layer_, "ssm", op::squeeze(made.state, 2));
  const Value skipped = op::mul(scan.x, wide(x.graph().weight(d_)));
  const Value y = op::cast(op::add(made.output, skipped), x.graph().float_dtype());
  const Value gate = activation_(projected[1]);
  return out_proj_(op::mul(y, gate));
}

Mamba2Parts mamba2_parts(const Scope& s, std::int64_t layer, const Mamba2Sizes& z,
                         const Mamba2Options& options) {
  return {.path = s.path(),
          .layer = layer,
          .sizes = z,
          .in_proj = Linear(s / "in_proj", z.hidden_size, z.projected(), options.bias),
          .conv1d = CausalConv(s / "conv1d", z.convolved(), z.kernel, options.conv_bias),
          .decay = state_decay(s, {z.heads}),
          .d = s.weight("D", {z.heads}),
          .dt_bias = s.weight("dt_bias", {z.heads}),
          .gated = GatedRmsNorm(s / "norm", z.intermediate(), options.norm),
          .out_proj = Linear(s / "out_proj", z.intermediate(), z.hidden_size, options.bias)};
}

Value Mamba2::operator()(Value x, DecoderPass& pass) const {
  const ModulePath at(x, parts_.path);
  const Mamba2Sizes& z = parts_.sizes;
  Graph& graph = x.graph();
  const Value projected = parts_.in_proj(pass.zero_padding(x));
  const std::vector<Value> gate_conv_step =
      op::split(projected, -1, {z.intermediate(), z.convolved(), z.heads});
  const Value convolved = parts_.conv1d(gate_conv_step[1], pass, parts_.layer);
  const Value hidden = wide(pass.zero_padding(activation_(convolved)));
  const std::int64_t shared = z.groups * z.state_size;
  const std::vector<Value> selected = op::split(hidden, -1, {z.intermediate(), shared, shared});

  const Value shift = wide(graph.weight(parts_.dt_bias));
  const Value step = clamped(time_steps(op::add(wide(gate_conv_step[2]), shift)), parts_, pass);
  op::SelectiveScanOperands scan;
  scan.x = selected[0];
  scan.time_step = step;
  scan.decay = graph.weight_as_is(parts_.decay);
  scan.input = selected[1];
  scan.output = selected[2];
  scan.past = wide_past(pass, parts_.layer, "ssm");
  const op::Recurrence made = op::selective_scan(scan, z.groups);
  keep_wide(pass, parts_.layer, "ssm", made.state);

  const Shape heads = {x.dim(0), x.dim(1), z.heads, z.head_dim};
  const Value apart = op::reshape(scan.x, heads);
  const Value scale = wide(graph.weight(parts_.d.reshape({z.heads, 1})));
  const Value skipped = op::reshape(op::mul(apart, scale), scan.x.shape());
  const Value y = op::cast(op::add(made.output, skipped), graph.float_dtype());
  return parts_.out_proj(parts_.gated(y, gate_conv_step[0]));
}

}  // namespace onnxport::nn
