// Swin2SR: super resolution with layers of Swin Transformer V2. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/swin2sr/modeling_swin2sr.py
#include <fmt/format.h>

#include "models/common/definition.h"
#include "models/vision/common/stages.h"
#include "models/vision/common/swinv2.h"
#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/sound.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

struct Config : Swinv2Config {
  std::int64_t num_channels_out, upscale;
  double img_range;
  std::string resi_connection, upsampler;

  explicit Config(const PretrainedConfig& c)
      : Swinv2Config(c),
        num_channels_out(c.integer("num_channels_out", num_channels)),
        upscale(moderate(c, "upscale")),
        img_range(c.real("img_range")),
        resi_connection(c.string("resi_connection")),
        upsampler(c.string("upsampler", "")) {
    check_stage_heads(c, "embed_dim", std::vector<std::int64_t>(depths.size(), embed_dim), "num_heads",
                      num_heads);
    const auto bad = [&](const std::string& what) {
      throw ExportError(ErrorCode::bad_config, fmt::format("{}: {}", c.origin(), what));
    };
    // The original puts tokens back as pixels.
    if (patch_size[0] != 1 || patch_size[1] != 1)
      bad(fmt::format("patch_size is [{}], expected 1", fmt::join(patch_size, ", ")));
    if (resi_connection != "1conv" && resi_connection != "3conv")
      bad(fmt::format("resi_connection is '{}', expected 1conv or 3conv", resi_connection));
    if (img_range == 0) bad("img_range is 0, expected another number");
    const bool power = (upscale & (upscale - 1)) == 0;
    const bool known = upsampler == "nearest+conv" ? upscale == 4
                       : upsampler == "pixelshuffle" || upsampler == "pixelshuffle_aux"
                           ? power || upscale == 3
                           : upscale <= 1024;
    if (!known) bad(fmt::format("upscale is {}, which upsampler '{}' does not know", upscale, upsampler));
  }

  bool has_mean() const { return num_channels == 3 && num_channels_out == 3; }
};

/// The original puts the tokens of a padded image back into one of the size before padding, so it takes only
/// images that its windows divide.
class Swin2srOnnxConfig : public VisionOnnxConfig {
 public:
  using VisionOnnxConfig::VisionOnnxConfig;
  std::int64_t image_step() const override { return Config(config().unaccounted()).window_size; }
  ImageSize smallest_image() const override { return {image_step(), image_step()}; }
  AxesByName outputs() const override {
    if (task() != "image-to-image") return VisionOnnxConfig::outputs();
    const std::int64_t factor = Config(config().unaccounted()).upscale;
    // As Optimum writes them.
    return {{"reconstruction",
             {{0, "batch_size"},
              {1, "num_channels"},
              {2, fmt::format("height  * {}", factor)},
              {3, fmt::format("width * {}", factor)}}}};
  }
};

constexpr std::int64_t kFeatures = 64;  // channels of upsamplers

nn::Conv2d conv3(const Scope& s, std::int64_t in, std::int64_t out) {
  return {s, in, out, {3, 3}, true, {.padding = {1, 1}}};
}

Value mean_color(Graph& graph) {
  const std::vector<double> values = {0.4488, 0.4371, 0.4040};
  return graph.weight(Weight::from_doubles(DType::f32, {1, 3, 1, 1}, values));
}

// Layers, then a convolution, around which x is added. x [rows of the grid, embed_dim]
Value run_stage(Value x, const Scope& s, const Config& c, std::size_t i, const nn::TokenGrid& grid) {
  const Value tokens = run_swinv2_layers(
      x, s / "layers", c, {.width = c.embed_dim, .heads = c.num_heads[i], .grid = c.grid}, c.depths[i], grid);
  Value image = nn::rows_to_image(tokens, grid);
  if (c.resi_connection == "1conv") {
    image = conv3(s / "conv", c.embed_dim, c.embed_dim)(image);
  } else {
    constexpr double kSlope = 0.2;
    const std::int64_t narrow = c.embed_dim / 4;
    image = nn::leaky_relu(conv3(s / "conv" / 0, c.embed_dim, narrow)(image), kSlope);
    image = nn::leaky_relu(nn::Conv2d(s / "conv" / 2, narrow, narrow, {1, 1})(image), kSlope);
    image = conv3(s / "conv" / 4, narrow, c.embed_dim)(image);
  }
  const nn::Conv2d patches(s / "patch_embed" / "projection", c.embed_dim, c.embed_dim, {1, 1});
  return op::add(x, nn::image_to_rows(patches(image)));
}

// [B, num_channels, H, W] -> [B, embed_dim, H, W]
Value encode(Value image, const Scope& s, const Config& c) {
  if (c.has_mean()) image = op::sub(image, mean_color(image.graph()));
  if (c.img_range != 1) image = op::mul(image, c.img_range);
  const Value features = conv3(s / "first_convolution", c.num_channels, c.embed_dim)(image);
  const Scope embeddings = s / "embeddings" / "patch_embeddings";
  const nn::Conv2d projection(embeddings / "projection", c.embed_dim, c.embed_dim, {1, 1});
  constexpr double kEps = 1e-5;
  const nn::LayerNorm norm(embeddings / "layernorm", c.embed_dim, kEps);
  const nn::TokenGrid grid = nn::grid_of(features);
  Value x = norm(nn::image_to_rows(projection(features)));
  for (std::size_t i = 0; i < c.depths.size(); ++i)
    x = run_stage(x, s / "encoder" / "stages" / static_cast<std::int64_t>(i), c, i, grid);
  const Value normed = nn::LayerNorm(s / "layernorm", c.embed_dim, c.layer_norm_eps)(x);
  const nn::Conv2d after(s / "conv_after_body", c.embed_dim, c.embed_dim, {3, 3}, true, {.padding = {1, 1}});
  return op::add(after(nn::rows_to_image(normed, grid)), features);
}

// Convolutions and shuffles of pixels: [B, kFeatures, H, W] -> [B, kFeatures, H * upscale, W * upscale]
Value shuffle_up(Value x, const Scope& s, const Config& c) {
  if (c.upscale == 3) return nn::pixel_shuffle(conv3(s / "convolution", kFeatures, 9 * kFeatures)(x), 3);
  for (std::int64_t i = 0; std::int64_t{1} << i < c.upscale; ++i)
    x = nn::pixel_shuffle(conv3(s / fmt::format("convolution_{}", i), kFeatures, 4 * kFeatures)(x), 2);
  return x;
}

Value nearest_up(Value x, const Scope& convolution) {
  constexpr double kSlope = 0.2;
  const Value larger = op::interpolate(x, {x.dim(2) * 2, x.dim(3) * 2}, "nearest");
  return nn::leaky_relu(conv3(convolution, kFeatures, kFeatures)(larger), kSlope);
}

// Features and the input -> an image before its range is restored.
Value upsample(Value x, Value pixel_values, const Scope& root, const Config& c) {
  const Scope s = root / "upsample";
  constexpr double kSlope = 0.01;
  if (c.upsampler == "pixelshuffledirect") {
    const std::int64_t out = c.upscale * c.upscale * c.num_channels_out;
    return nn::pixel_shuffle(conv3(s / "conv", c.embed_dim, out)(x), c.upscale);
  }
  const bool auxiliary = c.upsampler == "pixelshuffle_aux", nearest = c.upsampler == "nearest+conv";
  if (!auxiliary && !nearest && c.upsampler != "pixelshuffle")
    return op::add(conv3(root / "final_convolution", c.embed_dim, c.num_channels_out)(x), pixel_values);
  x = nn::leaky_relu(conv3(s / "conv_before_upsample", c.embed_dim, kFeatures)(x), kSlope);
  if (nearest) {
    x = nearest_up(nearest_up(x, s / "conv_up1"), s / "conv_up2");
    x = nn::leaky_relu(conv3(s / "conv_hr", kFeatures, kFeatures)(x), 0.2);
  } else if (auxiliary) {
    const Value aux = conv3(s / "conv_aux", kFeatures, c.num_channels)(x);
    const Value mixed = nn::leaky_relu(conv3(s / "conv_after_aux" / 0, 3, kFeatures)(aux), kSlope);
    const Value larger = op::interpolate(
        pixel_values, {pixel_values.dim(2) * c.upscale, pixel_values.dim(3) * c.upscale}, "cubic");
    const Value bicubic = conv3(s / "conv_bicubic", c.num_channels, kFeatures)(larger);
    x = op::add(shuffle_up(mixed, s / "upsample", c), bicubic);
  } else {
    x = shuffle_up(x, s / "upsample", c);
  }
  return conv3(s / "final_convolution", kFeatures, c.num_channels_out)(x);
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const Value pixel_values = inputs["pixel_values"];
  const Value features = encode(pixel_values, root.base_model("swin2sr"), c);
  if (component.task == "feature-extraction") return {{"last_hidden_state", features}};
  Value image = upsample(features, pixel_values, root, c);
  if (c.img_range != 1) image = op::div(image, c.img_range);
  if (c.has_mean()) image = op::add(image, mean_color(image.graph()));
  return {{"reconstruction", image}};
}

}  // namespace

void register_swin2sr(TasksManager& tasks) {
  tasks.register_model<Swin2srOnnxConfig>({.model_type = "swin2sr",
                                           .tasks = {"feature-extraction", "image-to-image"},
                                           .forward = forward,
                                           .ignorable_keys = {"mean", "swin2sr.mean"}});
}

}  // namespace onnxport::models
