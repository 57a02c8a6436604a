// PatchTSMixer: patches of a series, mixed over time, over features and maybe over channels. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/patchtsmixer/modeling_patchtsmixer.py
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <vector>

#include "models/time_series/common/patches.h"
#include "onnxport/error.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/mlp.h"

namespace onnxport::models {
namespace {

struct Config : SeriesConfig {
  std::int64_t width, layers, expansion, heads;
  bool gated, attention, mix_channels, positions, batch_norm;
  double eps;

  explicit Config(const PretrainedConfig& c)
      : SeriesConfig(c, SeriesScaling::std),
        width(c.integer("d_model")),
        layers(c.integer("num_layers")),
        expansion(c.integer("expansion_factor")),
        heads(1),
        gated(c.flag("gated_attn")),
        attention(c.flag("self_attn")),
        mix_channels(mixes_channels(c)),
        positions(c.flag("use_positional_encoding")),
        batch_norm(has_batch_norm(c)),
        eps(c.real("norm_eps")) {
    if (attention) {
      heads = c.integer("self_attn_heads");
      check_multiple(c, "d_model", width, "self_attn_heads", heads);
    }
    c.harmless({"self_attn_heads", "dropout", "head_aggregation", "masked_loss", "post_init"});
  }

  std::function<Value(Value)> norm(const Scope& s) const {
    return series_norm(s / "norm", batch_norm, width, eps);
  }

 private:
  static bool mixes_channels(const PretrainedConfig& c) {
    const std::string mode = c.string("mode");
    if (mode == "mix_channel" || mode == "common_channel") return mode == "mix_channel";
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format("{}: mode is '{}', expected common_channel or mix_channel", c.origin(), mode));
  }
  // Any name with "batch" in it.
  static bool has_batch_norm(const PretrainedConfig& c) {
    std::string name = c.string("norm_mlp");
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char l) { return std::tolower(l); });
    return name.find("batch") != name.npos;
  }
};

Value mlp(const Scope& s, const Config& c, std::int64_t width, Value x) {
  const std::int64_t inner = width * c.expansion;
  return nn::Mlp(s.path(), nn::Linear(s / "fc1", width, inner), nn::Linear(s / "fc2", inner, width),
                 "gelu")(x);
}

// Each element of the last axis is weighted against the others.
Value gate(const Scope& s, const Config& c, std::int64_t width, Value x) {
  if (!c.gated) return x;
  const ModulePath at(x, s.path());
  const Value weights = op::softmax(nn::Linear(s / "attn_layer", width, width)(x), -1);
  return op::mul(x, weights);
}

Value mix_channels(const Scope& s, const Config& c, Value x) {
  const ModulePath at(x, s.path());
  const Value normed = op::permute(c.norm(s / "norm")(x), {0, 3, 2, 1});
  const Value gated = gate(s / "gating_block", c, c.channels, normed);
  const Value mixed = op::permute(mlp(s / "mlp", c, c.channels, gated), {0, 3, 2, 1});
  return op::add(mixed, x);
}

// The patches of each channel attend to each other: [B, C, N, D] -> the same.
Value attend(const Scope& s, const Config& c, Value x) {
  const nn::SelfAttention attention(s, {.hidden_size = c.width,
                                        .heads = c.heads,
                                        .query = "q_proj",
                                        .key = "k_proj",
                                        .value = "v_proj",
                                        .output = "out_proj"});
  const Value rows = op::reshape(x, {x.dim(0) * c.channels, c.patches, c.width});
  return op::reshape(attention(rows), x.shape());
}

Value mix_patches(const Scope& s, const Config& c, Value x) {
  const ModulePath at(x, s.path());
  const Value normed = c.norm(s / "norm")(x);
  Value attended;
  if (c.attention) attended = attend(s / "self_attn_layer", c, normed);
  const Value mixed = mlp(s / "mlp", c, c.patches, op::transpose(normed, 2, 3));
  Value y = op::transpose(gate(s / "gating_block", c, c.patches, mixed), 2, 3);
  if (c.attention) y = c.norm(s / "norm_attn")(op::add(y, attended));
  return op::add(y, x);
}

Value mix_features(const Scope& s, const Config& c, Value x) {
  const ModulePath at(x, s.path());
  const Value mixed = mlp(s / "mlp", c, c.width, c.norm(s / "norm")(x));
  return op::add(gate(s / "gating_block", c, c.width, mixed), x);
}

// Patches [B, C, N, patch] -> [B, C, N, D]
Value encode(const Scope& s, const Config& c, Value patches) {
  Value x = nn::Linear(s / "patcher", c.patch, c.width)(patches);
  if (c.positions) {
    const Scope p = s / "positional_encoder";
    const ModulePath at(x, p.path());
    x = op::add(x, x.graph().weight(p.weight("position_enc", {c.patches, c.width})));
  }
  for (std::int64_t i = 0; i < c.layers; ++i) {
    const Scope layer = s / "mlp_mixer_encoder" / "mixers" / i;
    if (c.mix_channels) x = mix_channels(layer / "channel_feature_mixer", c, x);
    x = mix_patches(layer / "patch_mixer", c, x);
    x = mix_features(layer / "feature_mixer", c, x);
  }
  return x;
}

// The channels that the configuration asks for, in order: [B, T, C] -> [B, T, chosen].
Value choose_channels(const PretrainedConfig& config, const Config& c, Value forecast) {
  if (!config.has("prediction_channel_indices")) return forecast;
  std::vector<std::int64_t> chosen = config.integers("prediction_channel_indices");
  std::sort(chosen.begin(), chosen.end());
  std::vector<Value> parts;
  for (const std::int64_t channel : chosen) {
    if (channel < 0 || channel >= c.channels) {
      throw ExportError(ErrorCode::bad_config,
                        fmt::format("{}: prediction_channel_indices has {}, expected numbers from 0 to {}",
                                    config.origin(), channel, c.channels - 1));
    }
    parts.push_back(op::slice(forecast, 2, channel, channel + 1));
  }
  return parts.empty() ? forecast : op::concat(parts, 2);
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  const Config c(config);
  const Scope root = model.scope();
  const ScaledSeries series = scale_series(c, inputs["past_values"]);
  const Value hidden = encode(root.base_model("model") / "encoder", c, cut_patches(c, series.values));
  if (component.task == "feature-extraction") {
    config.harmless({"loss", "distribution_output", "prediction_length", "prediction_channel_indices"});
    return {{"last_hidden_state", hidden}};
  }
  check_point_forecast(config);
  const nn::Linear head(root / "head" / "base_forecast_block", c.patches * c.width,
                        config.integer("prediction_length"));
  const Value forecast = op::transpose(head(op::flatten(hidden, 2, 3)), 1, 2);
  return {{"prediction_outputs", choose_channels(config, c, series.back(forecast))}};
}

}  // namespace

void register_patchtsmixer(TasksManager& tasks) {
  tasks.register_model<TimeSeriesOnnxConfig>({.model_type = "patchtsmixer",
                                              .tasks = {"feature-extraction", "time-series-forecasting"},
                                              .forward = forward});
}

}  // namespace onnxport::models
