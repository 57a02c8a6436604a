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

// What a configuration says about a model of the library timm.
struct TimmModel {
  std::string name;
  std::int64_t num_channels = 3, output_stride = 32;
  std::vector<std::int64_t> stages = {1, 2, 3, 4};
  std::vector<std::int64_t> depths = {}, channels = {};  // empty: those of the name
};

// The detector's own keys, as transformers 4 writes them.
TimmModel from_own_keys(const PretrainedConfig& c, std::int64_t first_stage) {
  const PretrainedConfig kwargs = c.has("backbone_kwargs")
                                      ? c.sub("backbone_kwargs")
                                      : PretrainedConfig::from_json("{}", c.origin(), "timm_backbone");
  kwargs.harmless({"stem_width"});  // of stems with three convolutions
  TimmModel m{.name = c.string("backbone", "resnet50"),
              .num_channels = kwargs.integer("in_chans", c.integer("num_channels")),
              .output_stride = kwargs.integer("output_stride", c.flag("dilation") ? 16 : 32)};
  m.stages.erase(m.stages.begin(), m.stages.begin() + (first_stage - 1));
  if (kwargs.has("out_indices")) m.stages = kwargs.integers("out_indices");
  if (kwargs.has("layers")) m.depths = kwargs.integers("layers");
  if (kwargs.has("channels")) m.channels = kwargs.integers("channels");
  return m;
}

// A backbone_config of type timm_backbone.
TimmModel from_config(const PretrainedConfig& c) {
  c.harmless({"out_features", "stage_names",  // the same as out_indices
              "freeze_batch_norm_2d", "use_pretrained_backbone"});
  if (!c.flag("features_only"))
    refuse(ErrorCode::unsupported, c, "backbone_config.features_only is false, expected true");
  TimmModel m{.name = c.string("backbone"),
              .num_channels = c.integer("num_channels"),
              .output_stride = c.integer("output_stride", 32)};
  m.stages = c.has("out_indices") ? c.integers("out_indices") : std::vector<std::int64_t>{-1};
  return m;
}

ResNetBackbone timm_backbone(const PretrainedConfig& c, const TimmModel& m) {
  struct Known {
    nn::ResNetLayer layer;
    std::vector<std::int64_t> depths;
  };
  constexpr auto basic = nn::ResNetLayer::basic, bottleneck = nn::ResNetLayer::bottleneck;
  static const std::map<std::string, Known, std::less<>> known = {
      {"resnet18", {basic, {2, 2, 2, 2}}},        {"resnet26", {bottleneck, {2, 2, 2, 2}}},
      {"resnet34", {basic, {3, 4, 6, 3}}},        {"resnet50", {bottleneck, {3, 4, 6, 3}}},
      {"resnet101", {bottleneck, {3, 4, 23, 3}}}, {"resnet152", {bottleneck, {3, 8, 36, 3}}}};
  const std::string name = m.name.substr(0, m.name.find('.'));  // after a dot: the name of the weights
  const auto found = known.find(name);
  if (found == known.end()) {
    std::vector<std::string> names;
    for (const auto& [one, parameters] : known) names.push_back(one);
    refuse(ErrorCode::unsupported, c,
           fmt::format("backbone '{}' of timm, expected one of {}", m.name, fmt::join(names, ", ")));
  }
  ResNetBackbone backbone{.resnet = {.keys = nn::ResNetKeys::timm,
                                     .num_channels = m.num_channels,
                                     .depths = m.depths.empty() ? found->second.depths : m.depths,
                                     .layer = found->second.layer,
                                     .output_stride = m.output_stride},
                          .stages = m.stages};
  nn::ResNetParameters& p = backbone.resnet;
  const std::vector<std::int64_t> usual = {64, 128, 256, 512};
  for (const std::int64_t channels : m.channels.empty() ? usual : m.channels)
    p.hidden_sizes.push_back(p.layer == bottleneck ? 4 * channels : channels);
  if (m.output_stride != 8 && m.output_stride != 16 && m.output_stride != 32) {
    refuse(ErrorCode::bad_config, c,
           fmt::format("output_stride {} of the backbone, expected 8, 16 or 32", m.output_stride));
  }
  // Stage 0 is the stem. Negative numbers count from the end.
  for (std::int64_t& stage : backbone.stages) {
    if (stage < 0) stage += std::ssize(p.depths) + 1;
  }
  // Stages after the last used one do not exist.
  if (!backbone.stages.empty()) {
    const auto last = *std::max_element(backbone.stages.begin(), backbone.stages.end());
    if (last > 0 && last < std::ssize(p.depths)) p.depths.resize(static_cast<std::size_t>(last));
    if (last > 0 && last < std::ssize(p.hidden_sizes)) p.hidden_sizes.resize(static_cast<std::size_t>(last));
  }
  return backbone;
}

std::vector<Value> timm_features(const Scope& s, const PretrainedConfig& c, const TimmModel& model,
                                 Value pixel_values) {
  const ResNetBackbone backbone = timm_backbone(c, model);
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
  const std::string name = c.has("backbone_config") ? "" : c.string("backbone", "");
  if (!name.empty() && name != "resnet50") {
    refuse(ErrorCode::unsupported, c,
           fmt::format("backbone '{}' without use_timm_backbone, expected a backbone_config", name));
  }
  const PretrainedConfig config = c.sub("backbone_config", c.has("backbone_config") ? "" : "resnet");
  return registered_backbone(tasks, s, c, config, pixel_values);
}

}  // namespace

std::vector<Value> registered_backbone(const TasksManager& tasks, const Scope& s, const PretrainedConfig& c,
                                       const PretrainedConfig& config, Value pixel_values) {
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

std::vector<Value> detector_backbone(const TasksManager& tasks, const Scope& s, const PretrainedConfig& c,
                                     Value pixel_values, std::int64_t first_stage) {
  // The one of timm; weights come from the checkpoint.
  c.harmless({"dilation", "use_pretrained_backbone"});
  // A backbone_config is the backbone, whatever the default of use_timm_backbone: transformers 5 writes no
  // such key, and 4 refuses both.
  const bool described = c.has("backbone_config");
  if (described) c.harmless({"backbone", "backbone_kwargs", "use_timm_backbone"});
  if (described && c.sub("backbone_config").model_type() == "timm_backbone") {
    const PretrainedConfig inner = c.sub("backbone_config");
    const Scope wrapped = s / "_backbone";  // in files of transformers 4
    return timm_features(wrapped.exists() ? wrapped : s, inner, from_config(inner), pixel_values);
  }
  if (!described && c.flag("use_timm_backbone"))
    return timm_features(s, c, from_own_keys(c, first_stage), pixel_values);
  return own_features(tasks, s, c, pixel_values);
}

}  // namespace onnxport::models
