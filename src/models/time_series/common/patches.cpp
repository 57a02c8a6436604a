#include "models/time_series/common/patches.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <vector>

#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"

namespace onnxport::models {
namespace {

// `mean`, `std`, nothing, or a flag.
SeriesScaling read_scaling(const PretrainedConfig& c, SeriesScaling if_true) {
  const nlohmann::json file = nlohmann::json::parse(c.text());
  const auto given = file.find("scaling");
  if (given != file.end() && given->is_boolean()) return c.flag("scaling") ? if_true : SeriesScaling::none;
  const std::string name = c.maybe_string("scaling").value_or("");
  if (name.empty()) return SeriesScaling::none;
  if (name == "mean") return SeriesScaling::mean;
  if (name == "std") return SeriesScaling::std;
  throw ExportError(
      ErrorCode::bad_config,
      fmt::format("{}: scaling is '{}', expected mean, std, true, false or null", c.origin(), name));
}

class DummySeriesGenerator : public DummyFloatInputGenerator {
 public:
  DummySeriesGenerator(std::int64_t length, std::int64_t channels) : length_(length), channels_(channels) {}
  bool supports_input(std::string_view name) const override { return name == "past_values"; }
  TensorType type(std::string_view, const DummyContext& context, const DummyShapes& shapes) const override {
    return {context.float_dtype, {shapes.batch_size, length_, channels_}};
  }

 private:
  std::int64_t length_, channels_;
};

}  // namespace

SeriesConfig::SeriesConfig(const PretrainedConfig& c, SeriesScaling if_true)
    : length(c.integer("context_length")),
      patch(c.integer("patch_length")),
      stride(c.integer("patch_stride")),
      channels(c.integer("num_input_channels")),
      patches(0),
      scaling(read_scaling(c, if_true)),
      minimum_scale(c.maybe_real("minimum_scale").value_or(scaling == SeriesScaling::std ? 1e-5 : 1e-10)) {
  if (patch < 1 || stride < 1 || channels < 1 || length <= patch) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: context_length {}, patch_length {}, patch_stride {} and "
                                  "num_input_channels {} do not fit together",
                                  c.origin(), length, patch, stride, channels));
  }
  patches = (length - patch) / stride + 1;
  if (c.maybe_integer("scaling_dim").value_or(1) != 1 || !c.flag("keepdim", true)) {
    throw ExportError(
        ErrorCode::unsupported,
        fmt::format("{}: series are scaled over scaling_dim 1 with keepdim true alone", c.origin()));
  }
  // All values are observed. The rest concerns training.
  c.harmless({"default_scale", "mask_type", "random_mask_ratio", "num_forecast_mask_patches", "mask_value",
              "channel_consistent_masking", "unmasked_channel_indices", "init_std", "head_dropout",
              "num_parallel_samples"});
  // Of other heads, and of a table that is stored.
  c.harmless({"num_targets", "output_range", "positional_encoding_type"});
}

AxesByName TimeSeriesOnnxConfig::inputs() const { return {{"past_values", {{0, "batch_size"}}}}; }

AxesByName TimeSeriesOnnxConfig::outputs() const {
  if (task() == "feature-extraction") return {{"last_hidden_state", {{0, "batch_size"}}}};
  return common_outputs(task());
}

NormalizedConfig TimeSeriesOnnxConfig::normalized_config() const { return {config(), {}}; }

DummyInputGenerators TimeSeriesOnnxConfig::dummy_input_generators() const {
  const SeriesConfig c(config().unaccounted(), SeriesScaling::none);
  return {std::make_shared<const DummySeriesGenerator>(c.length, c.channels)};
}

Value ScaledSeries::back(Value forecast) const {
  if (scale) forecast = op::mul(forecast, scale);
  return loc ? op::add(forecast, loc) : forecast;
}

ScaledSeries scale_series(const SeriesConfig& c, Value past_values) {
  const ModulePath at(past_values, "scaler");
  if (c.scaling == SeriesScaling::none) return {past_values};
  if (c.scaling == SeriesScaling::mean) {
    const Value mean = op::mean(op::abs(past_values), 1, true);
    const Value scale = op::maximum(mean, c.minimum_scale);
    return {.values = op::div(past_values, scale), .scale = scale};
  }
  const Value loc = op::mean(past_values, 1, true);
  const Value centred = op::sub(past_values, loc);
  const Value variance = op::mean(op::mul(centred, centred), 1, true);
  const Value scale = op::sqrt(op::add(variance, c.minimum_scale));
  return {.values = op::div(centred, scale), .loc = loc, .scale = scale};
}

Value cut_patches(const SeriesConfig& c, Value series) {
  Graph& graph = series.graph();
  const ModulePath at(graph, "patcher");
  const std::int64_t start = c.length - c.patch - c.stride * (c.patches - 1);
  if (c.stride == c.patch) {
    const Value used = start > 0 ? op::slice(series, 1, start, c.length) : series;
    const Value apart = op::reshape(used, {series.dim(0), c.patches, c.patch, c.channels});
    return op::permute(apart, {0, 3, 1, 2});
  }
  std::vector<std::int64_t> places;  // of the elements of each patch
  for (std::int64_t patch = 0; patch < c.patches; ++patch) {
    for (std::int64_t i = 0; i < c.patch; ++i) places.push_back(start + patch * c.stride + i);
  }
  const Value index = graph.weight(Weight::from_ints({c.patches, c.patch}, places));
  return op::permute(op::embedding(op::permute(series, {1, 0, 2}), index), {2, 3, 0, 1});
}

std::function<Value(Value)> series_norm(const Scope& s, bool batch, std::int64_t width, double eps) {
  if (!batch) return nn::LayerNorm(s, width, eps);
  const Scope b = s / "batchnorm";
  return [norm = nn::BatchNorm2d(b, width, eps), path = b.path()](Value x) {
    const ModulePath at(x, path);
    Graph& graph = x.graph();
    const Value scaled = op::mul(x, graph.weight(norm.scale()));
    return op::add(scaled, graph.weight(norm.shift()));
  };
}

void check_point_forecast(const PretrainedConfig& c) {
  c.harmless({"distribution_output"});
  const std::string loss = c.string("loss");
  if (loss == "mse") return;
  throw ExportError(
      ErrorCode::unsupported,
      fmt::format("{}: loss is '{}', so the model predicts the parameters of a distribution; only "
                  "'mse' is supported",
                  c.origin(), loss));
}

}  // namespace onnxport::models
