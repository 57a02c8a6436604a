#include "models/vision/common/backbone.h"

#include <fmt/format.h>

#include <algorithm>

#include "models/vision/common/vit.h"
#include "onnxport/error.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {

std::vector<std::int64_t> backbone_stages(const PretrainedConfig& c, std::int64_t stages, BackboneStem stem) {
  const std::int64_t first = stem == BackboneStem::first ? 0 : 1;
  const auto bad = [&](const std::string& which) {
    return ExportError(
        ErrorCode::bad_config,
        fmt::format("{}: the backbone is to return {}, but it has {} stages", c.origin(), which, stages));
  };
  c.harmless({"stage_names"});  // they follow from the number
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
  if (chosen.empty()) throw bad("no stage");
  std::sort(chosen.begin(), chosen.end());  // they come in the order of the layers
  return chosen;
}

std::vector<std::int64_t> token_stages(const PretrainedConfig& config) {
  return backbone_stages(config, ViTConfig(config).num_hidden_layers);
}

BackboneFeatures stage_features(const std::vector<Value>& states, const std::vector<std::int64_t>& stages) {
  BackboneFeatures features;
  for (const std::int64_t stage : stages) features.stages.push_back(states[static_cast<std::size_t>(stage)]);
  return features;
}

BackboneFeatures token_features(const PretrainedConfig& config, Value pixel_values, std::vector<Value> chosen,
                                std::int64_t learned) {
  const ViTConfig c(config);
  BackboneFeatures features;
  features.rows = pixel_values.dim(2).floor_div(c.patch.height);
  features.columns = pixel_values.dim(3).floor_div(c.patch.width);
  features.stages = std::move(chosen);
  if (!config.flag("reshape_hidden_states", false)) return features;
  for (Value& tokens : features.stages) {
    const Value patches = learned > 0 ? op::slice(tokens, 1, learned, tokens.dim(1)) : tokens;
    tokens = nn::tokens_to_image(patches, features.rows, features.columns);
  }
  return features;
}

std::optional<std::int64_t> learned_before(const BackboneFeatures& features) {
  const Value last = features.stages.back();
  if (last.rank() != 3) return {};
  return (last.dim(1) - features.rows * features.columns).constant();
}

BackboneFeatures run_backbone(const TasksManager& tasks, const Scope& s, const PretrainedConfig& config,
                              Value pixel_values) {
  const auto type = tasks.get_part(config, "backbone_config", Role::backbone);
  return type->roles.backbone->features(s.with_newer(type->key_names), config, pixel_values);
}

PretrainedConfig own_backbone_config(const PretrainedConfig& c, const char* otherwise) {
  const auto refuse = [&](const char* what) {
    throw ExportError(ErrorCode::unsupported,
                      fmt::format("{}: {}, expected a backbone_config", c.origin(), what));
  };
  if (c.flag("use_timm_backbone", false)) refuse("use_timm_backbone is true");
  // Weights come from the checkpoint.
  c.harmless({"use_pretrained_backbone"});
  if (c.has("backbone_config")) return c.sub("backbone_config");
  if (c.has("backbone")) refuse("the backbone is given by its name alone");
  return PretrainedConfig::from_json(otherwise, c.origin());
}

}  // namespace onnxport::models
