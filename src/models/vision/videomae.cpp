// VideoMAE. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/videomae/modeling_videomae.py
#include <fmt/format.h>

#include <cmath>

#include "models/vision/common/video.h"
#include "models/vision/common/vit.h"
#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/pre_norm_encoder.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/nn/video.h"

namespace onnxport::models {
namespace {

struct Config : ViTConfig {
  std::int64_t num_frames, tubelet_size;
  bool use_mean_pooling;

  explicit Config(const PretrainedConfig& c)
      : ViTConfig(c),
        num_frames(c.integer("num_frames")),
        tubelet_size(c.integer("tubelet_size")),
        use_mean_pooling(c.flag("use_mean_pooling")) {
    // Of the decoder for pre-training.
    c.harmless({"decoder_num_attention_heads", "decoder_hidden_size", "decoder_num_hidden_layers",
                "decoder_intermediate_size", "norm_pix_loss"});
    if (c.given("qv_bias")) qkv_bias = c.flag("qv_bias");  // the name in transformers 5
    constexpr std::int64_t most = 1 << 16;
    if (tubelet_size < 1 || num_frames < tubelet_size || num_frames > most || tokens() > most) {
      throw ExportError(ErrorCode::bad_config,
                        fmt::format("{}: num_frames is {} and tubelet_size {}, expected at least one tubelet "
                                    "and at most {} patches",
                                    c.origin(), num_frames, tubelet_size, most));
    }
  }

  std::int64_t tokens() const { return num_frames / tubelet_size * grid.height * grid.width; }

  nn::EncoderLayerParameters layer() const {
    nn::EncoderLayerParameters p = ViTConfig::layer();
    if (qkv_bias) p.attention.bias = nn::QkvBias::query_and_value;
    return p;
  }
};

// float32 [1, positions, width]: sines and cosines by turns.
Weight position_table(std::int64_t positions, std::int64_t width) {
  std::vector<double> values;
  for (std::int64_t place = 0; place < positions; ++place) {
    for (std::int64_t i = 0; i < width; ++i) {
      const std::int64_t even = i - i % 2;
      const double power = static_cast<double>(even) / static_cast<double>(width);
      const double angle = static_cast<double>(place) / std::pow(10000.0, power);
      values.push_back(i % 2 == 0 ? std::sin(angle) : std::cos(angle));
    }
  }
  return Weight::from_doubles(DType::f32, {1, positions, width}, values);
}

Value encode(const Scope& s, const Config& c, Value video) {
  const nn::VideoPatches patches(
      s / "embeddings" / "patch_embeddings" / "projection",
      {.channels = c.num_channels, .hidden_size = c.hidden_size, .frames = c.tubelet_size, .patch = c.patch});
  const nn::PreNormEncoder encoder(s / "encoder" / "layer", c.num_hidden_layers, c.layer());
  const Value tokens = patches(video);
  const Value placed = op::add(tokens, tokens.graph().weight(position_table(c.tokens(), c.hidden_size)));
  Value hidden = encoder(placed);
  if (c.use_mean_pooling) return hidden;  // the norm comes after the mean
  return nn::LayerNorm(s / "layernorm", c.hidden_size, c.layer_norm_eps)(hidden);
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const Value hidden = encode(root.base_model("videomae"), c, inputs["pixel_values"]);
  if (component.task == "feature-extraction") return {{"last_hidden_state", hidden}};
  constexpr double kEps = 1e-5;
  const Value pooled = c.use_mean_pooling
                           ? nn::LayerNorm(root / "fc_norm", c.hidden_size, kEps)(op::mean(hidden, 1))
                           : nn::first_token(hidden);
  return {{"logits", nn::Linear(root / "classifier", c.hidden_size, c.num_labels)(pooled)}};
}

}  // namespace

void register_videomae(TasksManager& tasks) {
  tasks.register_model<VideoOnnxConfig>(
      {.model_type = "videomae",
       .tasks = {"feature-extraction", "video-classification"},
       .forward = forward,
       .ignorable_keys = {"encoder_to_decoder.*", "decoder.*", "mask_token"},
       // The names of transformers 4. Version 5 has those that the module asks for.
       .key_names = {.newer = {{"attention.attention.query.bias", "attention.attention.q_bias"},
                               {"attention.attention.value.bias", "attention.attention.v_bias"}}}});
}

}  // namespace onnxport::models
