#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "models/vision/common/depth_pro.h"
#include "onnxport/error.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

// The original sets the image size of its encoders to that of a patch.
Dinov2Config encoder_config(const PretrainedConfig& c, const char* key) {
  const PretrainedConfig part = c.sub(key, "dinov2");
  if (part.model_type() != "dinov2") {
    throw ExportError(ErrorCode::unsupported, fmt::format("{}: {} is of type '{}', expected dinov2",
                                                          c.origin(), key, part.model_type()));
  }
  // Of the type as a backbone.
  part.harmless({"out_features", "out_indices", "stage_names", "apply_layernorm", "reshape_hidden_states",
                 "image_size"});
  return {part.settled("image_size", std::to_string(c.integer("patch_size"))), {}};
}

std::optional<Dinov2Config> fov_config(const PretrainedConfig& c) {
  if (c.flag("use_fov_model")) return encoder_config(c, "fov_model_config");
  c.harmless({"fov_model_config", "num_fov_head_layers"});
  return {};
}

std::vector<DepthProConfig::Scale> scales(const PretrainedConfig& c) {
  const std::vector<double> ratios = c.reals("scaled_images_ratios");
  const std::vector<double> overlaps = c.reals("scaled_images_overlap_ratios");
  const std::vector<std::int64_t> features = c.integers("scaled_images_feature_dims");
  const auto patch = static_cast<double>(c.integer("patch_size"));
  std::vector<DepthProConfig::Scale> scales;
  bool good = !ratios.empty() && overlaps.size() == ratios.size() && features.size() == ratios.size() &&
              std::is_sorted(ratios.begin(), ratios.end()) && patch >= 1 && patch <= 1 << 12;
  for (std::size_t i = 0; good && i < ratios.size(); ++i) {
    good = ratios[i] >= 1.0 / 64 && ratios[i] <= 1 && overlaps[i] >= 0 && patch * (1 - overlaps[i]) >= 1 &&
           features[i] >= 1;
    if (good)
      scales.push_back({ratios[i], static_cast<std::int64_t>(patch * (1 - overlaps[i])), features[i]});
  }
  if (good) return scales;
  throw ExportError(
      ErrorCode::bad_config,
      fmt::format(
          "{}: patch_size {}, scaled_images_ratios [{}], scaled_images_overlap_ratios [{}] and "
          "scaled_images_feature_dims [{}] do not fit; expected as many of each, with ratios from 1/64 "
          "to 1 in order, and overlaps from 0 to less than 1",
          c.origin(), patch, fmt::join(ratios, ", "), fmt::join(overlaps, ", "), fmt::join(features, ", ")));
}

std::vector<DepthProConfig::Hook> hooks(const PretrainedConfig& c, std::int64_t layers) {
  const std::vector<std::int64_t> ids = c.integers("intermediate_hook_ids");
  const std::vector<std::int64_t> features = c.integers("intermediate_feature_dims");
  std::vector<DepthProConfig::Hook> hooks;
  bool good = ids.size() == features.size() && ids.size() <= 16;
  for (std::size_t i = 0; good && i < ids.size(); ++i) {
    good = ids[i] >= 0 && ids[i] < layers && features[i] >= 1;
    hooks.push_back({ids[i], features[i]});
  }
  if (good) return hooks;
  throw ExportError(
      ErrorCode::bad_config,
      fmt::format("{}: intermediate_hook_ids [{}] and intermediate_feature_dims [{}], expected as "
                  "many of each, of the {} layers",
                  c.origin(), fmt::join(ids, ", "), fmt::join(features, ", "), layers));
}

// Patches of an image: [B, C, H, W] -> [patches * B, C, patch, patch], all images of a patch together.
Value split(Value image, std::int64_t patch, std::int64_t stride) {
  const std::int64_t side = *image.dim(2).constant();
  std::vector<Value> patches;
  for (std::int64_t y = 0; y + patch <= side; y += stride) {
    const Value row = op::slice(image, 2, y, y + patch);
    for (std::int64_t x = 0; x + patch <= side; x += stride)
      patches.push_back(op::slice(row, 3, x, x + patch));
  }
  return patches.size() == 1 ? patches.front() : op::concat(std::move(patches), 0);
}

// Patches [patches * B, C, side, side] side by side, without `padding` pixels where they meet. Patches that
// do not complete a square are dropped.
Value merge(Value patches, std::int64_t count, std::int64_t padding) {
  if (count == 1) return patches;
  const Dim batch = *patches.dim(0).exact_div(count);
  const std::int64_t side = *patches.dim(2).constant();
  const auto across = static_cast<std::int64_t>(std::sqrt(static_cast<double>(count)));
  padding = count < 4 ? 0 : std::min(side / 4, padding);
  std::vector<Value> rows;
  for (std::int64_t y = 0; y < across; ++y) {
    std::vector<Value> row;
    for (std::int64_t x = 0; x < across; ++x) {
      const std::int64_t i = y * across + x, end = across - 1;
      Value box = op::slice(patches, 0, batch * i, batch * (i + 1));
      box = op::slice(box, 2, y == 0 ? 0 : padding, y == end ? side : side - padding);
      row.push_back(op::slice(box, 3, x == 0 ? 0 : padding, x == end ? side : side - padding));
    }
    rows.push_back(across == 1 ? row.front() : op::concat(std::move(row), 3));
  }
  return across == 1 ? rows.front() : op::concat(std::move(rows), 2);
}

// Tokens behind a class token as an image.
Value tokens_behind_class(Value tokens) {
  const std::int64_t count = *tokens.dim(1).constant();
  const auto side = static_cast<std::int64_t>(std::sqrt(static_cast<double>(count)));
  return nn::tokens_to_image(op::slice(tokens, 1, count - side * side, count), side, side);
}

Value resized(Value image, std::int64_t rows, std::int64_t columns) {
  if (image.dim(2) == Dim(rows) && image.dim(3) == Dim(columns)) return image;
  return op::interpolate(image, {rows, columns}, "linear");
}

}  // namespace

DepthProConfig::DepthProConfig(const PretrainedConfig& c)
    : fusion_hidden_size(c.integer("fusion_hidden_size")),
      patch_size(c.integer("patch_size")),
      merge_padding_value(c.integer("merge_padding_value")),
      num_fov_head_layers(c.integer("num_fov_head_layers")),
      scales(models::scales(c)),
      image(encoder_config(c, "image_model_config")),
      patch(encoder_config(c, "patch_model_config")),
      fov(fov_config(c)) {
  hooks = models::hooks(c, patch.num_hidden_layers);
  unit.width = fusion_hidden_size;
  unit.batch_norm = c.flag("use_batch_norm_in_fusion_residual");
  unit.bias = c.flag("use_bias_in_fusion_residual", !unit.batch_norm);
  if (fusion_hidden_size < 2 || fusion_hidden_size > 1 << 20 || merge_padding_value < 0 ||
      num_fov_head_layers < 0 || num_fov_head_layers > 16 || fusion_hidden_size >> num_fov_head_layers == 0) {
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format("{}: fusion_hidden_size is {}, merge_padding_value {} and num_fov_head_layers "
                    "{}, expected at least 2, at least 0, and few enough for the size",
                    c.origin(), fusion_hidden_size, merge_padding_value, num_fov_head_layers));
  }
  image_size = static_cast<std::int64_t>(static_cast<double>(patch_size) / scales.front().ratio);
  while (side(scales.front()) < patch_size) ++image_size;
  std::int64_t count = 0;
  for (const Scale& scale : scales) count += patches(scale);
  if (constexpr std::int64_t most = 4096; count > most) {
    throw ExportError(ErrorCode::bad_config, fmt::format("{}: the image has {} patches, expected at most {}",
                                                         c.origin(), count, most));
  }
  base = image_size;
  while (base >= 2 * out_size()) base /= 2;
}

std::int64_t DepthProConfig::side(const Scale& scale) const {
  return static_cast<std::int64_t>(static_cast<double>(image_size) * scale.ratio);
}

std::int64_t DepthProConfig::patches(const Scale& scale) const {
  const std::int64_t across = (side(scale) - patch_size) / scale.stride + 1;
  return across * across;
}

std::vector<Value> depth_pro_tokens(const Scope& s, const Dinov2Config& c, Value images) {
  const Dinov2 encoder(s, c);
  std::vector<Value> states = encoder.states(resized(images, c.image.height, c.image.width));
  states.push_back(encoder.norm(states.back()));
  return states;
}

Value depth_pro_image(Value tokens, std::int64_t rows, std::int64_t columns) {
  return resized(tokens_behind_class(tokens), rows, columns);
}

std::vector<Value> depth_pro_features(const Scope& s, const DepthProConfig& c, Value pixel_values) {
  const Dim& batch = pixel_values.dim(0);
  const std::size_t scales = c.scales.size();
  // The patches of the largest scale come first.
  std::vector<Value> patches;
  for (std::size_t i = scales; i-- > 0;) {
    const std::int64_t side = c.side(c.scales[i]);
    patches.push_back(split(resized(pixel_values, side, side), c.patch_size, c.scales[i].stride));
  }
  const Value all = scales == 1 ? patches.front() : op::concat(std::move(patches), 0);
  const std::vector<Value> states = depth_pro_tokens(s / "patch_encoder" / "model", c.patch, all);
  const auto merged = [&](Value tokens, std::int64_t count, std::size_t scale) {
    const double ratio = c.scales[scale].ratio;
    const auto padding = static_cast<std::int64_t>(static_cast<double>(c.merge_padding_value) * (1 / ratio));
    const std::int64_t size = c.base << scale;
    return resized(merge(tokens_behind_class(tokens), count, padding), size, size);
  };

  std::vector<Value> features(1 + scales);
  std::int64_t begin = 0;
  for (std::size_t i = scales; i-- > 0;) {
    const std::int64_t count = c.patches(c.scales[i]);
    const Value own = op::slice(states.back(), 0, batch * begin, batch * (begin + count));
    features[1 + i] = merged(own, count, i);
    begin += count;
  }
  // Those of all scales, as if they were one image; the smaller ones are dropped.
  for (const DepthProConfig::Hook& hook : c.hooks)
    features.push_back(merged(states[static_cast<std::size_t>(hook.layer) + 1], begin, scales - 1));

  const Value image = depth_pro_tokens(s / "image_encoder" / "model", c.image, pixel_values).back();
  features[0] = depth_pro_image(image, c.base, c.base);
  return features;
}

}  // namespace onnxport::models
