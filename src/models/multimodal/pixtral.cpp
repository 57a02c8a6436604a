// Pixtral's vision tower: images of any size, turned by row and column. Images of a call have one size.
// Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/pixtral/modeling_pixtral.py
#include <cmath>
#include <vector>

#include "models/common/definition.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

constexpr nn::NormParameters kNorm{.eps = 1e-5};

struct Config {
  std::int64_t hidden_size, layers, heads, inner, channels, patch;
  std::string hidden_act;
  double theta;

  explicit Config(const PretrainedConfig& c)
      : hidden_size(c.integer("hidden_size")),
        layers(c.integer("num_hidden_layers")),
        heads(c.integer("num_attention_heads")),
        inner(c.integer("intermediate_size")),
        channels(c.integer("num_channels")),
        patch(divisor(c, "patch_size")),
        hidden_act(c.string("hidden_act")),
        theta(c.real("rope_theta", 10000)) {
    check_multiple(c, "hidden_size", hidden_size, "num_attention_heads", 4 * heads);
    if (c.given("rope_parameters")) {
      const PretrainedConfig rope = c.sub("rope_parameters");
      rope.harmless({"rope_type", "type"});
      theta = rope.real("rope_theta", theta);
    }
    c.harmless({"head_dim", "image_size"});  // computed by the class; the largest image
  }
};

class PixtralOnnxConfig : public VisionOnnxConfig {
 public:
  using VisionOnnxConfig::VisionOnnxConfig;
  std::int64_t image_step() const override { return Config(config().unaccounted()).patch; }
  ImageSize smallest_image() const override { return {image_step(), image_step()}; }
};

// Half of the pairs of a head turn with the row, half with the column; frequencies go to them in turns.
op::Rope rope_of(const Config& c, const Dim& rows, const Dim& columns, Graph& graph) {
  const ModulePath at(graph, "patch_positional_embedding");
  const std::int64_t head_dim = c.hidden_size / c.heads, half = head_dim / 4;
  std::vector<double> frequencies;
  for (const std::int64_t axis : {0, 1}) {
    for (std::int64_t i = 0; i < half; ++i) {
      const float exponent = static_cast<float>(2 * (2 * i + axis)) / static_cast<float>(head_dim);
      frequencies.push_back(1.0F / static_cast<float>(std::pow(c.theta, static_cast<double>(exponent))));
    }
  }
  const Value row = op::unsqueeze(op::unsqueeze(op::arange(graph, rows), 1), 1);
  const Value column = op::unsqueeze(op::unsqueeze(op::arange(graph, columns), 0), 2);
  const Shape all = {rows, columns, half};
  const Value first = op::expand(row, all);
  const Value both = op::concat({first, op::expand(column, all)}, 2);
  const Weight table = Weight::from_doubles(DType::f32, {2 * half}, frequencies, "inv_freq");
  return {.position_ids = op::reshape(both, {1, rows * columns, 2 * half}),
          .frequencies = graph.weight_as_is(table)};
}

Value attend(const Scope& s, const Config& c, Value x, const op::Rope& rope) {
  const ModulePath at(x, s.path());
  const auto project = [&](const char* key, Value y) {
    return nn::Linear(s / key, c.hidden_size, c.hidden_size, false)(y);
  };
  const Value query = project("q_proj", x), key = project("k_proj", x);
  const op::AttentionOperands operands{
      .query = query, .key = key, .value = project("v_proj", x), .rope = rope};
  return project("o_proj", op::attention(operands, c.heads, c.heads).output);
}

EncoderStates encode(const Inputs& inputs, const Model& model, const Component&) {
  const Config c(model.config());
  const Scope s = model.scope();
  const nn::Conv2d patches(s / "patch_conv", c.channels, c.hidden_size, {c.patch, c.patch}, false,
                           {.stride = {c.patch, c.patch}});
  const Value grid = patches(inputs["pixel_values"]);
  const op::Rope rope = rope_of(c, grid.dim(2), grid.dim(3), grid.graph());
  std::vector<Value> states = {nn::RmsNorm(s / "ln_pre", c.hidden_size, kNorm)(nn::image_to_tokens(grid))};
  for (std::int64_t i = 0; i < c.layers; ++i) {
    const Scope layer = s / "transformer" / "layers" / i;
    Value x = states.back();
    const ModulePath at(x, layer.path());
    const nn::RmsNorm before_attention(layer / "attention_norm", c.hidden_size, kNorm);
    x = op::add(x, attend(layer / "attention", c, before_attention(x), rope));
    const nn::RmsNorm before_mlp(layer / "ffn_norm", c.hidden_size, kNorm);
    const nn::GatedMlp mlp(
        layer / "feed_forward",
        {.hidden_size = c.hidden_size, .intermediate_size = c.inner, .activation = c.hidden_act});
    states.push_back(op::add(x, mlp(before_mlp(x))));
  }
  return {states.back(), {}, states};
}

}  // namespace

void register_pixtral(TasksManager& tasks) {
  tasks.register_model<PixtralOnnxConfig>(
      {.model_type = "pixtral", .roles = {.vision_tower = EncoderRole{encode}}});
}

}  // namespace onnxport::models
