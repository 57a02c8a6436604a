#include "models/vision/common/detector_backbone.h"

#include <fmt/format.h>

#include "onnxport/error.h"
#include "onnxport/family.h"

namespace onnxport::models {
namespace {

[[noreturn]] void refuse(ErrorCode code, const PretrainedConfig& c, const std::string& what) {
  throw ExportError(code, c.origin() + ": " + what);
}

// A model of the library timm, as JSON: its name, and the arguments that it is made with.
std::string described(const std::string& name, const std::vector<std::string>& arguments) {
  // After a dot: the name of the weights.
  return fmt::format(R"({{"architecture": "{}", "model_args": {{{}}}}})", name.substr(0, name.find('.')),
                     fmt::join(arguments, ", "));
}

std::string argument(const char* key, const std::vector<std::int64_t>& list) {
  return fmt::format(R"("{}": [{}])", key, fmt::join(list, ", "));
}

std::string argument(const char* key, std::int64_t value) { return fmt::format(R"("{}": {})", key, value); }

struct TimmModel {
  std::string name;
  std::vector<std::string> arguments;
};

// The detector's own keys, as transformers 4 writes them.
TimmModel from_own_keys(const PretrainedConfig& c, std::int64_t first_stage) {
  const PretrainedConfig kwargs = c.has("backbone_kwargs")
                                      ? c.sub("backbone_kwargs")
                                      : PretrainedConfig::from_json("{}", c.origin(), "timm_backbone");
  TimmModel m{c.string("backbone", "resnet50"), {}};
  std::vector<std::int64_t> stages;
  for (std::int64_t stage = first_stage; stage <= 4; ++stage) stages.push_back(stage);
  // DAB-DETR has no num_channels.
  const bool own_channels = kwargs.has("in_chans");
  m.arguments = {
      argument("in_chans", own_channels ? kwargs.integer("in_chans") : c.integer("num_channels")),
      argument("output_stride", kwargs.integer("output_stride", c.flag("dilation") ? 16 : 32)),
      argument("out_indices", kwargs.has("out_indices") ? kwargs.integers("out_indices") : stages)};
  for (const char* key : {"layers", "channels"}) {
    if (kwargs.has(key)) m.arguments.push_back(argument(key, kwargs.integers(key)));
  }
  if (const auto width = kwargs.maybe_integer("stem_width"))
    m.arguments.push_back(argument("stem_width", *width));
  return m;
}

// A backbone_config of type timm_backbone.
TimmModel from_config(const PretrainedConfig& c) {
  c.harmless({"out_features", "stage_names",  // the same as out_indices
              "freeze_batch_norm_2d", "use_pretrained_backbone"});
  if (!c.flag("features_only"))
    refuse(ErrorCode::unsupported, c, "backbone_config.features_only is false, expected true");
  return {c.string("backbone"),
          {argument("in_chans", c.integer("num_channels")),
           argument("output_stride", c.integer("output_stride", 32)),
           argument("out_indices",
                    c.has("out_indices") ? c.integers("out_indices") : std::vector<std::int64_t>{-1})}};
}

std::vector<Value> timm_features(const TasksManager& tasks, const Scope& s, const PretrainedConfig& c,
                                 const TimmModel& model, Value pixel_values) {
  const auto family = get_family(tasks, model.name, c.origin());
  if (!family->roles.backbone) {
    refuse(ErrorCode::unsupported, c,
           fmt::format("backbone '{}': the family '{}' of timm is no backbone; families that are: {}",
                       model.name, family->model_type,
                       fmt::join(tasks.get_model_types_with_role(Role::backbone, "timm"), ", ")));
  }
  const auto config = PretrainedConfig::from_json(described(model.name, model.arguments), c.origin(), "timm");
  const Scope wrapped = s / "_backbone";  // in files of transformers 4, depending on the detector
  const Scope& at = wrapped.exists() ? wrapped : s;
  return family->roles.backbone->features(at.with_newer(family->key_names), config, pixel_values).stages;
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
                                       const PretrainedConfig& backbone, Value pixel_values) {
  const auto type = tasks.get_part(backbone, "backbone_config", Role::backbone);
  std::vector<Value> features =
      type->roles.backbone->features(s.with_newer(type->key_names), backbone, pixel_values).stages;
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
  const bool has_config = c.has("backbone_config");
  if (has_config) c.harmless({"backbone", "backbone_kwargs", "use_timm_backbone"});
  if (has_config && c.sub("backbone_config").model_type() == "timm_backbone") {
    const PretrainedConfig inner = c.sub("backbone_config");
    return timm_features(tasks, s, inner, from_config(inner), pixel_values);
  }
  if (!has_config && c.flag("use_timm_backbone"))
    return timm_features(tasks, s, c, from_own_keys(c, first_stage), pixel_values);
  return own_features(tasks, s, c, pixel_values);
}

}  // namespace onnxport::models
