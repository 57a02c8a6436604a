// PatchTST: a Transformer over the patches of each channel of a series. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/patchtst/modeling_patchtst.py
#include <fmt/format.h>

#include <vector>

#include "models/time_series/common/patches.h"
#include "onnxport/error.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/mlp.h"

namespace onnxport::models {
namespace {

struct Config : SeriesConfig {
  std::int64_t width, layers, heads, inner;
  bool shared_embedding, channel_attention, batch_norm, ff_bias, pre_norm, class_token;
  std::string activation;
  double eps;

  explicit Config(const PretrainedConfig& c)
      : SeriesConfig(c, SeriesScaling::mean),
        width(c.integer("d_model")),
        layers(c.integer("num_hidden_layers")),
        heads(c.integer("num_attention_heads")),
        inner(c.integer("ffn_dim")),
        shared_embedding(c.flag("share_embedding")),
        channel_attention(c.flag("channel_attention")),
        batch_norm(c.string("norm_type") == "batchnorm"),
        ff_bias(c.flag("bias")),
        pre_norm(c.flag("pre_norm")),
        class_token(c.flag("use_cls_token")),
        activation(c.string("activation_function")),
        eps(c.real("norm_eps")) {
    check_multiple(c, "d_model", width, "num_attention_heads", heads);
    if (!batch_norm && c.string("norm_type") != "layernorm") {
      throw ExportError(ErrorCode::bad_config,
                        fmt::format("{}: norm_type is '{}', expected batchnorm or layernorm", c.origin(),
                                    c.string("norm_type")));
    }
    c.harmless({"attention_dropout", "positional_dropout", "path_dropout", "ff_dropout"});  // of training
  }

  std::int64_t tokens() const { return patches + (class_token ? 1 : 0); }
};

// Patches [B, C, N, patch] -> [B, C, N, D], by one layer or by one for each channel.
Value embed_patches(const Scope& s, const Config& c, Value patches) {
  if (c.shared_embedding) return nn::Linear(s, c.patch, c.width)(patches);
  Graph& graph = patches.graph();
  const ModulePath at(graph, s.path());
  std::vector<Weight> weights, biases;
  for (std::int64_t i = 0; i < c.channels; ++i) {
    weights.push_back((s / i).weight("weight", {c.width, c.patch}).reshape({1, c.width, c.patch}));
    biases.push_back((s / i).weight("bias", {c.width}).reshape({1, 1, c.width}));
  }
  const Value matrices = op::transpose(graph.weight(Weight::concat(weights, 0)), 1, 2);
  const Value embedded = op::matmul(patches, matrices);
  return op::add(embedded, graph.weight(Weight::concat(biases, 0)));
}

// [B, C, N, D] -> [B, C, tokens, D]
Value place(const Scope& s, const Config& c, Value x) {
  Graph& graph = x.graph();
  const ModulePath at(graph, s.path());
  const Weight table = s.weight("position_enc", {c.tokens(), c.width});
  if (!c.class_token) return op::add(x, graph.weight(table));
  const Value placed = op::add(x, graph.weight(table.slice(0, 1, c.tokens())));
  const Value token = graph.weight(s.weight("cls_token", {1, 1, 1, c.width}));
  const Value first = op::add(token, graph.weight(table.slice(0, 0, 1)));
  return op::concat({op::expand(first, {x.dim(0), c.channels, 1, c.width}), placed}, 2);
}

// A branch with its norm before it or after the sum.
Value sublayer(const Scope& norm, const Config& c, Value x, const std::function<Value(Value)>& branch) {
  const auto normed = series_norm(norm, c.batch_norm, c.width, c.eps);
  if (c.pre_norm) return op::add(x, branch(normed(x)));
  return normed(op::add(x, branch(x)));
}

// [B, C, S, D] -> the same. All channels are rows of their own, except where they attend to each other.
Value layer(const Scope& s, const Config& c, Value x) {
  const ModulePath at(x, s.path());
  const Dim batch = x.dim(0);
  const std::int64_t tokens = c.tokens();
  const nn::SelfAttention attention(s / "self_attn", {.hidden_size = c.width,
                                                      .heads = c.heads,
                                                      .query = "q_proj",
                                                      .key = "k_proj",
                                                      .value = "v_proj",
                                                      .output = "out_proj"});
  const auto attend = [&](Value y) { return attention(y); };
  const Value series = op::reshape(x, {batch * c.channels, tokens, c.width});
  x = sublayer(s / "norm_sublayer1", c, series, attend);
  if (c.channel_attention) {
    const Value apart = op::transpose(op::reshape(x, {batch, c.channels, tokens, c.width}), 1, 2);
    const Value moments = op::reshape(apart, {batch * tokens, c.channels, c.width});
    const Value seen = sublayer(s / "norm_sublayer2", c, moments, attend);
    const Value back = op::transpose(op::reshape(seen, {batch, tokens, c.channels, c.width}), 1, 2);
    x = op::reshape(back, {batch * c.channels, tokens, c.width});
  }
  const Scope f = s / "ff";
  const nn::Mlp mlp(f.path(), nn::Linear(f / 0, c.width, c.inner, c.ff_bias),
                    nn::Linear(f / 3, c.inner, c.width, c.ff_bias), c.activation);
  x = sublayer(s / "norm_sublayer3", c, x, mlp);
  return op::reshape(x, {batch, c.channels, tokens, c.width});
}

// Hidden states [B, C, S, D] -> [B, C, features]
Value pool(const PretrainedConfig& config, const Config& c, Value hidden) {
  const std::string pooling = config.maybe_string("pooling_type").value_or("");
  if (c.class_token) return op::select(hidden, 2, 0);
  if (pooling == "mean") return op::mean(hidden, 2);
  if (pooling == "max") return op::amax(hidden, 2);
  if (pooling.empty()) return op::flatten(hidden, 2, 3);
  throw ExportError(ErrorCode::bad_config, fmt::format("{}: pooling_type is '{}', expected mean, max or null",
                                                       config.origin(), pooling));
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  const Config c(config);
  const bool forecasts = component.task != "feature-extraction";
  // The forecast's class turns masking off.
  if (config.flag("do_mask_input", false) && !forecasts) {
    throw ExportError(
        ErrorCode::unsupported,
        fmt::format("{}: do_mask_input is true, so patches are hidden at random", config.origin()));
  }
  const Scope root = model.scope(), s = root.base_model("model") / "encoder";
  const ScaledSeries series = scale_series(c, inputs["past_values"]);
  Value x = embed_patches(s / "embedder" / "input_embedding", c, cut_patches(c, series.values));
  x = place(s / "positional_encoder", c, x);
  for (std::int64_t i = 0; i < c.layers; ++i) x = layer(s / "layers" / i, c, x);
  if (!forecasts) {
    config.harmless({"loss", "distribution_output", "prediction_length", "pooling_type", "share_projection"});
    return {{"last_hidden_state", x}};
  }
  check_point_forecast(config);
  if (!config.flag("share_projection")) {
    throw ExportError(
        ErrorCode::unsupported,
        fmt::format("{}: share_projection is false, with which the original cannot run", config.origin()));
  }
  const Value pooled = pool(config, c, x);
  const nn::Linear head(root / "head" / "projection", *pooled.dim(2).constant(),
                        config.integer("prediction_length"));
  return {{"prediction_outputs", series.back(op::transpose(head(pooled), 1, 2))}};
}

}  // namespace

void register_patchtst(TasksManager& tasks) {
  tasks.register_model<TimeSeriesOnnxConfig>({.model_type = "patchtst",
                                              .tasks = {"feature-extraction", "time-series-forecasting"},
                                              .forward = forward});
}

}  // namespace onnxport::models
