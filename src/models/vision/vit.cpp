// Vision Transformer. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/vit/modeling_vit.py
#include "models/vision/common/vit.h"

#include <fmt/format.h>

#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/pre_norm_encoder.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {

Value encode_vit(const Scope& s, const PretrainedConfig& config, Value pixel_values,
                 std::vector<nn::LearnedTokens> learned) {
  const ViTConfig c(config);
  nn::ImageTokensParameters tokens = c.tokens();
  tokens.before = std::move(learned);
  const nn::ImageTokens embeddings(s / "embeddings", tokens);
  const nn::PreNormEncoder encoder(s / "encoder" / "layer", c.num_hidden_layers, c.layer());
  const nn::LayerNorm norm(s / "layernorm", c.hidden_size, c.layer_norm_eps);
  return norm(encoder(embeddings(pixel_values)));
}

Value reconstruct_image(const Scope& root, const PretrainedConfig& config, Value patches) {
  const ViTConfig c(config);
  const std::int64_t stride = config.integer("encoder_stride");
  if (c.grid.height != c.grid.width || stride < 1 || stride > 1024) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: masked image modeling with {} by {} patches and encoder_stride {}, "
                                  "expected a square of patches and a stride from 1 to 1024",
                                  config.origin(), c.grid.height, c.grid.width, stride));
  }
  const nn::Conv2d decoder(root / "decoder" / 0, c.hidden_size, stride * stride * c.num_channels, {1, 1});
  const Value image = nn::tokens_to_image(patches, c.grid.height, c.grid.width);
  return nn::pixel_shuffle(decoder(image), stride);
}

namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  config.harmless({"encoder_stride"});  // of masked-im alone
  const Scope root = model.scope();
  const Value hidden = encode_vit(root.base_model("vit"), config, inputs["pixel_values"]);
  if (component.task == "feature-extraction") return {{"last_hidden_state", hidden}};
  if (component.task == "masked-im") {
    const Value patches = op::slice(hidden, 1, 1, hidden.dim(1));
    return {{"reconstruction", reconstruct_image(root, config, patches)}};
  }
  const ViTConfig c(config);
  const nn::Linear classifier(root / "classifier", c.hidden_size, c.num_labels);
  return {{"logits", classifier(nn::first_token(hidden))}};
}

}  // namespace

void register_vit(TasksManager& tasks) {
  tasks.register_model<ViTOnnxConfig>({.model_type = "vit",
                                       .tasks = {"feature-extraction", "image-classification", "masked-im"},
                                       .forward = forward,
                                       .ignorable_keys = {"*embeddings.mask_token", "*pooler.dense.*"},
                                       .key_names = vit_key_names()});
}

}  // namespace onnxport::models
