#include "models/vision/common/backbone.h"

#include <fmt/format.h>

#include <algorithm>

#include "models/vision/common/vit.h"
#include "onnxport/error.h"

namespace onnxport::models {

std::vector<std::int64_t> backbone_stages(const PretrainedConfig& c, std::int64_t stages, BackboneStem stem) {
  const std::int64_t first = stem == BackboneStem::first ? 0 : 1;
  const auto bad = [&](const std::string& which) {
    return ExportError(
        ErrorCode::bad_config,
        fmt::format("{}: the backbone is to return {}, but it has {} stages", c.origin(), which, stages));
  };
  std::vector<std::int64_t> chosen;
  if (c.has("out_features")) {
    c.harmless({"out_indices"});  // the same as numbers
    for (const std::string& name : c.strings("out_features")) {
      std::int64_t stage = first;
      while (stage <= stages && name != (stage == 0 ? "stem" : fmt::format("stage{}", stage))) ++stage;
      if (stage > stages) throw bad(name);
      chosen.push_back(stage);
    }
  } else if (c.has("out_indices")) {
    for (std::int64_t index : c.integers("out_indices")) {
      index += index < 0 ? stages + 1 : first;
      if (index < first || index > stages) throw bad(fmt::format("stage {}", index));
      chosen.push_back(index);
    }
  } else {
    chosen.push_back(stages);
  }
  std::sort(chosen.begin(), chosen.end());  // they come in the order of the layers
  return chosen;
}

std::vector<std::int64_t> token_stages(const PretrainedConfig& config) {
  for (const char* key : {"reshape_hidden_states", "add_fpn"}) {
    if (config.flag(key, false)) {
      throw ExportError(ErrorCode::unsupported,
                        fmt::format("{}: {} of the backbone is true, expected false", config.origin(), key));
    }
  }
  return backbone_stages(config, ViTConfig(config).num_hidden_layers);
}

BackboneFeatures stage_features(const std::vector<Value>& states, const std::vector<std::int64_t>& stages) {
  BackboneFeatures features;
  for (const std::int64_t stage : stages) features.stages.push_back(states[static_cast<std::size_t>(stage)]);
  return features;
}

BackboneFeatures token_features(const PretrainedConfig& config, Value pixel_values,
                                const std::vector<Value>& states, const std::vector<std::int64_t>& stages) {
  const ViTConfig c(config);
  BackboneFeatures features = stage_features(states, stages);
  features.rows = pixel_values.dim(2).floor_div(c.patch.height);
  features.columns = pixel_values.dim(3).floor_div(c.patch.width);
  return features;
}

}  // namespace onnxport::models
