#include "models/multimodal/common/features/projector.h"

#include <fmt/format.h>

#include <cmath>
#include <vector>

#include "onnxport/error.h"

namespace onnxport::models {

Value layers_of(const PretrainedConfig& config, const char* key, const EncoderStates& tower) {
  const auto count = static_cast<std::int64_t>(tower.layers.size());
  std::vector<Value> chosen;
  for (const std::int64_t layer : config.integers(key)) {
    const std::int64_t index = layer < 0 ? layer + count : layer;
    if (index < 0 || index >= count) {
      throw ExportError(ErrorCode::bad_config,
                        fmt::format("{}: {} is {}, but the vision tower gives {} hidden states",
                                    config.origin(), key, layer, count));
    }
    chosen.push_back(tower.layers[static_cast<std::size_t>(index)]);
  }
  if (chosen.empty())
    throw ExportError(ErrorCode::bad_config, fmt::format("{}: {} names no layer", config.origin(), key));
  return chosen.size() == 1 ? chosen.front() : op::concat(chosen, -1);
}

Value without_class_token(Value x) { return op::slice(x, 1, 1, x.dim(1)); }

Value chosen_features(const PretrainedConfig& config, const EncoderStates& tower) {
  const std::string strategy = config.string("vision_feature_select_strategy");
  if (strategy != "default" && strategy != "full") {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: vision_feature_select_strategy is '{}', expected default or full",
                                  config.origin(), strategy));
  }
  const Value states = layers_of(config, "vision_feature_layer", tower);
  return strategy == "full" ? states : without_class_token(states);
}

Value merge_squares(Value x, std::int64_t side, const std::string& origin) {
  const std::int64_t count = x.dim(1).constant().value_or(0), width = *x.dim(2).constant();
  const auto whole = static_cast<std::int64_t>(std::lround(std::sqrt(static_cast<double>(count))));
  if (whole < 1 || whole * whole != count || whole % side != 0) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: {} tokens of an image cannot be merged in squares of {} by {}", origin,
                                  to_string(x.type()), side, side));
  }
  const std::int64_t kept = whole / side;
  const Value cut = op::reshape(x, {x.dim(0), kept, side, kept, side, width});
  return op::reshape(op::permute(cut, {0, 1, 3, 2, 4, 5}), {x.dim(0), kept * kept, side * side * width});
}

TwoLayerProjector::TwoLayerProjector(const Scope& s, const ProjectorParameters& p)
    : path(s.path()),
      first(s / p.first, p.in, p.inner > 0 ? p.inner : p.out, p.bias),
      second(s / p.second, p.inner > 0 ? p.inner : p.out, p.out, p.bias),
      activation(p.activation) {}

Value TwoLayerProjector::operator()(Value x) const {
  const ModulePath at(x, path);
  return second(activation(first(x)));
}

GatedProjector::GatedProjector(const Scope& s, const GatedProjectorParameters& p)
    : path(s.path()), first(s / "linear_1", p.in, p.inner), second(s / "linear_2", p.inner / 2, p.out) {}

Value GatedProjector::operator()(Value x) const {
  const ModulePath at(x, path);
  const std::vector<Value> parts = op::chunk(first(x), -1, 2);
  const Value gate = nn::Activation("silu")(parts[1]);
  return second(op::mul(gate, parts[0]));
}

}  // namespace onnxport::models
