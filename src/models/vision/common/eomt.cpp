#include "models/vision/common/eomt.h"

#include <fmt/format.h>

#include <cmath>
#include <vector>

#include "onnxport/error.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/channel_norm.h"
#include "onnxport/nn/conv.h"

namespace onnxport::models {
namespace {

struct Prediction {
  Value classes, masks;
};

struct Head {
  const Scope& root;
  const PretrainedConfig& config;
  const EomtConfig& c;

  Value embed(Value queries) const {
    const Scope s = root / "mask_head";
    const ModulePath at(queries, s.path());
    const nn::Activation activation(c.activation);
    const auto layer = [&](const char* name) { return nn::Linear(s / name, c.hidden_size, c.hidden_size); };
    Value x = activation(layer("fc1")(queries));
    x = activation(layer("fc2")(x));
    return layer("fc3")(x);
  }

  Value enlarge(Value image) const {
    const nn::Activation activation(c.activation);
    const std::int64_t width = c.hidden_size;
    for (std::int64_t i = 0; i < c.num_upscale_blocks; ++i) {
      const Scope s = root / "upscale_block" / "block" / i;
      const ModulePath at(image, s.path());
      const nn::ConvTranspose2d twice(s / "conv1", width, width, {2, 2}, true, {.stride = {2, 2}});
      const nn::Conv2d around(s / "conv2", width, width, {3, 3}, false, {.padding = {1, 1}, .groups = width});
      const nn::ChannelNorm norm(s / "layernorm2d", width, 1e-6);
      image = norm(around(activation(twice(image))));
    }
    return image;
  }

  // x [B, queries + learned + patches, hidden_size]
  Prediction operator()(Value x) const {
    const nn::LayerNorm norm(root / "layernorm", c.hidden_size, c.eps);
    const Value normed = norm(x);
    const Value queries = op::slice(normed, 1, 0, c.num_queries);
    const Value patches = op::slice(normed, 1, c.num_queries + c.learned, x.dim(1));
    const Value image = nn::tokens_to_image(patches, c.grid.height, c.grid.width);
    const Value embeddings = embed(queries);
    const Value masks = masks_of(embeddings, enlarge(image));
    return {query_classes(root / "class_predictor", config, c.hidden_size, queries), masks};
  }
};

// Queries see the patches inside of their masks, and all other tokens; these see all.
op::AttentionMask inside(const EomtConfig& c, Value masks, const Dim& tokens) {
  const Value patches = op::interpolate(masks, {c.grid.height, c.grid.width}, "linear");
  const Value logits = op::flatten(patches, 2, 3);
  const Value all = op::pad(logits, {0, 0, c.num_queries + c.learned}, {0, tokens - c.num_queries, 0}, 1);
  return {.visible = op::unsqueeze(op::gt(all, 0.0), 1)};
}

// Which of the last layers make a mask from the results of the layers before them.
std::vector<bool> masked_blocks(const Scope& root, const PretrainedConfig& config, const EomtConfig& c) {
  const Weight stored = root.try_weight("attn_mask_probs", {c.num_blocks});
  if (!stored) return std::vector<bool>(static_cast<std::size_t>(c.num_blocks), true);
  std::vector<bool> masked;
  constexpr double kNever = 0x1p-24;  // the original's random numbers are 0 or at least this
  for (const double probability : stored.to_doubles()) {
    if (probability >= kNever && probability < 1) {
      throw ExportError(ErrorCode::unsupported,
                        fmt::format("{}: attn_mask_probs of the checkpoint has {}, with which the original "
                                    "masks queries at random; expected 0 or 1",
                                    config.origin(), probability));
    }
    masked.push_back(probability >= kNever);
  }
  return masked;
}

}  // namespace

EomtConfig::EomtConfig(const PretrainedConfig& config, const ViTConfig& vit, std::int64_t learned_tokens)
    : hidden_size(vit.hidden_size),
      layers(vit.num_hidden_layers),
      learned(learned_tokens),
      num_queries(config.integer("num_queries")),
      num_blocks(config.integer("num_blocks")),
      num_upscale_blocks(config.integer("num_upscale_blocks")),
      grid(vit.grid),
      activation(config.string("hidden_act")),
      eps(vit.layer_norm_eps) {
  // Of training.
  config.harmless({"no_object_weight", "class_weight", "mask_weight", "dice_weight", "train_num_points",
                   "oversample_ratio", "importance_sample_ratio", "drop_path_rate"});
  constexpr std::int64_t kMostBlocks = 8;  // an image becomes 256 times as large in each direction
  const bool square = grid.height == grid.width && vit.image.height == vit.image.width;
  if (num_queries < 1 || num_blocks < 1 || num_blocks > layers || num_upscale_blocks < 0 ||
      num_upscale_blocks > kMostBlocks || !square) {
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format(
            "{}: num_queries {}, num_blocks {} of {} layers, num_upscale_blocks {}, images of {} x {}; "
            "expected a query, 1 to {} blocks, 0 to {} upscale blocks, and square images",
            config.origin(), num_queries, num_blocks, layers, num_upscale_blocks, vit.image.height,
            vit.image.width, layers, kMostBlocks));
  }
}

NamedValues segment_eomt(const Scope& root, const PretrainedConfig& config, const EomtConfig& c, Value tokens,
                         const EomtLayer& layer) {
  const Head head{root, config, c};
  const std::vector<bool> masked = masked_blocks(root, config, c);
  const Weight learned = (root / "query").weight("weight", {c.num_queries, c.hidden_size});
  Value x = tokens;
  op::AttentionMask mask;
  std::int64_t queries = 0;
  for (std::int64_t i = 0; i < c.layers; ++i) {
    const std::int64_t block = i - (c.layers - c.num_blocks);
    if (block == 0) {
      const Value all = op::expand(x.graph().weight(learned.reshape({1, c.num_queries, c.hidden_size})),
                                   {x.dim(0), c.num_queries, c.hidden_size});
      x = op::concat({all, x}, 1);
      queries = c.num_queries;
    }
    // A mask holds until there is another.
    if (block >= 0 && masked[static_cast<std::size_t>(block)]) mask = inside(c, head(x).masks, x.dim(1));
    x = layer(i, x, queries, mask);
  }
  const Prediction last = head(x);
  return {{"class_queries_logits", last.classes}, {"masks_queries_logits", last.masks}};
}

}  // namespace onnxport::models
