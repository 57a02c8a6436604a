#include "models/multimodal/common/towers/siglip.h"

#include <fmt/format.h>

#include "onnxport/error.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/packed_attention.h"

namespace onnxport::models {

PretrainedConfig siglip_text_config(const PretrainedConfig& whole) {
  return whole.sub("text_config", whole.model_type() + "_text_model");
}

PretrainedConfig siglip_vision_config(const PretrainedConfig& whole) {
  return whole.sub("vision_config", whole.model_type() + "_vision_model");
}

AxesByName SiglipOnnxConfig::inputs() const {
  AxesByName names = {{"input_ids", {{0, "text_batch_size"}, {1, "sequence_length"}}}};
  const AxesByName images = image_inputs();
  names.insert(names.end(), images.begin(), images.end());
  return of_part(names);
}

AxesByName SiglipOnnxConfig::outputs() const {
  if (part().empty()) return common_outputs("zero-shot-image-classification");
  // As long as the tower's first input.
  Axes states = inputs().front().second;
  std::erase_if(states, [](const auto& axis) { return axis.first > 1; });
  AxesByName names = {{"last_hidden_state", states}};
  const bool pools =
      part() == kTextModel || siglip_vision_config(config().unaccounted()).flag("vision_use_head", true);
  if (pools) names.push_back({"pooler_output", {{0, "batch_size"}}});
  return names;
}

NormalizedConfig SiglipOnnxConfig::normalized_config() const {
  const PretrainedConfig c = config().unaccounted();
  return normalized_towers(siglip_text_config(c), siglip_vision_config(c));
}

NamedValues forward_siglip(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                           const Component& component) {
  const PretrainedConfig& c = model.config();
  const Scope root = model.scope();
  leave_out_other_tower(c, component);
  const auto encode = [&](Role role, const char* key, const PretrainedConfig& of_tower) {
    return encode_tower(tasks, role, key, of_tower, inputs, model);
  };
  const auto states = [](const EncoderStates& tower) {
    NamedValues outputs = {{"last_hidden_state", tower.hidden}};
    if (tower.pooled) outputs.emplace_back("pooler_output", tower.pooled);
    return outputs;
  };
  EncoderStates image, text;
  if (component.part != kTextModel)
    image = encode(Role::vision_tower, "vision_config", siglip_vision_config(c));
  if (component.part == kVisionModel) return states(image);
  text = encode(Role::text_model, "text_config", siglip_text_config(c));
  if (component.part == kTextModel) return states(text);
  if (!image.pooled || text.pooled.dim(1) != image.pooled.dim(1)) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: projection_size of text_config is {} and the image tower returns {}, "
                                  "expected the same width",
                                  c.origin(), text.pooled.dim(1).str(),
                                  image.pooled ? image.pooled.dim(1).str() : "no vector (vision_use_head)"));
  }
  return compare_towers(text.pooled, image.pooled, root.weight("logit_scale", {1}),
                        root.weight("logit_bias", {1}));
}

EncoderStates encode_siglip_text(const Inputs& inputs, const Model& model, const Component& /*component*/) {
  const PretrainedConfig& config = model.config();
  const Scope s = model.scope().base_model("text_model");
  const TextTowerConfig c(config);
  const Value hidden = TextTower(s, c)(inputs["input_ids"], {});
  const ModulePath at(hidden, s.path());
  const Value last = op::squeeze(op::slice(hidden, 1, hidden.dim(1) - 1, hidden.dim(1)), 1);
  const std::int64_t width = config.maybe_integer("projection_size").value_or(c.hidden_size);
  return {hidden, nn::Linear(s / "head", c.hidden_size, width)(last)};
}

Value pool_siglip_patches(const Scope& s, const TowerConfig& c, Value hidden, const op::AttentionMask& mask) {
  const ModulePath at(hidden, s.path());
  const std::int64_t width = c.hidden_size;
  const nn::PackedAttention attention(s / "attention", width, c.num_attention_heads);
  const Value probe = hidden.graph().weight(s.weight("probe", {1, 1, width}));  // the same for all images
  const Value attended = op::squeeze(attention(probe, hidden, hidden, mask), 1);

  const Value normed = nn::LayerNorm(s / "layernorm", width, c.layer_norm_eps)(attended);
  const Value wide = nn::Linear(s / "mlp" / "fc1", width, c.intermediate_size)(normed);
  const nn::Linear down(s / "mlp" / "fc2", c.intermediate_size, width);
  return op::add(attended, down(nn::Activation(c.hidden_act)(wide)));
}

}  // namespace onnxport::models
