#include "models/vision/common/sam_mask_decoder.h"

#include <fmt/format.h>

#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

constexpr double kUpscaleEps = 1e-6;  // not configurable
constexpr double kFinalEps = 1e-5;

// Without the feed-forward, the names of keys and cross_rate.
SamDecoderConfig read(const PretrainedConfig& c) {
  return {.hidden_size = c.integer("hidden_size"),
          .heads = c.integer("num_attention_heads"),
          .layers = c.integer("num_hidden_layers"),
          .mlp_dim = c.integer("mlp_dim"),
          .masks = c.integer("num_multimask_outputs"),
          .iou_depth = c.integer("iou_head_depth"),
          .iou_width = c.integer("iou_head_hidden_dim"),
          .cross_rate = 2,
          .final_rate = c.integer("attention_downsample_rate"),
          .mlp = {}};
}

void check(const PretrainedConfig& origin, const SamDecoderConfig& c) {
  const auto divides = [&](std::int64_t rate) {
    return rate > 0 && rate <= c.hidden_size && (c.hidden_size / rate) % c.heads == 0;
  };
  const bool fits = c.hidden_size >= 8 && c.heads > 0 && c.masks > 0 && c.layers > 0;
  if (fits && divides(c.final_rate) && divides(c.cross_rate)) return;
  throw ExportError(
      ErrorCode::bad_config,
      fmt::format("{}: mask_decoder_config has hidden_size {}, num_attention_heads {}, num_hidden_layers {}, "
                  "attention_downsample_rate {} and num_multimask_outputs {}, expected a mask, a layer, and "
                  "heads that divide the hidden size, also divided by the rate",
                  origin.origin(), c.hidden_size, c.heads, c.layers, c.final_rate, c.masks));
}

// A transposed convolution whose kernel equals its stride, on pixels stored as rows. Nothing overlaps, so it
// is a linear layer. [..., in] -> [..., 4 * out], the four in the order (row, column).
nn::Linear double_size(const Scope& s, std::int64_t in, std::int64_t out) {
  const Weight weight = s.weight("weight", {in, out, 2, 2});
  const Weight bias = s.weight("bias", {out});
  const Weight biases[] = {bias, bias, bias, bias};
  return {s.path(), weight.permute({2, 3, 1, 0}).reshape({4 * out, in}), Weight::concat(biases, 0)};
}

Value in_rows(Value image) { return op::unsqueeze(nn::image_to_tokens(image), 1); }

}  // namespace

SamDecoderConfig sam_decoder_config(const PretrainedConfig& c) {
  SamDecoderConfig d = read(c);
  d.eps = c.real("layer_norm_eps");
  // A layer does not look at attention_downsample_rate.
  d.mlp = [activation = c.string("hidden_act")](const Scope& s, const SamDecoderConfig& of, Value x) {
    const nn::Linear up(s / "lin1", of.hidden_size, of.mlp_dim), down(s / "lin2", of.mlp_dim, of.hidden_size);
    return nn::Mlp(s.path(), up, down, activation)(x);
  };
  check(c, d);
  return d;
}

SamDecoderConfig sam2_decoder_config(const PretrainedConfig& c) {
  // Nothing has this activation; the others choose one mask where only one is returned.
  c.harmless({"hidden_act", "dynamic_multimask_via_stability", "dynamic_multimask_stability_delta",
              "dynamic_multimask_stability_thresh"});
  SamDecoderConfig d = read(c);
  d.cross_rate = d.final_rate;
  d.output = "o_proj";
  // As deep as the transformer.
  d.mlp = [](const Scope& s, const SamDecoderConfig& of, Value x) {
    return sam_feed_forward(s, of.hidden_size, of.mlp_dim, of.hidden_size, of.layers, x);
  };
  check(c, d);
  return d;
}

Value sam_feed_forward(const Scope& s, std::int64_t in, std::int64_t inner, std::int64_t out,
                       std::int64_t depth, Value x) {
  const ModulePath at(x, s.path());
  x = op::relu(nn::Linear(s / "proj_in", in, inner)(x));
  for (std::int64_t i = 0; i < depth - 2; ++i) x = op::relu(nn::Linear(s / "layers" / i, inner, inner)(x));
  return nn::Linear(s / "proj_out", inner, out)(x);
}

// Attention of [B, points or 1, N, C] to [B, points or 1, M, C], with the channels divided by `rate`. Values
// that are equal for all prompts of an image are projected once.
Value SamMaskDecoder::attend(const Scope& s, std::int64_t rate, Value query, Value key, Value value) const {
  const ModulePath at(query, s.path());
  const std::int64_t width = c_.hidden_size / rate;
  const auto project = [&](const char* name, Value x) {
    x = nn::Linear(s / name, c_.hidden_size, width)(x);
    x = op::expand(x, {x.dim(0), points_, x.dim(2), width});
    return op::reshape(x, {x.dim(0) * points_, x.dim(2), width});
  };
  const Value queries = project("q_proj", query);
  const Value keys = project("k_proj", key);
  const Value values = project("v_proj", value);
  const Value context =
      op::attention({.query = queries, .key = keys, .value = values}, c_.heads, c_.heads).output;
  const Value merged = op::reshape(context, {query.dim(0), points_, query.dim(2), width});
  return nn::Linear(s / c_.output, width, c_.hidden_size)(merged);
}

// Tokens attend to themselves and to the pixels, then pixels attend to the tokens.
SamMaskDecoder::Streams SamMaskDecoder::layer(const Scope& s, Streams x, const Streams& places,
                                              bool first) const {
  const ModulePath at(x.tokens, s.path());
  const auto norm = [&](const char* name, Value y) {
    return nn::LayerNorm(s / name, c_.hidden_size, c_.eps)(y);
  };
  if (first) {
    x.tokens = attend(s / "self_attn", 1, x.tokens, x.tokens, x.tokens);
  } else {
    const Value placed = op::add(x.tokens, places.tokens);
    x.tokens = op::add(x.tokens, attend(s / "self_attn", 1, placed, placed, x.tokens));
  }
  x.tokens = norm("layer_norm1", x.tokens);

  Value tokens = op::add(x.tokens, places.tokens);
  const Value pixels = op::add(x.pixels, places.pixels);
  const Value seen = attend(s / "cross_attn_token_to_image", c_.cross_rate, tokens, pixels, x.pixels);
  x.tokens = norm("layer_norm2", op::add(x.tokens, seen));
  const Value made = c_.mlp(s / "mlp", c_, x.tokens);
  x.tokens = norm("layer_norm3", op::add(x.tokens, made));

  tokens = op::add(x.tokens, places.tokens);
  const Value back = attend(s / "cross_attn_image_to_token", c_.cross_rate, pixels, tokens, x.tokens);
  x.pixels = norm("layer_norm4", op::add(x.pixels, back));
  return x;
}

SamMaskDecoder::Streams SamMaskDecoder::transform(const OwnTokens& own, Value prompts) const {
  const ModulePath at(prompts, s_.path());
  const std::int64_t width = c_.hidden_size;
  std::vector<Weight> learned;
  for (const auto& [name, count] : own) learned.push_back((s_ / name).weight("weight", {count, width}));
  const Weight all = Weight::concat(learned, 0);
  const Value tokens =
      op::expand(prompts.graph().weight(all), {prompts.dim(0), points_, all.shape()[0], width});
  Streams x = {op::concat({tokens, prompts}, 2), in_rows(image_)};
  const Streams places = {x.tokens, in_rows(positions_)};
  const Scope s = s_ / "transformer";
  for (std::int64_t i = 0; i < c_.layers; ++i) x = layer(s / "layers" / i, x, places, i == 0);

  const Value placed = op::add(x.tokens, places.tokens);
  const Value pixels = op::add(x.pixels, places.pixels);
  const Value seen = attend(s / "final_attn_token_to_image", c_.final_rate, placed, pixels, x.pixels);
  const Value sum = op::add(x.tokens, seen);
  return {nn::LayerNorm(s / "layer_norm_final_attn", width, kFinalEps)(sum), x.pixels};
}

// The pixels of an image that is `size` times as large, in the order of to_images(): [B, 1, rows * columns,
// 4, size² / 4 * channels].
Value SamMaskDecoder::in_blocks(Value image, std::int64_t size) const {
  const Dim& batch = image.dim(0);
  const Dim& rows = image_.dim(2);
  const Dim& columns = image_.dim(3);
  const std::int64_t channels = *image.dim(1).constant(), half = size / 2;
  const Value apart = op::reshape(image, {batch, channels, rows, 2, half, columns, 2, half});
  const Value sorted = op::permute(apart, {0, 2, 5, 3, 6, 4, 7, 1});
  return op::reshape(sorted, {batch, 1, rows * columns, 4, half * half * channels});
}

Value SamMaskDecoder::upscale(Value pixels, const Details& details) const {
  const ModulePath at(pixels, s_.path());
  const std::int64_t width = c_.hidden_size, outer = width / 4, inner = width / 8;
  const Dim& batch = pixels.dim(0);
  const Dim& points = pixels.dim(1);
  const Dim& count = pixels.dim(2);
  const nn::Linear up1 = double_size(s_ / "upscale_conv1", width, outer);
  const nn::Linear up2 = double_size(s_ / "upscale_conv2", outer, inner);
  Value x = op::reshape(up1(pixels), {batch, points, count, 4, outer});
  if (details.twice) x = op::add(x, in_blocks(details.twice, 2));
  x = op::gelu(nn::LayerNorm(s_ / "upscale_layer_norm", outer, kUpscaleEps)(x));
  x = up2(x);
  if (details.four_times) x = op::add(x, in_blocks(details.four_times, 4));
  return op::reshape(op::gelu(x), {batch, points, count * 16, inner});
}

Value SamMaskDecoder::to_images(Value pixels) const {
  const Dim batch = pixels.dim(0) * pixels.dim(1);
  const Dim& count = pixels.dim(3);
  const Dim& rows = image_.dim(2);
  const Dim& columns = image_.dim(3);
  const Value apart = op::reshape(pixels, {batch, rows, columns, 2, 2, 2, 2, count});
  const Value sorted = op::permute(apart, {0, 7, 1, 3, 5, 2, 4, 6});
  return op::reshape(sorted, {batch, count, rows * 4, columns * 4});
}

// Tokens of the masks [B, points, masks, C] -> [B, points, C / 8, masks]. Each mask has its own MLP. The
// first MLP belongs to a mask that is not returned.
Value SamMaskDecoder::hypernetworks(Value tokens) const {
  Graph& graph = tokens.graph();
  const std::int64_t width = c_.hidden_size;
  const Scope s = s_ / "output_hypernetworks_mlps";
  s.ignore("0");
  const auto all = [&](const std::string& name, Value x, std::int64_t out) {
    std::vector<Weight> weights, biases;
    for (std::int64_t i = 1; i <= c_.masks; ++i) {
      const Scope one = s / i / name;
      weights.push_back(one.weight("weight", {out, width}).permute({1, 0}).reshape({1, width, out}));
      biases.push_back(one.weight("bias", {out}).reshape({1, 1, out}));
    }
    const Value product = op::matmul(x, graph.weight(Weight::concat(weights, 0)));
    return op::add(product, graph.weight(Weight::concat(biases, 0)));
  };
  const Value apart = op::permute(tokens, {2, 0, 1, 3});
  Value x = op::reshape(apart, {c_.masks, tokens.dim(0) * points_, width});
  x = op::relu(all("proj_in", x, width));
  x = op::relu(all("layers.0", x, width));
  const Value rows = op::permute(all("proj_out", x, width / 8), {1, 2, 0});
  return op::reshape(rows, {tokens.dim(0), points_, width / 8, c_.masks});
}

Value SamMaskDecoder::masks(Value tokens, Value upscaled) const {
  const ModulePath at(tokens, s_.path());
  const Value images = to_images(op::matmul(upscaled, hypernetworks(tokens)));
  return op::reshape(images, {tokens.dim(0), points_, c_.masks, images.dim(2), images.dim(3)});
}

Value SamMaskDecoder::iou(Value token) const {
  const Scope s = s_ / "iou_prediction_head";
  const Value all = sam_feed_forward(s, c_.hidden_size, c_.iou_width, c_.masks + 1, c_.iou_depth, token);
  return op::slice(all, -1, 1, c_.masks + 1);
}

}  // namespace onnxport::models
