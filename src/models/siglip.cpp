// SigLIP: the towers of CLIP without masks, a class token and projections. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/siglip/modeling_siglip.py
#include <fmt/format.h>

#include "models/clip.h"
#include "onnxport/error.h"

namespace onnxport::models {
namespace {

class SiglipOnnxConfig : public TextAndVisionOnnxConfig {
 public:
  using TextAndVisionOnnxConfig::TextAndVisionOnnxConfig;
  AxesByName inputs() const override {
    return {{"input_ids", {{0, "text_batch_size"}, {1, "sequence_length"}}},
            {"pixel_values", {{0, "image_batch_size"}}}};
  }
  AxesByName outputs() const override { return common_outputs("zero-shot-image-classification"); }
  NormalizedConfig normalized_config() const override {
    const PretrainedConfig c = config().unaccounted();
    return normalized_towers(c.sub("text_config", "siglip_text_model"),
                             c.sub("vision_config", "siglip_vision_model"));
  }
};

// One learned query looks at all patches. Keys: probe, attention.{in_proj_weight, in_proj_bias, out_proj},
// layernorm, mlp.
Value pool(const Scope& s, const ImageTowerConfig& c, Value hidden) {
  const ModulePath at(hidden, s.path());
  Graph& graph = hidden.graph();
  const std::int64_t width = c.hidden_size;
  const Scope a = s / "attention";
  const Weight weight = a.weight("in_proj_weight", {3 * width, width});
  const Weight bias = a.weight("in_proj_bias", {3 * width});
  const auto project = [&](Value x, std::int64_t part) {
    const std::int64_t begin = part * width, end = begin + width;
    const nn::Linear linear(a.path(), weight.slice(0, begin, end), bias.slice(0, begin, end));
    return nn::split_heads(linear(x), c.num_attention_heads);
  };
  const Value probe = project(graph.weight(s.weight("probe", {1, 1, width})), 0);  // the same for all images
  const Value query = op::expand(probe, {hidden.dim(0), probe.dim(1), 1, probe.dim(3)});
  const Value key = project(hidden, 1);
  const Value value = project(hidden, 2);
  const Value context = nn::merge_heads(op::scaled_dot_product_attention(query, key, value));
  const Value attended = nn::Linear(a / "out_proj", width, width)(op::squeeze(context, 1));

  const Value normed = nn::LayerNorm(s / "layernorm", width, c.layer_norm_eps)(attended);
  const Value wide = nn::Linear(s / "mlp" / "fc1", width, c.intermediate_size)(normed);
  const nn::Linear down(s / "mlp" / "fc2", c.intermediate_size, width);
  return op::add(attended, down(nn::Activation(c.hidden_act)(wide)));
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component&) {
  const PretrainedConfig& c = model.config();
  const Scope root = model.scope();
  const PretrainedConfig vision = c.sub("vision_config", "siglip_vision_model");
  const Value image = siglip_vision(root / "vision_model", vision, inputs["pixel_values"]).pooled;
  const PretrainedConfig text_config = c.sub("text_config", "siglip_text_model");
  const Value text = siglip_text(root / "text_model", text_config, inputs["input_ids"]).pooled;
  if (!image || text.dim(1) != image.dim(1)) {
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format("{}: projection_size of text_config is {} and the image tower gives {}, expected the "
                    "same width",
                    c.origin(), text.dim(1).str(),
                    image ? image.dim(1).str() : "no vector (vision_use_head)"));
  }
  return compare_towers(text, image, root.weight("logit_scale", {1}), root.weight("logit_bias", {1}));
}

}  // namespace

TowerOutput siglip_text(const Scope& s, const PretrainedConfig& config, Value input_ids) {
  const TextTowerConfig c(config);
  const Value hidden = TextTower(s, c)(input_ids, {});
  const ModulePath at(hidden, s.path());
  const Value last = op::squeeze(op::slice(hidden, 1, hidden.dim(1) - 1, hidden.dim(1)), 1);
  const std::int64_t width = config.maybe_integer("projection_size").value_or(c.hidden_size);
  return {hidden, nn::Linear(s / "head", c.hidden_size, width)(last)};
}

TowerOutput siglip_vision(const Scope& s, const PretrainedConfig& config, Value pixel_values) {
  const ImageTowerConfig c(config);
  const Scope e = s / "embeddings";
  Value x = embed_patches(e, c, pixel_values, true);
  {
    const ModulePath at(x, e.path());
    const Weight positions = (e / "position_embedding").weight("weight", {c.patches(), c.hidden_size});
    x = op::add(x, x.graph().weight(positions));
  }
  x = nn::PreNormEncoder(s / "encoder" / "layers", c.num_hidden_layers, c.layer())(x);
  const Value hidden = nn::LayerNorm(s / "post_layernorm", c.hidden_size, c.layer_norm_eps)(x);
  if (!config.flag("vision_use_head", true)) return {hidden, {}};
  return {hidden, pool(s / "head", c, hidden)};
}

void register_siglip(TasksManager& tasks) {
  tasks.register_model<SiglipOnnxConfig>({.model_type = "siglip",
                                          .tasks = {"feature-extraction", "zero-shot-image-classification"},
                                          .forward = forward,
                                          .ignorable_keys = {"*.embeddings.position_ids"}});
}

}  // namespace onnxport::models
