#include <fmt/format.h>

#include "models/vision/common/vit.h"
#include "onnxport/error.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

// A limit for any extent, so that products of a few stay far from overflow.
constexpr std::int64_t kLargest = std::int64_t{1} << 20;

// One number for both directions, or height and width.
nn::KernelSize extents(const PretrainedConfig& c, const char* key) {
  const std::vector<std::int64_t> values = c.integers(key);
  const auto bad = [](std::int64_t value) { return value < 1 || value > kLargest; };
  if (values.empty() || values.size() > 2 || bad(values.front()) || bad(values.back())) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: {} is [{}], expected one or two numbers from 1 to {}", c.origin(), key,
                                  fmt::join(values, ", "), kLargest));
  }
  return {values.front(), values.back()};
}

}  // namespace

ViTEncoderConfig::ViTEncoderConfig(const PretrainedConfig& c)
    : hidden_size(c.integer("hidden_size")),
      num_hidden_layers(c.integer("num_hidden_layers")),
      num_attention_heads(c.integer("num_attention_heads")),
      intermediate_size(c.integer("intermediate_size", 0)),
      num_labels(c.num_labels()),
      layer_norm_eps(c.real("layer_norm_eps")),
      hidden_act(c.string("hidden_act")),
      qkv_bias(c.flag("qkv_bias", true)) {
  check_heads(c, hidden_size, num_attention_heads);
  if (hidden_size > kLargest) {
    throw ExportError(ErrorCode::bad_config, fmt::format("{}: hidden_size is {}, expected at most {}",
                                                         c.origin(), hidden_size, kLargest));
  }
}

ViTConfig::ViTConfig(const PretrainedConfig& c)
    : ViTEncoderConfig(c),
      num_channels(c.integer("num_channels")),
      image(extents(c, "image_size")),
      patch(extents(c, "patch_size")),
      grid{image.height / patch.height, image.width / patch.width} {
  // Settings of the pooler, which is not an output.
  c.harmless({"pooler_output_size", "pooler_act"});
  if (grid.height < 1 || grid.width < 1) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: no patch of {} by {} fits an image of {} by {}", c.origin(),
                                  patch.height, patch.width, image.height, image.width));
  }
}

nn::ImageTokensParameters ViTConfig::tokens() const {
  nn::ImageTokensParameters p;
  p.channels = num_channels;
  p.hidden_size = hidden_size;
  p.patch = patch;
  p.grid = grid;
  return p;
}

std::int64_t learned_tokens(const PretrainedConfig& c, const char* key) {
  const std::int64_t count = c.integer(key);
  if (count < 0 || count > kLargest) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: {} is {}, expected 0 to {}", c.origin(), key, count, kLargest));
  }
  return count;
}

KeyNames vit_key_names() {
  return {.newer = {{"encoder.layer.", "layers."},
                    {"attention.query", "q_proj"},
                    {"attention.key", "k_proj"},
                    {"attention.value", "v_proj"},
                    {"attention.output.dense", "attention.o_proj"},
                    {"intermediate.dense", "mlp.fc1"},
                    {"output.dense", "mlp.fc2"}}};
}

nn::EncoderLayerParameters ViTEncoderConfig::layer() const {
  nn::EncoderLayerParameters p;
  p.attention.hidden_size = hidden_size;
  p.attention.heads = num_attention_heads;
  p.attention.query = "attention.query";
  p.attention.key = "attention.key";
  p.attention.value = "attention.value";
  p.attention.bias = qkv_bias ? nn::QkvBias::all : nn::QkvBias::none;
  p.intermediate_size = intermediate_size;
  p.activation = hidden_act;
  p.eps = layer_norm_eps;
  p.attention_norm = "layernorm_before";
  p.output_norm = "layernorm_after";
  return p;
}

}  // namespace onnxport::models
