#include "models/backbone.h"

#include <fmt/format.h>

#include <algorithm>

#include "models/dinov2.h"
#include "onnxport/error.h"

namespace onnxport::models {

std::vector<std::int64_t> backbone_stages(const PretrainedConfig& c, std::int64_t stages) {
  const auto bad = [&](const std::string& which) {
    return ExportError(ErrorCode::bad_config, fmt::format("{}: the backbone gives {}, but it has {} stages",
                                                          c.origin(), which, stages));
  };
  std::vector<std::int64_t> chosen;
  if (c.has("out_features")) {
    c.harmless({"out_indices"});  // the same as numbers
    for (const std::string& name : c.strings("out_features")) {
      std::int64_t stage = 0;
      while (stage <= stages && name != (stage == 0 ? "stem" : fmt::format("stage{}", stage))) ++stage;
      if (stage > stages) throw bad(name);
      chosen.push_back(stage);
    }
  } else if (c.has("out_indices")) {
    for (std::int64_t index : c.integers("out_indices")) {
      if (index < 0) index += stages + 1;
      if (index < 0 || index > stages) throw bad(fmt::format("stage {}", index));
      chosen.push_back(index);
    }
  } else {
    chosen.push_back(stages);
  }
  std::sort(chosen.begin(), chosen.end());  // they come in the order of the layers
  return chosen;
}

TokenFeatures token_backbone(const Scope& s, const PretrainedConfig& config, Value pixel_values) {
  const std::string& type = config.model_type();
  const bool beit = type == "beit";
  if (!beit && type != "dinov2") {
    throw ExportError(ErrorCode::unsupported,
                      fmt::format("{}: a backbone of type {}, known: beit, dinov2", config.origin(), type));
  }
  for (const char* key : {"reshape_hidden_states", "add_fpn"}) {
    if (config.flag(key, false)) {
      throw ExportError(ErrorCode::unsupported,
                        fmt::format("{}: {} of the backbone is true, known: false", config.origin(), key));
    }
  }
  const ViTConfig c(config);
  TokenFeatures features;
  features.hidden_size = c.hidden_size;
  features.rows = pixel_values.dim(2).floor_div(c.patch.height);
  features.columns = pixel_values.dim(3).floor_div(c.patch.width);
  const std::vector<std::int64_t> stages = backbone_stages(config, c.num_hidden_layers);
  if (beit) {
    s.ignore("embeddings.mask_token");
    const std::vector<Value> states = beit_states(s, config, pixel_values);
    for (const std::int64_t stage : stages)
      features.states.push_back(states[static_cast<std::size_t>(stage)]);
    return features;
  }
  const Dinov2 dinov2(s, Dinov2Config(config));
  const std::vector<Value> states = dinov2.states(pixel_values);
  for (const std::int64_t stage : stages) {
    const Value state = states[static_cast<std::size_t>(stage)];
    features.states.push_back(config.flag("apply_layernorm") ? dinov2.norm(state) : state);
  }
  return features;
}

}  // namespace onnxport::models
