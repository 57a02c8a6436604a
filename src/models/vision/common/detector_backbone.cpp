#include "models/vision/common/detector_backbone.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "onnxport/error.h"
#include "onnxport/nn/resnet.h"

namespace onnxport::models {
namespace {

[[noreturn]] void refuse(ErrorCode code, const PretrainedConfig& c, const std::string& what) {
  throw ExportError(code, c.origin() + ": " + what);
}

struct ResNetBackbone {
  nn::ResNetParameters resnet;
  std::vector<std::int64_t> stages;  // that are looked at, counted from 1; at least one
};

// A model of the library timm, by its name there.
ResNetBackbone timm_backbone(const PretrainedConfig& c) {
  struct Known {
    nn::ResNetLayer layer;
    std::vector<std::int64_t> depths;
  };
  constexpr auto basic = nn::ResNetLayer::basic, bottleneck = nn::ResNetLayer::bottleneck;
  static const std::map<std::string, Known, std::less<>> known = {
      {"resnet18", {basic, {2, 2, 2, 2}}},        {"resnet26", {bottleneck, {2, 2, 2, 2}}},
      {"resnet34", {basic, {3, 4, 6, 3}}},        {"resnet50", {bottleneck, {3, 4, 6, 3}}},
      {"resnet101", {bottleneck, {3, 4, 23, 3}}}, {"resnet152", {bottleneck, {3, 8, 36, 3}}}};
  const std::string full_name = c.string("backbone");
  const std::string name = full_name.substr(0, full_name.find('.'));  // after a dot: the name of the weights
  const auto found = known.find(name);
  if (found == known.end()) {
    std::vector<std::string> names;
    for (const auto& [one, parameters] : known) names.push_back(one);
    refuse(ErrorCode::unsupported, c,
           fmt::format("backbone '{}' of timm, expected one of {}", full_name, fmt::join(names, ", ")));
  }
  const PretrainedConfig kwargs = c.sub("backbone_kwargs");
  kwargs.harmless({"stem_width"});  // of stems with three convolutions
  std::vector<std::int64_t> inner = {64, 128, 256, 512};
  if (kwargs.has("channels")) inner = kwargs.integers("channels");
  ResNetBackbone backbone{.resnet = {.keys = nn::ResNetKeys::timm,
                                     .num_channels = kwargs.integer("in_chans", c.integer("num_channels")),
                                     .depths = found->second.depths,
                                     .layer = found->second.layer},
                          .stages = {1, 2, 3, 4}};
  nn::ResNetParameters& p = backbone.resnet;
  if (kwargs.has("layers")) p.depths = kwargs.integers("layers");
  for (const std::int64_t channels : inner)
    p.hidden_sizes.push_back(p.layer == bottleneck ? 4 * channels : channels);
  if (kwargs.has("out_indices")) backbone.stages = kwargs.integers("out_indices");
  const bool dilation = c.flag("dilation");
  p.output_stride = kwargs.integer("output_stride", dilation ? 16 : 32);
  if (*p.output_stride != 8 && *p.output_stride != 16 && *p.output_stride != 32) {
    refuse(ErrorCode::bad_config, c,
           fmt::format("output_stride {} of the backbone, expected 8, 16 or 32", *p.output_stride));
  }
  // Stages after the last used one do not exist.
  if (!backbone.stages.empty()) {
    const auto last = *std::max_element(backbone.stages.begin(), backbone.stages.end());
    if (last > 0 && last < std::ssize(p.depths)) p.depths.resize(static_cast<std::size_t>(last));
    if (last > 0 && last < std::ssize(p.hidden_sizes)) p.hidden_sizes.resize(static_cast<std::size_t>(last));
  }
  return backbone;
}

std::vector<Value> timm_features(const Scope& s, const PretrainedConfig& c, Value pixel_values) {
  const ResNetBackbone backbone = timm_backbone(c);
  const nn::ResNetParameters& p = backbone.resnet;
  const std::int64_t last = std::min(std::ssize(p.hidden_sizes), std::ssize(p.depths));
  const auto exists = [&](std::int64_t i) { return i > 0 && i <= last; };
  if (backbone.stages.empty() || !std::all_of(backbone.stages.begin(), backbone.stages.end(), exists)) {
    refuse(ErrorCode::bad_config, c,
           fmt::format("stages [{}] of the backbone, expected some of 1 to {}",
                       fmt::join(backbone.stages, ", "), last));
  }
  const std::vector<Value> all = nn::ResNet(s, p)(pixel_values);
  std::vector<Value> features;
  for (const std::int64_t i : backbone.stages) features.push_back(all[static_cast<std::size_t>(i)]);
  return features;
}

std::vector<Value> own_features(const TasksManager& tasks, const Scope& s, const PretrainedConfig& c,
                                Value pixel_values) {
  // The original class treats this name, the default, as no name.
  const std::string name = c.string("backbone", "");
  if (!name.empty() && name != "resnet50") {
    refuse(ErrorCode::unsupported, c,
           fmt::format("backbone '{}' without use_timm_backbone, expected a backbone_config", name));
  }
  const PretrainedConfig config = c.sub("backbone_config", c.has("backbone_config") ? "" : "resnet");
  const auto type = tasks.get_part(config, "backbone_config", Role::backbone);
  std::vector<Value> features =
      type->roles.backbone->features(s.with_newer(type->key_names), config, pixel_values).stages;
  if (features.empty() || features.front().rank() != 4) {
    refuse(ErrorCode::unsupported, c,
           fmt::format("a backbone of type '{}' returns {}, expected images", type->model_type,
                       features.empty() ? "nothing" : "tokens"));
  }
  return features;
}

}  // namespace

std::vector<Value> detector_backbone(const TasksManager& tasks, const Scope& s, const PretrainedConfig& c,
                                     Value pixel_values) {
  std::vector<Value> features = c.flag("use_timm_backbone") ? timm_features(s, c, pixel_values)
                                                            : own_features(tasks, s, c, pixel_values);
  c.harmless({"dilation", "use_pretrained_backbone"});  // the one of timm; weights come from the checkpoint
  return features;
}

}  // namespace onnxport::models
