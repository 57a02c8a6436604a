// BEiT. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/beit/modeling_beit.py
#include "models/vision/common/beit.h"

#include <fmt/format.h>

#include "models/vision/common/backbone.h"
#include "models/vision/common/vit.h"
#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/grid_bias.h"
#include "onnxport/nn/pre_norm_encoder.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

struct Config : ViTConfig {
  bool relative_positions, shared_relative_positions, absolute_positions, mean_pooling, layer_scale;

  explicit Config(const PretrainedConfig& c)
      : ViTConfig(c),
        relative_positions(c.flag("use_relative_position_bias")),
        shared_relative_positions(c.flag("use_shared_relative_position_bias")),
        absolute_positions(c.flag("use_absolute_position_embeddings")),
        mean_pooling(c.flag("use_mean_pooling")),
        layer_scale(c.real("layer_scale_init_value") > 0) {
    // Keys of the segmentation heads, of the head that predicts visual tokens, and of a backbone.
    c.harmless({"pool_scales", "use_auxiliary_head", "auxiliary_channels", "auxiliary_num_convs",
                "auxiliary_concat_input", "segmentation_indices", "vocab_size", "use_mask_token",
                "out_features", "out_indices", "reshape_hidden_states"});
  }
};

// The embeddings and the result of each layer, without the last norm: [B, 1 + patches, hidden_size].
std::vector<Value> beit_states(const Scope& s, const PretrainedConfig& config, Value pixel_values) {
  const Config c(config);
  nn::ImageTokensParameters tokens = c.tokens();
  tokens.positions = c.absolute_positions;
  nn::EncoderLayerParameters layer = c.layer();
  if (c.qkv_bias) layer.attention.bias = nn::QkvBias::query_and_value;
  nn::PreNormOptions options;
  if (c.layer_scale) options = {.attention_scale = "lambda_1", .output_scale = "lambda_2"};

  const nn::ImageTokens embeddings(s / "embeddings", tokens);
  const nn::PreNormEncoder encoder(s / "encoder" / "layer", c.num_hidden_layers, layer, options);
  Graph& graph = pixel_values.graph();
  const Dim rows = pixel_values.dim(2).floor_div(c.patch.height);
  const Dim columns = pixel_values.dim(3).floor_div(c.patch.width);
  Value shared;
  if (c.shared_relative_positions)
    shared = nn::GridBias(s / "encoder" / "relative_position_bias", c.grid, c.num_attention_heads)(
        graph, rows, columns);
  std::vector<Value> states = {embeddings(pixel_values)};
  for (std::int64_t i = 0; i < c.num_hidden_layers; ++i) {
    Value bias = shared;
    if (c.relative_positions) {
      const Scope at = s / "encoder" / "layer" / i / "attention" / "attention" / "relative_position_bias";
      bias = nn::GridBias(at, c.grid, c.num_attention_heads)(graph, rows, columns);
      if (shared) bias = op::add(bias, shared);
    }
    states.push_back(encoder.layers()[static_cast<std::size_t>(i)](states.back(), {.bias = bias}));
  }
  return states;
}

// last_hidden_state
Value encode_beit(const Scope& s, const PretrainedConfig& config, Value pixel_values) {
  const Config c(config);
  Value hidden = beit_states(s, config, pixel_values).back();
  if (c.mean_pooling) return hidden;  // the norm comes after the mean
  return nn::LayerNorm(s / "layernorm", c.hidden_size, c.layer_norm_eps)(hidden);
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component,
                    const char* base_model) {
  const Config c(model.config());
  model.config().harmless({"add_fpn", "stage_names"});  // of the type as a backbone of another model
  const Scope root = model.scope();
  const Scope base = root.base_model(base_model);
  const Value hidden = encode_beit(base, model.config(), inputs["pixel_values"]);
  if (component.task == "feature-extraction") return {{"last_hidden_state", hidden}};
  Value pooled;
  if (c.mean_pooling) {
    const nn::LayerNorm norm(base / "pooler" / "layernorm", c.hidden_size, c.layer_norm_eps);
    pooled = norm(op::mean(op::slice(hidden, 1, 1, hidden.dim(1)), 1));
  } else {
    pooled = nn::first_token(hidden);
  }
  return {{"logits", nn::Linear(root / "classifier", c.hidden_size, c.num_labels)(pooled)}};
}

// The images of four layers in four sizes: 4, 2, 1 and 1/2 times the grid.
void add_pyramid(const Scope& s, const PretrainedConfig& config, std::vector<Value>& images) {
  if (images.size() != 4 || images[0].rank() != 4) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: add_fpn is true, which takes 4 stages and reshape_hidden_states; "
                                  "there are {} stages of rank {}",
                                  config.origin(), images.size(), images[0].rank()));
  }
  const std::int64_t width = *images[0].dim(1).constant();
  const auto twice = [&](const Scope& at, Value x) {
    return nn::ConvTranspose2d(at, width, width, {2, 2}, true, {.stride = {2, 2}})(x);
  };
  const nn::BatchNorm2d norm(s / "fpn1" / 1, width, config.real("batch_norm_eps", 1e-5));
  images[0] = twice(s / "fpn1" / 3, op::gelu(norm(twice(s / "fpn1" / 0, images[0]))));
  images[1] = twice(s / "fpn2" / 0, images[1]);
  images[3] = op::max_pool2d(images[3], {2, 2});
}

BackboneFeatures features(const Scope& s, const PretrainedConfig& config, Value pixel_values) {
  const Scope base = s.base_model("beit");
  base.ignore("embeddings.mask_token");
  const std::vector<std::int64_t> stages = token_stages(config);
  std::vector<Value> chosen = stage_features(beit_states(base, config, pixel_values), stages).stages;
  BackboneFeatures features = token_features(config, pixel_values, std::move(chosen));
  if (config.flag("add_fpn")) add_pyramid(s, config, features.stages);
  return features;
}

KeyNames beit_key_names() {
  KeyNames names = vit_key_names();
  const std::vector<std::pair<std::string, std::string>> own = {
      {"encoder.relative_position_bias", "shared_position_bias"},
      {"attention.attention.relative_position_bias", "relative_position_bias"},
      {"fpn1.0", "fpn.fpn1.conv_transpose1"},
      {"fpn1.1", "fpn.fpn1.normalization"},
      {"fpn1.3", "fpn.fpn1.conv_transpose2"},
      {"fpn2.0", "fpn.fpn2"}};
  names.newer.insert(names.newer.begin(), own.begin(), own.end());
  return names;
}

}  // namespace

ModelDefinition beit_definition(const char* model_type, const char* base_model) {
  // Many checkpoints contain the head that predicts visual tokens, and tables that are computed here.
  return {
      .model_type = model_type,
      .tasks = {"feature-extraction", "image-classification"},
      .forward = [base_model](
                     const Inputs& inputs, const Model& model,
                     const Component& component) { return forward(inputs, model, component, base_model); },
      .ignorable_keys = {"*embeddings.mask_token", "lm_head.*", "layernorm.*", "*.relative_position_index"},
      .key_names = beit_key_names()};
}

void register_beit(TasksManager& tasks) {
  ModelDefinition definition = beit_definition("beit", "beit");
  definition.roles.backbone = BackboneRole{features};
  tasks.register_model<VisionOnnxConfig>(std::move(definition));
}

}  // namespace onnxport::models
