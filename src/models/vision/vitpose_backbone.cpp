// The encoder of ViTPose, as a backbone. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/vitpose_backbone/modeling_vitpose_backbone.py
#include <fmt/format.h>

#include <utility>

#include "models/vision/common/backbone.h"
#include "models/vision/common/vit.h"
#include "onnxport/error.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/nn/rotated_encoder.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

struct Config : ViTConfig {
  std::int64_t num_experts, part_features;

  explicit Config(const PretrainedConfig& c)
      : ViTConfig(c), num_experts(c.integer("num_experts")), part_features(c.integer("part_features")) {
    const double inner = static_cast<double>(hidden_size) * c.real("mlp_ratio");
    const bool fits = inner >= 1 && inner <= 1 << 24;  // not a number does not
    if (!fits || num_experts < 1 ||
        (num_experts > 1 && (part_features < 1 || part_features >= hidden_size))) {
      throw ExportError(
          ErrorCode::bad_config,
          fmt::format("{}: mlp_ratio {}, num_experts {} and part_features {} do not fit hidden_size {}",
                      c.origin(), c.real("mlp_ratio"), num_experts, part_features, hidden_size));
    }
    intermediate_size = static_cast<std::int64_t>(inner);
  }
};

// Patches that overlap the edge by 2 pixels. The position of the class token, which does not exist, is added
// to each.
Value embed(const Scope& s, const Config& c, Value pixel_values) {
  const std::int64_t count = c.grid.height * c.grid.width;
  const nn::Conv2d projection(s / "patch_embeddings" / "projection", c.num_channels, c.hidden_size, c.patch,
                              true, {.stride = {c.patch.height, c.patch.width}, .padding = {2, 2}});
  const Weight positions = s.weight("position_embeddings", {1, 1 + count, c.hidden_size});
  const ModulePath at(pixel_values, s.path());
  Graph& graph = pixel_values.graph();
  const Value image = projection(pixel_values);
  if (image.dim(2) * image.dim(3) != Dim(count)) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{} patches of {} by {} pixels, expected {}",
                                  (image.dim(2) * image.dim(3)).str(), c.patch.height, c.patch.width, count));
  }
  const Value of_patches = graph.weight(positions.slice(1, 1, 1 + count));
  const Value placed = op::add(nn::image_to_tokens(image), of_patches);
  return op::add(placed, graph.weight(positions.slice(1, 0, 1)));
}

// With several experts, each of them computes the last features for the images of one data set. The experts
// of the first one are used, which the published models call COCO.
nn::Linear last_linear(const Scope& s, const Config& c) {
  if (c.num_experts == 1) return {s / "fc2", c.intermediate_size, c.hidden_size};
  const std::int64_t shared = c.hidden_size - c.part_features;
  const Scope expert = s / "experts" / 0;
  s.ignore("experts");
  const auto joined = [&](const char* name, std::vector<std::int64_t> rest) {
    std::vector<std::int64_t> of_all = {shared}, of_one = {c.part_features};
    of_all.insert(of_all.end(), rest.begin(), rest.end());
    of_one.insert(of_one.end(), rest.begin(), rest.end());
    const std::vector<Weight> parts = {(s / "fc2").weight(name, of_all), expert.weight(name, of_one)};
    return Weight::concat(parts, 0);
  };
  return {(s / "fc2").path(), joined("weight", {c.intermediate_size}), joined("bias", {})};
}

Value run_layer(const Scope& s, const Config& c, Value x) {
  const ModulePath at(x, s.path());
  const nn::SelfAttention attention(s / "attention", c.layer().attention);
  const nn::LayerNorm before(s / "layernorm_before", c.hidden_size, c.layer_norm_eps);
  const nn::LayerNorm after(s / "layernorm_after", c.hidden_size, c.layer_norm_eps);
  const nn::Mlp mlp((s / "mlp").path(), nn::Linear(s / "mlp" / "fc1", c.hidden_size, c.intermediate_size),
                    last_linear(s / "mlp", c), c.hidden_act);
  x = nn::pre_norm_residual(x, before, [&](Value y) { return attention(y); });
  return nn::pre_norm_residual(x, after, mlp);
}

BackboneFeatures features(const Scope& s, const PretrainedConfig& config, Value pixel_values) {
  const Config c(config);
  const std::vector<std::int64_t> stages = token_stages(config);
  const nn::LayerNorm norm(s / "layernorm", c.hidden_size, c.layer_norm_eps);
  std::vector<Value> states = {embed(s / "embeddings", c, pixel_values)};
  for (std::int64_t i = 0; i < c.num_hidden_layers; ++i)
    states.push_back(run_layer(s / "encoder" / "layer" / i, c, states.back()));
  std::vector<Value> chosen = stage_features(states, stages).stages;
  for (Value& state : chosen) state = norm(state);
  return token_features(config, pixel_values, std::move(chosen), 0);
}

}  // namespace

void register_vitpose_backbone(TasksManager& tasks) {
  tasks.register_model<VisionOnnxConfig>({.model_type = "vitpose_backbone",
                                          .tasks = {},
                                          .forward = {},
                                          .roles = {.backbone = BackboneRole{features}}});
}

}  // namespace onnxport::models
