// InternVL's vision tower. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/internvl/modeling_internvl.py
#include <fmt/format.h>

#include <functional>
#include <vector>

#include "models/common/definition.h"
#include "onnxport/error.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

struct Config {
  std::int64_t hidden_size, layers, heads, inner, channels;
  ImageSize image, patch;
  std::string hidden_act;
  double eps;
  bool bias, qk_norm, rms, positions, last_norm;

  explicit Config(const PretrainedConfig& c)
      : hidden_size(c.integer("hidden_size")),
        layers(c.integer("num_hidden_layers")),
        heads(c.integer("num_attention_heads")),
        inner(c.integer("intermediate_size")),
        channels(c.integer("num_channels")),
        image(extents(c, "image_size")),
        patch(extents(c, "patch_size")),
        hidden_act(c.string("hidden_act")),
        eps(c.real("layer_norm_eps")),
        bias(c.flag("attention_bias")),
        qk_norm(c.flag("use_qk_norm")),
        rms(c.string("norm_type") == "rms_norm"),
        positions(c.flag("use_absolute_position_embeddings")),
        last_norm(!c.flag("use_mean_pooling")) {
    check_heads(c, hidden_size, heads);
    if (!rms && c.string("norm_type") != "layer_norm") {
      throw ExportError(ErrorCode::bad_config,
                        fmt::format("{}: norm_type is '{}', expected layer_norm or rms_norm", c.origin(),
                                    c.string("norm_type")));
    }
    if (image.height < patch.height || image.width < patch.width) {
      throw ExportError(ErrorCode::bad_config,
                        fmt::format("{}: an image of {} by {} has no patch of {} by {}", c.origin(),
                                    image.height, image.width, patch.height, patch.width));
    }
    c.harmless({"layer_scale_init_value", "use_mask_token"});  // of training
  }

  std::function<Value(Value)> norm(const Scope& s, double of_norm) const {
    if (rms) return nn::RmsNorm(s, hidden_size, {.eps = of_norm});
    return nn::LayerNorm(s, hidden_size, of_norm);
  }
  std::int64_t patches() const { return (image.height / patch.height) * (image.width / patch.width); }

 private:
  // A number, or height and width.
  static ImageSize extents(const PretrainedConfig& c, const char* key) {
    const std::vector<std::int64_t> both = c.integers(key);
    if (both.empty() || both.size() > 2 || both.front() < 1 || both.back() < 1) {
      throw ExportError(ErrorCode::bad_config,
                        fmt::format("{}: {} must be one or two positive numbers", c.origin(), key));
    }
    return {both.front(), both.back()};
  }
};

class InternVlVisionOnnxConfig : public VisionOnnxConfig {
 public:
  using VisionOnnxConfig::VisionOnnxConfig;
  bool takes_any_image_size() const override { return false; }
};

Value attend(const Scope& s, const Config& c, Value x) {
  const ModulePath at(x, s.path());
  const auto project = [&](const char* key) {
    return nn::Linear(s / key, c.hidden_size, c.hidden_size, c.bias)(x);
  };
  Value query = project("q_proj"), key = project("k_proj");
  if (c.qk_norm) {
    const nn::NormParameters all_heads{.eps = 1e-6};
    query = nn::RmsNorm(s / "q_norm", c.hidden_size, all_heads)(query);
    key = nn::RmsNorm(s / "k_norm", c.hidden_size, all_heads)(key);
  }
  const Value attended =
      op::attention({.query = query, .key = key, .value = project("v_proj")}, c.heads, c.heads).output;
  return nn::Linear(s / "projection_layer", c.hidden_size, c.hidden_size)(attended);
}

Value layer(const Scope& s, const Config& c, Value x) {
  const ModulePath at(x, s.path());
  Graph& graph = x.graph();
  const auto scaled = [&](Value y, const char* key) {
    return op::mul(y, graph.weight(s.weight(key, {c.hidden_size})));
  };
  const Value attended = attend(s / "attention", c, c.norm(s / "layernorm_before", c.eps)(x));
  x = op::add(scaled(attended, "lambda_1"), x);
  const Scope m = s / "mlp";
  const Value normed = c.norm(s / "layernorm_after", c.eps)(x);
  const Value wide = nn::Linear(m / "fc1", c.hidden_size, c.inner)(normed);
  const nn::Linear down(m / "fc2", c.inner, c.hidden_size);
  const Value fed = down(nn::Activation(c.hidden_act)(wide));
  return op::add(scaled(fed, "lambda_2"), x);
}

Value embed(const Scope& s, const Config& c, Value pixel_values) {
  const ModulePath at(pixel_values, s.path());
  Graph& graph = pixel_values.graph();
  const nn::Conv2d conv(s / "patch_embeddings" / "projection", c.channels, c.hidden_size,
                        {c.patch.height, c.patch.width}, true, {.stride = {c.patch.height, c.patch.width}});
  const Value patches = nn::image_to_tokens(conv(pixel_values));
  const Value token = graph.weight(s.weight("cls_token", {1, 1, c.hidden_size}));
  Value x = op::concat({op::expand(token, {patches.dim(0), 1, c.hidden_size}), patches}, 1);
  if (!c.positions) return x;
  return op::add(x, graph.weight(s.weight("position_embeddings", {1, 1 + c.patches(), c.hidden_size})));
}

EncoderStates encode(const Inputs& inputs, const Model& model, const Component&) {
  const Config c(model.config());
  const Scope s = model.scope();
  s.ignore("embeddings.mask_token");
  std::vector<Value> states = {embed(s / "embeddings", c, inputs["pixel_values"])};
  for (std::int64_t i = 0; i < c.layers; ++i)
    states.push_back(layer(s / "encoder" / "layer" / i, c, states.back()));
  const Value last = states.back();
  const Value hidden = c.last_norm ? nn::LayerNorm(s / "layernorm", c.hidden_size, c.eps)(last) : last;
  return {hidden, {}, states};
}

}  // namespace

void register_internvl_vision(TasksManager& tasks) {
  tasks.register_model<InternVlVisionOnnxConfig>(
      {.model_type = "internvl_vision", .roles = {.vision_tower = EncoderRole{encode}}});
}

}  // namespace onnxport::models
