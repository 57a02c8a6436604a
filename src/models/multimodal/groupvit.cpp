// GroupViT: a CLIP whose image tower gathers patches in groups. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/groupvit/modeling_groupvit.py
#include <fmt/format.h>

#include <cmath>
#include <vector>

#include "models/multimodal/common/towers/clip_encoders.h"
#include "models/vision/common/vit.h"
#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/nn/pre_norm_encoder.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

class GroupViTOnnxConfig : public ClipOnnxConfig {
 public:
  using ClipOnnxConfig::ClipOnnxConfig;
  std::vector<std::string> variants() const override { return {"default"}; }
};

struct GroupingConfig : ImageTowerConfig {
  std::vector<std::int64_t> depths, group_tokens, output_groups;  ///< of each stage
  double assign_eps;
  std::int64_t tokens_dim, channels_dim;  ///< inner widths of the networks that make groups

  explicit GroupingConfig(const PretrainedConfig& c)
      : ImageTowerConfig(c),
        depths(c.integers("depths")),
        group_tokens(c.integers("num_group_tokens")),
        output_groups(c.integers("num_output_groups")),
        assign_eps(c.real("assign_eps")) {
    const std::vector<double> ratios = c.reals("assign_mlp_ratio");
    const auto width = [&](double ratio) {
      const bool sensible = ratio > 0 && ratio <= 1024;  // not a number is not
      return sensible ? static_cast<std::int64_t>(ratio * static_cast<double>(hidden_size)) : 0;
    };
    tokens_dim = ratios.empty() ? 0 : width(ratios.front());
    channels_dim = ratios.empty() ? 0 : width(ratios.back());
    if (ratios.empty() || ratios.size() > 2 || tokens_dim < 1 || channels_dim < 1) {
      throw ExportError(ErrorCode::bad_config,
                        fmt::format("{}: assign_mlp_ratio is [{}], expected one or two positive numbers",
                                    c.origin(), fmt::join(ratios, ", ")));
    }
    if (!is_chain()) {
      throw ExportError(
          ErrorCode::bad_config,
          fmt::format(
              "{}: depths [{}], num_group_tokens [{}], num_output_groups [{}]: expected one number of "
              "each for a stage, and as many groups as tokens before a stage with tokens",
              c.origin(), fmt::join(depths, ", "), fmt::join(group_tokens, ", "),
              fmt::join(output_groups, ", ")));
    }
  }

 private:
  bool is_chain() const {
    if (group_tokens.size() != depths.size() || output_groups.size() != depths.size()) return false;
    for (std::size_t i = 0; i < depths.size(); ++i) {
      if (depths[i] < 0 || group_tokens[i] < 0 || output_groups[i] < 0) return false;
      if (i > 0 && group_tokens[i] > 0 && group_tokens[i - 1] != output_groups[i - 1]) return false;
    }
    return true;
  }
};

// Keys: fc1, fc2.
nn::Mlp feed_forward(const Scope& s, const GroupingConfig& c, std::int64_t in, std::int64_t inner,
                     std::int64_t out) {
  return {s.path(), nn::Linear(s / "fc1", in, inner), nn::Linear(s / "fc2", inner, out), c.hidden_act};
}

// The same across tokens: [B, in, H] -> [B, out, H].
Value mix_tokens(const Scope& s, const GroupingConfig& c, std::int64_t in, std::int64_t inner,
                 std::int64_t out, Value x) {
  const ModulePath at(x, s.path());
  return op::transpose(feed_forward(s, c, in, inner, out)(op::transpose(x, 1, 2)), 1, 2);
}

// Keys: attn, norm2, mlp, norm_post.
Value look_at_patches(const Scope& s, const GroupingConfig& c, Value groups, Value patches) {
  const ModulePath at(groups, s.path());
  const std::int64_t width = c.hidden_size, heads = c.num_attention_heads;
  const Scope a = s / "attn";
  const Value query = nn::Linear(a / "q_proj", width, width)(groups);
  const Value key = nn::Linear(a / "k_proj", width, width)(patches);
  const Value value = nn::Linear(a / "v_proj", width, width)(patches);
  const Value seen = op::attention({.query = query, .key = key, .value = value}, heads, heads).output;
  Value x = op::add(groups, nn::Linear(a / "out_proj", width, width)(seen));
  const Value normed = nn::LayerNorm(s / "norm2", width, c.layer_norm_eps)(x);
  x = op::add(x, feed_forward(s / "mlp", c, width, c.intermediate_size, width)(normed));
  return nn::LayerNorm(s / "norm_post", width, c.layer_norm_eps)(x);
}

// Each patch goes to the group that it fits best, and a group becomes the mean of its patches. Keys: q_proj,
// k_proj, v_proj, proj.
Value assign(const Scope& s, const GroupingConfig& c, Value groups, Value patches) {
  const ModulePath at(groups, s.path());
  Graph& graph = groups.graph();
  const std::int64_t width = c.hidden_size;
  const Value query = nn::Linear(s / "q_proj", width, width)(groups);
  const Value key = nn::Linear(s / "k_proj", width, width)(patches);
  const Value value = nn::Linear(s / "v_proj", width, width)(patches);
  const Value scores = op::matmul(query, op::transpose(key, 1, 2));  // [B, G, P]
  const Value best = op::unsqueeze(op::argmax(scores, 1), 1);
  const Value group = op::reshape(op::arange(graph, groups.dim(1)), {1, groups.dim(1), 1});
  const Value belongs = op::cast(op::eq(best, group), graph.float_dtype());
  const Value count = op::add(op::sum(belongs, 2, true), c.assign_eps);
  return nn::Linear(s / "proj", width, width)(op::matmul(op::div(belongs, count), value));
}

// Patches [B, P, H] and tokens [B, G, H] -> groups [B, G', H].
Value gather_in_groups(const Scope& s, const GroupingConfig& c, std::int64_t tokens, std::int64_t groups,
                       Value patches, Value token_states) {
  const ModulePath at(patches, s.path());
  const std::int64_t width = c.hidden_size;
  const auto norm = [&](const char* key) { return nn::LayerNorm(s / key, width, c.layer_norm_eps); };
  token_states = norm("norm_tokens")(token_states);
  patches = norm("norm_x")(patches);
  Value x = mix_tokens(s / "mlp_inter", c, tokens, c.tokens_dim, groups, token_states);
  x = look_at_patches(s / "pre_assign_attn", c, norm("norm_post_tokens")(x), patches);
  x = op::add(assign(s / "assign", c, x, patches), x);
  const Value normed = norm("norm_new_x")(x);
  return op::add(x, feed_forward(s / "mlp_channels", c, width, c.channels_dim, width)(normed));
}

EncoderStates encode_images(const Inputs& inputs, const Model& model, const Component&) {
  const GroupingConfig c(model.config());
  const Scope s = model.scope().base_model("vision_model"), e = s / "embeddings";
  const Value pixel_values = inputs["pixel_values"];
  const std::int64_t width = c.hidden_size, patch = c.patch_size;
  Value x;
  {
    const ModulePath at(pixel_values, e.path());
    const nn::Conv2d projection(e / "patch_embeddings.projection", c.num_channels, width, {patch, patch},
                                true, {.stride = {patch, patch}});
    x = nn::image_to_tokens(projection(pixel_values));
    x = nn::LayerNorm(e / "layernorm", width, c.layer_norm_eps)(x);
    x = op::add(x, x.graph().weight(e.weight("position_embeddings", {1, c.patches(), width})));
  }
  Value tokens;
  for (std::size_t i = 0; i < c.depths.size(); ++i) {
    const Scope stage = s / "encoder" / "stages" / static_cast<std::int64_t>(i);
    const ModulePath at(x, stage.path());
    const std::int64_t count = c.group_tokens[i];
    const Dim patches = x.dim(1);
    if (count > 0) {
      const Value fresh = x.graph().weight(stage.weight("group_token", {1, count, width}));
      if (i > 0 && c.output_groups[i - 1] > 0) {
        const Scope p = stage / "group_projector";
        const Value normed = nn::LayerNorm(p / 0, width, c.layer_norm_eps)(tokens);
        tokens = op::add(fresh, mix_tokens(p / 1, c, c.output_groups[i - 1], width / 2, count, normed));
      } else {
        tokens = op::expand(fresh, {x.dim(0), count, width});
      }
      x = op::concat({x, tokens}, 1);
    }
    x = nn::PreNormEncoder(stage / "layers", c.depths[i], c.layer())(x);
    if (count == 0) continue;
    tokens = op::slice(x, 1, patches, x.dim(1));
    x = op::slice(x, 1, 0, patches);
    x = gather_in_groups(stage / "downsample", c, count, c.output_groups[i], x, tokens);
  }
  const Value hidden = nn::LayerNorm(s / "layernorm", width, c.layer_norm_eps)(x);
  const ModulePath at(hidden, s.path());
  return {hidden, op::mean(hidden, 1)};
}

// Keys: 0 (linear), 1 (batch norm), 3 (linear).
Value project(const Scope& s, const PretrainedConfig& config, Value pooled) {
  const ModulePath at(pooled, s.path());
  Graph& graph = pooled.graph();
  const std::int64_t inner = config.integer("projection_intermediate_dim");
  Value x = nn::Linear(s / 0, *pooled.dim(1).constant(), inner)(pooled);
  const nn::BatchNorm2d norm(s / 1, inner);
  x = op::mul(x, graph.weight(norm.scale()));
  x = op::relu(op::add(x, graph.weight(norm.shift())));
  return nn::Linear(s / 3, inner, config.integer("projection_dim"))(x);
}

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model) {
  const PretrainedConfig& c = model.config();
  c.harmless({"logit_scale_init_value", "output_segmentation"});  // another output, which Optimum leaves out
  const Scope root = model.scope();
  const auto encode = [&](Role role, const char* key) {
    return encode_tower(tasks, role, key, tower_config(c, key), inputs, model).pooled;
  };
  const Value image = project(root / "visual_projection", c, encode(Role::vision_tower, "vision_config"));
  const Value text = project(root / "text_projection", c, encode(Role::text_model, "text_config"));
  return compare_towers(text, image, root.weight("logit_scale", {}));
}

}  // namespace

void register_groupvit(TasksManager& tasks) {
  register_clip_text_tower(tasks, "groupvit", TextEnd::id_or_highest);
  tasks.register_model<ViTOnnxConfig>(
      {.model_type = "groupvit_vision_model", .roles = {.vision_tower = EncoderRole{encode_images}}});
  tasks.register_model<GroupViTOnnxConfig>(
      {.model_type = "groupvit",
       .tasks = {"feature-extraction"},
       .forward = [&tasks](const Inputs& inputs, const Model& model,
                           const Component&) { return forward(tasks, inputs, model); },
       .ignorable_keys = {"*.embeddings.position_ids"}});
}

}  // namespace onnxport::models
