// MLCD: an image tower like CLIP's, with rotary positions. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/mlcd/modeling_mlcd.py
#include <fmt/format.h>

#include <cmath>

#include "models/multimodal/common/towers/clip.h"
#include "onnxport/error.h"
#include "onnxport/nn/rotated_encoder.h"

namespace onnxport::models {
namespace {

/// Images of any size.
class MlcdVisionModelOnnxConfig : public VisionOnnxConfig {
 public:
  using VisionOnnxConfig::VisionOnnxConfig;
  ImageSize smallest_image() const override {
    const std::int64_t patch = config().unaccounted().integer("patch_size");
    return {patch, patch};
  }
  AxesByName outputs() const override {
    const Axes rows = {{0, "batch_size"}};
    return {{"last_hidden_state", rows}, {"pooler_output", rows}};
  }
};

// Transformers 5 writes it; before, it was a constant.
double rope_theta(const PretrainedConfig& c) {
  if (!c.has("rope_parameters")) return 10000;
  const PretrainedConfig rope = c.sub("rope_parameters");
  const std::string type = rope.string("rope_type", "axial");
  const double theta = rope.real("rope_theta", 10000);
  const bool turns = std::isfinite(theta) && theta > 0;
  if (type != "axial" || !turns) {
    throw ExportError(ErrorCode::unsupported,
                      fmt::format("{}: rope_parameters have rope_type '{}' and rope_theta {}, expected axial "
                                  "and a positive number",
                                  c.origin(), type, theta));
  }
  return theta;
}

// The class token turns by learned angles, the patches by their rows and columns.
nn::Turn make_rotation(const Scope& s, const PretrainedConfig& config, const ImageTowerConfig& c,
                       Value pixel_values) {
  const std::int64_t head_dim = c.hidden_size / c.num_attention_heads;
  if (head_dim % 4 != 0) {
    throw ExportError(ErrorCode::bad_config, fmt::format("{}: heads of {} elements, expected a multiple of 4",
                                                         config.origin(), head_dim));
  }
  Graph& graph = pixel_values.graph();
  const ModulePath at(graph, s.path());
  const double theta = rope_theta(config);
  std::vector<double> frequencies;
  for (std::int64_t i = 0; i < head_dim / 4; ++i)
    frequencies.push_back(std::pow(theta, -4.0 * static_cast<double>(i) / static_cast<double>(head_dim)));
  const Value turns = graph.weight_as_is(Weight::from_doubles(DType::f32, {1, head_dim / 4}, frequencies));
  const auto angles = [&](const Dim& pixels) {
    const Value place = op::arange(graph, pixels.floor_div(c.patch_size));
    return op::mul(op::unsqueeze(op::cast(place, DType::f32), 1), turns);
  };
  const Value of_rows = angles(pixel_values.dim(2));
  const Value grid = nn::grid_angles(of_rows, angles(pixel_values.dim(3)));
  const Weight learned = s.weight("class_pos_emb", {1, head_dim / 2}).cast(DType::f32);
  const Value first = graph.weight_as_is(learned.reshape({1, 1, head_dim / 2}));
  return nn::rotation(op::concat({first, grid}, 1), c.num_attention_heads);
}

EncoderStates encode(const Inputs& inputs, const Model& model, const Component&) {
  const PretrainedConfig& config = model.config();
  const ImageTowerConfig c(config);
  config.harmless({"initializer_factor"});
  if (const std::int64_t groups = config.integer("num_key_value_groups"); groups != 1) {
    throw ExportError(ErrorCode::unsupported,
                      fmt::format("{}: num_key_value_groups is {}, expected 1", config.origin(), groups));
  }
  const Scope s = model.scope().base_model("vision_model"), e = s / "embeddings";
  const Value pixel_values = inputs["pixel_values"];
  const std::int64_t width = c.hidden_size;
  Graph& graph = pixel_values.graph();
  const nn::Turn rotation = make_rotation(s, config, c, pixel_values);
  Value x = embed_patches(e, c, pixel_values, false);
  const Weight token = e.weight("class_embedding", {width}).reshape({1, 1, width});
  x = op::concat({op::expand(graph.weight(token), {x.dim(0), 1, width}), x}, 1);
  x = nn::LayerNorm(s / "pre_layrnorm", width, c.layer_norm_eps)(x);
  for (std::int64_t i = 0; i < c.num_hidden_layers; ++i)
    x = nn::rotated_layer(s / "encoder" / "layers" / i, c.layer(), x, rotation);
  const nn::LayerNorm norm(s / "post_layernorm", width, c.layer_norm_eps);
  return {x, norm(nn::first_token(x))};
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const EncoderStates image = encode(inputs, model, component);
  return {{"last_hidden_state", image.hidden}, {"pooler_output", image.pooled}};
}

}  // namespace

void register_mlcd_vision_model(TasksManager& tasks) {
  tasks.register_model<MlcdVisionModelOnnxConfig>({.model_type = "mlcd_vision_model",
                                                   .tasks = {"feature-extraction"},
                                                   .forward = forward,
                                                   .ignorable_keys = {"*.embeddings.position_ids"},
                                                   .roles = {.vision_tower = EncoderRole{encode}}});
}

}  // namespace onnxport::models
