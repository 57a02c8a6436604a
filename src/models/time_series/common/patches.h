/// Shared parts of models that cut series of numbers into patches: PatchTST and PatchTSMixer.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "models/common/definition.h"

namespace onnxport::models {

enum class SeriesScaling { none, mean, std };

/// Reads context_length, patch_length, patch_stride, num_input_channels and the keys of the scaling. Throws
/// ExportError(bad_config | unsupported).
struct SeriesConfig {
  /// `if_true`: the meaning of the scaling `true`.
  SeriesConfig(const PretrainedConfig& config, SeriesScaling if_true);

  std::int64_t length, patch, stride, channels, patches;
  SeriesScaling scaling;
  double minimum_scale;
};

/// past_values [batch_size, context_length, num_input_channels] -> last_hidden_state [batch_size, channels,
/// patches, width], or prediction_outputs [batch_size, prediction_length, channels]. The length is a number.
class TimeSeriesOnnxConfig : public OnnxConfig {
 public:
  using OnnxConfig::OnnxConfig;
  AxesByName inputs() const override;
  AxesByName outputs() const override;
  NormalizedConfig normalized_config() const override;
  DummyInputGenerators dummy_input_generators() const override;
};

/// A series [B, L, C] with its channels brought to a common scale, and how: [B, 1, C] or absent.
struct ScaledSeries {
  Value values;
  Value loc = {}, scale = {};

  /// Takes a forecast [B, T, C] back to the scale of the series.
  Value back(Value forecast) const;
};
ScaledSeries scale_series(const SeriesConfig& c, Value past_values);

/// The patches of a series, the last of which ends where the series ends: [B, L, C] -> [B, C, patches,
/// patch].
Value cut_patches(const SeriesConfig& c, Value series);

/// A norm of the last axis: layer norm below `s`, or with `batch` a batch norm below `s / "batchnorm"`.
std::function<Value(Value)> series_norm(const Scope& s, bool batch, std::int64_t width, double eps);

/// Throws ExportError(unsupported) unless the loss is `mse`: with another one, a model predicts
/// distributions.
void check_point_forecast(const PretrainedConfig& config);

}  // namespace onnxport::models
