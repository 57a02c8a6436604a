#include "models/multimodal/common/projector.h"

#include <fmt/format.h>

#include <vector>

#include "onnxport/error.h"

namespace onnxport::models {

Value chosen_features(const PretrainedConfig& config, const EncoderStates& tower) {
  const std::string strategy = config.string("vision_feature_select_strategy");
  if (strategy != "default" && strategy != "full") {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: vision_feature_select_strategy is '{}', expected default or full",
                                  config.origin(), strategy));
  }
  const auto count = static_cast<std::int64_t>(tower.layers.size());
  std::vector<Value> chosen;
  for (const std::int64_t layer : config.integers("vision_feature_layer")) {
    const std::int64_t index = layer < 0 ? layer + count : layer;
    if (index < 0 || index >= count) {
      throw ExportError(ErrorCode::bad_config,
                        fmt::format("{}: vision_feature_layer is {}, but the tower has {} hidden states",
                                    config.origin(), layer, count));
    }
    const Value states = tower.layers[static_cast<std::size_t>(index)];
    chosen.push_back(strategy == "full" ? states : op::slice(states, 1, 1, states.dim(1)));
  }
  if (chosen.empty()) {
    throw ExportError(ErrorCode::bad_config, config.origin() + ": vision_feature_layer names no layer");
  }
  return chosen.size() == 1 ? chosen.front() : op::concat(chosen, -1);
}

TwoLayerProjector::TwoLayerProjector(const Scope& s, const ProjectorParameters& p)
    : path(s.path()),
      first(s / "linear_1", p.in, p.out, p.bias),
      second(s / "linear_2", p.out, p.out, p.bias),
      activation(p.activation) {}

Value TwoLayerProjector::operator()(Value x) const {
  const ModulePath at(x, path);
  return second(activation(first(x)));
}

}  // namespace onnxport::models
