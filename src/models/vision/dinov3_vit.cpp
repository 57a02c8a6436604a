// DINOv3, Vision Transformer. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/dinov3_vit/modeling_dinov3_vit.py
#include <fmt/format.h>

#include <cmath>
#include <numbers>

#include "models/vision/common/backbone.h"
#include "models/vision/common/dinov3.h"
#include "onnxport/error.h"
#include "onnxport/nn/rotated_encoder.h"

namespace onnxport::models {

Dinov3Config::Dinov3Config(const PretrainedConfig& c)
    : ViTConfig(c),
      query_bias(c.flag("query_bias")),
      key_bias(c.flag("key_bias")),
      value_bias(c.flag("value_bias")),
      proj_bias(c.flag("proj_bias")),
      mlp_bias(c.flag("mlp_bias")),
      use_gated_mlp(c.flag("use_gated_mlp")),
      num_register_tokens(learned_tokens(c, "num_register_tokens")),
      rope_theta(c.real("rope_theta")) {
  // Of training: the initial scales, and changes of the positions.
  c.harmless({"layerscale_value", "pos_embed_shift", "pos_embed_jitter", "pos_embed_rescale"});
  const bool turns = std::isfinite(rope_theta) && rope_theta > 0;
  if (!turns || head_dim() % 4 != 0 || intermediate_size < 1) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: rope_theta is {}, hidden_size / num_attention_heads {} and "
                                  "intermediate_size {}; expected positive numbers, the second a multiple "
                                  "of 4",
                                  c.origin(), rope_theta, head_dim(), intermediate_size));
  }
}

nn::ImageTokensParameters Dinov3Config::tokens() const {
  nn::ImageTokensParameters p = ViTConfig::tokens();
  p.before = {{"cls_token"}, {"register_tokens", num_register_tokens}};
  p.positions = false;
  p.projection = "patch_embeddings";
  return p;
}

nn::Turn dinov3_rotation(Graph& graph, const Dinov3Config& c, const Dim& rows, const Dim& columns,
                         std::int64_t more) {
  const ModulePath at(graph, "rope_embeddings");
  const std::int64_t quarter = c.head_dim() / 4;
  std::vector<double> frequencies;
  for (std::int64_t i = 0; i < quarter; ++i) {
    const double power = 4.0 * static_cast<double>(i) / static_cast<double>(c.head_dim());
    frequencies.push_back(2 * std::numbers::pi / std::pow(c.rope_theta, power));
  }
  const Value turns = graph.weight_as_is(Weight::from_doubles(DType::f32, {quarter}, frequencies));
  // The centres of the patches -> angles [patches of an axis, quarter].
  const auto angles = [&](const Dim& count) {
    const Value odd = op::add(op::mul(op::arange(graph, count), 2.0), 1.0);
    const Value extent = op::cast(op::size(graph, count), DType::f32);
    const Value centre = op::sub(op::div(op::cast(odd, DType::f32), extent), 1.0);
    return op::mul(op::unsqueeze(centre, 1), turns);
  };
  const Value down = angles(rows);
  const Value grid = nn::grid_angles(down, angles(columns));
  return nn::rotation(op::pad(grid, {0, more + c.learned(), 0}, {0, 0, 0}), c.num_attention_heads);
}

namespace {

nn::FeedForward feed_forward(const Scope& s, const Dinov3Config& c) {
  if (c.use_gated_mlp) {
    return nn::GatedMlp(s, {.hidden_size = c.hidden_size,
                            .intermediate_size = c.intermediate_size,
                            .activation = c.hidden_act,
                            .bias = c.mlp_bias});
  }
  return nn::Mlp(s.path(), nn::Linear(s / "up_proj", c.hidden_size, c.intermediate_size, c.mlp_bias),
                 nn::Linear(s / "down_proj", c.intermediate_size, c.hidden_size, c.mlp_bias), c.hidden_act);
}

}  // namespace

Dinov3Layer::Dinov3Layer(const Scope& s, const Dinov3Config& c)
    : path_(s.path()),
      heads_(c.num_attention_heads),
      norm1_(s / "norm1", c.hidden_size, c.layer_norm_eps),
      norm2_(s / "norm2", c.hidden_size, c.layer_norm_eps),
      query_(s / "attention" / "q_proj", c.hidden_size, c.hidden_size, c.query_bias),
      key_(s / "attention" / "k_proj", c.hidden_size, c.hidden_size, c.key_bias),
      value_(s / "attention" / "v_proj", c.hidden_size, c.hidden_size, c.value_bias),
      output_(s / "attention" / "o_proj", c.hidden_size, c.hidden_size, c.proj_bias),
      mlp_(feed_forward(s / "mlp", c)),
      scale1_(s.weight("layer_scale1.lambda1", {c.hidden_size})),
      scale2_(s.weight("layer_scale2.lambda1", {c.hidden_size})) {}

Value Dinov3Layer::attend(Value x, const nn::Turn& rotation, const op::AttentionMask& mask) const {
  const ModulePath at(x, path_ + ".attention");
  const Value query = rotation(query_(x));
  const Value key = rotation(key_(x));
  const Value value = value_(x);
  const op::AttentionOperands operands = {.query = query, .key = key, .value = value, .mask = mask};
  return output_(op::attention(operands, heads_, heads_).output);
}

Value Dinov3Layer::operator()(Value x, const nn::Turn& rotation, const op::AttentionMask& mask) const {
  const ModulePath at(x, path_);
  x = nn::pre_norm_residual(x, norm1_, [&](Value y) { return attend(y, rotation, mask); }, scale1_);
  return nn::pre_norm_residual(x, norm2_, mlp_, scale2_);
}

Dinov3::Dinov3(const Scope& s, const Dinov3Config& c)
    : embeddings(s / "embeddings", c.tokens()), norm(s / "norm", c.hidden_size, c.layer_norm_eps) {
  s.ignore("embeddings.mask_token");
  for (std::int64_t i = 0; i < c.num_hidden_layers; ++i) layers.emplace_back(s / "layer" / i, c);
}

std::vector<Value> dinov3_states(const Dinov3& dinov3, const Dinov3Config& c, Value pixel_values) {
  const Dim rows = pixel_values.dim(2).floor_div(c.patch.height);
  const Dim columns = pixel_values.dim(3).floor_div(c.patch.width);
  const nn::Turn rotation = dinov3_rotation(pixel_values.graph(), c, rows, columns);
  std::vector<Value> states = {dinov3.embeddings(pixel_values)};
  for (const Dinov3Layer& layer : dinov3.layers) states.push_back(layer(states.back(), rotation));
  return states;
}

namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& /*component*/) {
  const Dinov3Config c(model.config());
  // Of the type as a backbone of another model.
  model.config().harmless(
      {"out_features", "out_indices", "stage_names", "apply_layernorm", "reshape_hidden_states"});
  const Dinov3 dinov3(model.scope(), c);
  return {{"last_hidden_state", dinov3.norm(dinov3_states(dinov3, c, inputs["pixel_values"]).back())}};
}

// The last stage always has a norm. The learned tokens are no features.
BackboneFeatures features(const Scope& s, const PretrainedConfig& config, Value pixel_values) {
  const std::vector<std::int64_t> stages = token_stages(config);
  const Dinov3Config c(config);
  const Dinov3 dinov3(s, c);
  const std::vector<Value> states = dinov3_states(dinov3, c, pixel_values);
  const bool norm = config.flag("apply_layernorm");
  std::vector<Value> chosen;
  for (const std::int64_t stage : stages) {
    const Value state = states[static_cast<std::size_t>(stage)];
    const Value normed = norm || stage == c.num_hidden_layers ? dinov3.norm(state) : state;
    chosen.push_back(op::slice(normed, 1, c.learned(), normed.dim(1)));
  }
  return token_features(config, pixel_values, std::move(chosen), 0);
}

}  // namespace

void register_dinov3_vit(TasksManager& tasks) {
  tasks.register_model<VisionOnnxConfig>({.model_type = "dinov3_vit",
                                          .tasks = {"feature-extraction"},
                                          .forward = forward,
                                          .key_names = {.newer = {{"layer.", "model.layer."}}},
                                          .roles = {.backbone = BackboneRole{features}}});
}

}  // namespace onnxport::models
