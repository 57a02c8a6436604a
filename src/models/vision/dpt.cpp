// DPT. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/dpt/modeling_dpt.py
#include <fmt/format.h>

#include <algorithm>

#include "models/vision/common/dpt_encoder.h"
#include "models/vision/common/dpt_neck.h"
#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"

namespace onnxport::models {
namespace {

/// Images of any size, unless a convolutional backbone comes before the encoder.
class DptOnnxConfig : public VisionOnnxConfig {
 public:
  using VisionOnnxConfig::VisionOnnxConfig;
  bool takes_any_image_size() const override { return !config().unaccounted().flag("is_hybrid"); }
};

struct Config : DptNeckConfig {
  std::int64_t num_labels;
  bool hybrid, own_encoder, add_projection;

  explicit Config(const PretrainedConfig& c)
      : DptNeckConfig(c),
        num_labels(c.num_labels()),
        hybrid(c.flag("is_hybrid")),
        own_encoder(hybrid || !c.has("backbone_config")),
        add_projection(c.flag("add_projection")) {
    // The auxiliary segmentation head is only for a loss. The shape of the backbone's features is inferred.
    c.harmless({"use_auxiliary_head", "backbone_featmap_shape", "use_autobackbone"});
    for (const char* key : {"backbone", "backbone_kwargs"}) {
      if (c.has(key)) refuse(key, "a backbone given by its name", "null and a backbone_config");
    }
    if (c.flag("use_timm_backbone") || c.flag("use_pretrained_backbone"))
      refuse("use_timm_backbone or use_pretrained_backbone", "true", "false");
    const auto known = {"ignore", "add", "project"};
    if (std::find(known.begin(), known.end(), readout_type) == known.end() ||
        (hybrid && readout_type != "project"))
      refuse("readout_type", readout_type, hybrid ? "project" : "ignore, add, project");
    if (hybrid && c.integers("neck_ignore_stages") != std::vector<std::int64_t>{0, 1})
      refuse("neck_ignore_stages", "others", "0 and 1");
    if (!hybrid) c.harmless({"neck_ignore_stages"});
  }

  [[noreturn]] void refuse(std::string_view key, std::string_view got, std::string_view known) const {
    throw ExportError(ErrorCode::unsupported,
                      fmt::format("{}: {} is {}, known: {}", origin, key, got, known));
  }
};

Value depth(const Scope& s, const Config& c, Value x) {
  constexpr std::int64_t projection_width = 256;  // as it is in the original's code
  if (c.add_projection) x = op::relu(dpt_conv3x3(s / "projection", projection_width, projection_width)(x));
  const Scope head = s / "head";
  const std::int64_t half = c.fusion_hidden_size / 2;
  x = dpt_upsample(dpt_conv3x3(head / 0, c.fusion_hidden_size, half)(x));
  x = op::relu(dpt_conv3x3(head / 2, half, 32)(x));
  x = op::relu(nn::Conv2d(head / 4, 32, 1, {1, 1})(x));
  return op::squeeze(x, 1);
}

Value segmentation(const Scope& s, const Config& c, Value x) {
  const std::int64_t width = c.fusion_hidden_size;
  const nn::BatchNorm2d norm(s / 1, width);
  x = op::relu(norm(dpt_conv3x3(s / 0, width, width, false)(x)));
  return dpt_upsample(nn::Conv2d(s / 4, width, c.num_labels, {1, 1})(x));
}

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                    const Component& component) {
  const PretrainedConfig& config = model.config();
  const Config c(config);
  const Scope root = model.scope();
  const Value pixel_values = inputs["pixel_values"];
  if (component.task == "feature-extraction") {
    config.harmless({"backbone_out_indices"});
    const Scope base = root.base_model("dpt");
    const DptStates encoded = encode_dpt(tasks, base, config, c.hybrid, pixel_values).tokens;
    const nn::LayerNorm norm(base / "layernorm", encoded.hidden_size, config.real("layer_norm_eps"));
    return {{"last_hidden_state", norm(encoded.states.back())}};
  }
  const DptStates encoded = c.own_encoder ? dpt_layer_states(tasks, root, config, c.hybrid, pixel_values)
                                          : dpt_backbone_states(tasks, root, config, pixel_values);
  const Value features = dpt_head_input(config, dpt_neck(root / "neck", c, encoded));
  if (component.task == "depth-estimation") return {{"predicted_depth", depth(root / "head", c, features)}};
  return {{"logits", segmentation(root / "head" / "head", c, features)}};
}

}  // namespace

void register_dpt(TasksManager& tasks) {
  tasks.register_model<DptOnnxConfig>(
      {.model_type = "dpt",
       .tasks = {"feature-extraction", "depth-estimation", "image-segmentation", "semantic-segmentation"},
       .forward = [&tasks](const Inputs& inputs, const Model& model,
                           const Component& component) { return forward(tasks, inputs, model, component); },
       .ignorable_keys = {"*pooler.dense.*", "auxiliary_head.*"}});
}

}  // namespace onnxport::models
