#include "models/multimodal/common/towers/split_towers.h"

#include "models/common/parts.h"

namespace onnxport::models {
namespace {

// The batch axis of a tower's inputs in the whole model.
std::string batch_axis(const std::string& tower) {
  if (tower == kTextModel) return "text_batch_size";
  return tower == kAudioModel ? "audio_batch_size" : "image_batch_size";
}

}  // namespace

std::vector<std::string> SplitTowersOnnxConfig::variants() const {
  if (task() == "image-classification") return {"default"};
  return {"default", "split"};
}

void SplitTowersOnnxConfig::describe(ExportPlan& plan, const PlanRequest& request) const {
  if (request.variant != "split") return OnnxConfig::describe(plan, request);
  describe_parts(*this, towers(), plan, request);
}

AxesByName SplitTowersOnnxConfig::of_part(const AxesByName& whole) const {
  if (part().empty()) return whole;
  const std::string own = batch_axis(part());
  AxesByName names;
  for (auto [name, axes] : whole) {
    bool belongs = true;
    for (auto& [axis, symbol] : axes) {
      if (!symbol.ends_with("_batch_size")) continue;
      belongs &= symbol == own;
      symbol = "batch_size";
    }
    if (belongs) names.emplace_back(name, axes);
  }
  return names;
}

void leave_out_other_tower(const PretrainedConfig& config, const Component& component) {
  if (component.part.empty()) return;
  if (component.part == kTextModel) {
    config.harmless({"vision_config", "vision_config_dict", "audio_config"});
  } else {
    config.harmless({"text_config", "text_config_dict"});
  }
}

}  // namespace onnxport::models
