#include "models/vision/common/dpt_encoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "models/vision/common/backbone.h"
#include "models/vision/common/vit.h"
#include "onnxport/error.h"
#include "onnxport/nn/pre_norm_encoder.h"

namespace onnxport::models {
namespace {

PretrainedConfig bit_config(const PretrainedConfig& c) {
  if (c.has("backbone_config")) return c.sub("backbone_config", "bit");
  return PretrainedConfig::from_json(
      R"({"global_padding": "same", "layer_type": "bottleneck", "depths": [3, 4, 9],
          "out_features": ["stage1", "stage2", "stage3"], "embedding_dynamic_padding": true})",
      c.origin(), "bit");
}

}  // namespace

DptEncoding encode_dpt(const TasksManager& tasks, const Scope& s, const PretrainedConfig& config, bool hybrid,
                       Value pixel_values) {
  const ViTConfig c(config);
  DptEncoding encoded;
  encoded.tokens.hidden_size = c.hidden_size;
  nn::ImageTokensParameters tokens = c.tokens();
  tokens.resampling = "linear";
  Value image = pixel_values;
  if (hybrid) {
    encoded.maps =
        run_backbone(tasks, s / "embeddings" / "backbone", bit_config(config), pixel_values).stages;
    image = encoded.maps.back();
    if (encoded.maps.size() != 3 || image.rank() != 4 || image.dim(2) != Dim(c.grid.height) ||
        image.dim(3) != Dim(c.grid.width)) {
      throw ExportError(
          ErrorCode::bad_config,
          fmt::format("{}: the backbone returns {} maps, the last one {}, expected 3 and {} by {}",
                      config.origin(), encoded.maps.size(), to_string(image.type()), c.grid.height,
                      c.grid.width));
    }
    encoded.maps.pop_back();
    tokens.projection = "projection";
    tokens.channels = *image.dim(1).constant();
    tokens.patch = {1, 1};
  }
  const nn::ImageTokens embeddings(s / "embeddings", tokens);
  const nn::PreNormEncoder encoder(s / "encoder" / "layer", c.num_hidden_layers, c.layer());
  encoded.tokens.rows = image.dim(2).floor_div(tokens.patch.height);
  encoded.tokens.columns = image.dim(3).floor_div(tokens.patch.width);
  encoded.tokens.states = {embeddings(image)};
  for (const nn::PreNormEncoderLayer& layer : encoder.layers())
    encoded.tokens.states.push_back(layer(encoded.tokens.states.back()));
  return encoded;
}

DptStates dpt_layer_states(const TasksManager& tasks, const Scope& root, const PretrainedConfig& config,
                           bool hybrid, Value pixel_values) {
  DptEncoding encoded = encode_dpt(tasks, root.base_model("dpt"), config, hybrid, pixel_values);
  std::vector<std::int64_t> layers = config.integers("backbone_out_indices");
  if (hybrid) layers.erase(layers.begin(), layers.begin() + std::min<std::ptrdiff_t>(2, std::ssize(layers)));
  std::vector<Value> chosen = encoded.maps;
  for (std::size_t i = 1; i < encoded.tokens.states.size(); ++i) {
    if (std::find(layers.begin(), layers.end(), static_cast<std::int64_t>(i) - 1) != layers.end())
      chosen.push_back(encoded.tokens.states[i]);
  }
  encoded.tokens.states = std::move(chosen);
  return std::move(encoded.tokens);
}

DptStates dpt_backbone_states(const TasksManager& tasks, const Scope& root, const PretrainedConfig& config,
                              Value pixel_values) {
  // Settings of an encoder that does not exist.
  config.harmless({"hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
                   "layer_norm_eps", "image_size", "patch_size", "num_channels", "qkv_bias",
                   "backbone_out_indices", "pooler_output_size", "pooler_act"});
  return dpt_tokens(tasks, root / "backbone", config, config.sub("backbone_config"), pixel_values);
}

DptStates dpt_tokens(const TasksManager& tasks, const Scope& s, const PretrainedConfig& config,
                     const PretrainedConfig& backbone, Value pixel_values) {
  BackboneFeatures features = run_backbone(tasks, s, backbone, pixel_values);
  const Value last = features.stages.back();
  if (learned_before(features) != 1) {
    throw ExportError(
        ErrorCode::unsupported,
        fmt::format("{}: a backbone of type '{}' returns {}, expected tokens behind one class token",
                    config.origin(), backbone.model_type(),
                    last.rank() == 4 ? "images" : to_string(last.type())));
  }
  return {std::move(features.stages), *last.dim(2).constant(), features.rows, features.columns};
}

}  // namespace onnxport::models
