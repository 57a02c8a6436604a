#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "models/vision/common/rt_detr.h"
#include "onnxport/error.h"

namespace onnxport::models {
namespace {

std::vector<std::int64_t> anchor_size(const PretrainedConfig& c) {
  std::vector<std::int64_t> size;
  if (c.has("anchor_image_size")) size = c.integers("anchor_image_size");
  if (size.size() == 1) size.push_back(size.front());
  if (size.size() > 2 || std::any_of(size.begin(), size.end(), [](auto n) { return n < 1; })) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: anchor_image_size [{}], expected height and width", c.origin(),
                                  fmt::join(size, ", ")));
  }
  return size;
}

void check(const PretrainedConfig& config, const RtDetrConfig& c) {
  check_multiple(config, "d_model", c.d_model, "decoder_attention_heads", c.decoder_heads);
  check_multiple(config, "encoder_hidden_dim", c.encoder_hidden_dim, "encoder_attention_heads",
                 c.encoder_heads);
  const auto maps = static_cast<std::int64_t>(c.encoder_in_channels.size());
  const auto known = [&](std::int64_t i) { return i >= 0 && i < maps; };
  const bool lists = maps > 0 && c.levels == maps &&
                     c.decoder_in_channels.size() == c.encoder_in_channels.size() &&
                     std::all_of(c.encode_proj_layers.begin(), c.encode_proj_layers.end(), known);
  const bool strides =
      c.feat_strides.size() == c.encoder_in_channels.size() &&
      std::all_of(c.feat_strides.begin(), c.feat_strides.end(), [](auto n) { return n > 0; });
  if (!lists || !strides || c.num_queries < 1 || c.decoder_layers < 1 || c.encoder_hidden_dim % 4 != 0 ||
      !(c.hidden_expansion > 0) || c.hidden_expansion > 1024 || !(c.temperature > 0)) {
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format("{}: encoder_in_channels [{}], decoder_in_channels [{}], num_feature_levels {}, "
                    "feat_strides [{}], encode_proj_layers [{}], num_queries {}, decoder_layers {}, "
                    "encoder_hidden_dim {}, hidden_expansion {}, positional_encoding_temperature {}: "
                    "expected equally "
                    "many maps, numbers of them, positive numbers, and a multiple of 4",
                    config.origin(), fmt::join(c.encoder_in_channels, ", "),
                    fmt::join(c.decoder_in_channels, ", "), c.levels, fmt::join(c.feat_strides, ", "),
                    fmt::join(c.encode_proj_layers, ", "), c.num_queries, c.decoder_layers,
                    c.encoder_hidden_dim, c.hidden_expansion, c.temperature));
  }
  for (const char* key : {"learn_initial_query", "eval_size"}) {
    const bool set = std::string_view(key) == "eval_size" ? config.has(key) : config.flag(key);
    if (!set) continue;
    throw ExportError(
        ErrorCode::unsupported,
        fmt::format("{}: {} is set; the original has no forward pass for it", config.origin(), key));
  }
}

}  // namespace

RtDetrConfig::RtDetrConfig(const PretrainedConfig& c)
    : d_model(c.integer("d_model")),
      num_queries(c.integer("num_queries")),
      num_labels(c.num_labels()),
      encoder_hidden_dim(c.integer("encoder_hidden_dim")),
      encoder_layers(c.integer("encoder_layers")),
      encoder_ffn_dim(c.integer("encoder_ffn_dim")),
      encoder_heads(c.integer("encoder_attention_heads")),
      decoder_layers(c.integer("decoder_layers")),
      decoder_ffn_dim(c.integer("decoder_ffn_dim")),
      decoder_heads(c.integer("decoder_attention_heads")),
      levels(c.integer("num_feature_levels")),
      encoder_in_channels(c.integers("encoder_in_channels")),
      encode_proj_layers(c.integers("encode_proj_layers")),
      decoder_in_channels(c.integers("decoder_in_channels")),
      feat_strides(c.integers("feat_strides")),
      anchor_image_size(anchor_size(c)),
      activation(c.string("activation_function", "")),
      encoder_activation(c.string("encoder_activation_function")),
      decoder_activation(c.string("decoder_activation_function")),
      temperature(c.real("positional_encoding_temperature")),
      layer_norm_eps(c.real("layer_norm_eps")),
      batch_norm_eps(c.real("batch_norm_eps")),
      hidden_expansion(c.real("hidden_expansion")),
      encoder_norms(c.flag("normalize_before") ? NormPlace::before : NormPlace::behind),
      by_column(c.transformers_major() < 5) {
  // For training; frozen batch norms compute the same; the heads of the layers are stored apart either way.
  c.harmless({"num_denoising", "label_noise_ratio", "box_noise_scale", "auxiliary_loss",
              "freeze_backbone_batch_norms", "with_box_refine", "disable_custom_kernels",
              "use_pretrained_backbone", "is_encoder_decoder", "tie_word_embeddings"});
  check(c, *this);
}

NormalizedConfig RtDetrOnnxConfig::normalized_config() const {
  return DetectedBoxesOnnxConfig::normalized_config().with_args({{"image_size", "anchor_image_size"}});
}

bool RtDetrOnnxConfig::takes_any_image_size() const {
  return !config().unaccounted().has("anchor_image_size");
}

// There must be as many pixels in the feature maps as queries.
ImageSize RtDetrOnnxConfig::smallest_image() const {
  const PretrainedConfig c = config().unaccounted();
  std::int64_t side = 32;
  const auto pixels = [&] {
    return side / 8 * (side / 8) + side / 16 * (side / 16) + side / 32 * (side / 32);
  };
  while (pixels() < c.integer("num_queries") && side < 4096) side += 32;
  return {side, side};
}

nn::PlaceReading place_reading(const PretrainedConfig& config) {
  const std::string method = config.string("decoder_method");
  if (method == "discrete") return nn::PlaceReading::nearest;
  if (method == "default") return nn::PlaceReading::bilinear;
  throw ExportError(
      ErrorCode::bad_config,
      fmt::format("{}: decoder_method '{}', expected default or discrete", config.origin(), method));
}

KeyNames rt_detr_names(const std::string& first, const std::string& second) {
  return {.newer = {{"out_proj", "o_proj"},
                    {"layers.*.fc1", "layers.*." + first},
                    {"layers.*.fc2", "layers.*." + second},
                    {"encoder.encoder.*.layers", "encoder.aifi.*.layers"}}};
}

}  // namespace onnxport::models
