// https://github.com/huggingface/pytorch-image-models/blob/v1.0.31/timm/models/mobilenetv5.py
#include "models/timm/common/mobilenetv5.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "models/timm/common/mobile_net.h"
#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

constexpr double kEps = 1e-6;

struct Block {
  enum class Kind : std::uint8_t { edge, universal, attention } kind;
  std::int64_t channels;
  std::int64_t stride = 1, expansion = 1;
  std::int64_t before = 0, inside = 0;              ///< kernels of a universal block; 0: none
  std::int64_t heads = 0, head_dim = 0, apart = 1;  ///< of attention: only every `apart`-th place is a key
};
using Stage = std::vector<Block>;

Block edge(std::int64_t stride) { return {Block::Kind::edge, 128, stride, 4}; }

Block uib(std::int64_t channels, std::int64_t stride, std::int64_t expansion, std::int64_t before,
          std::int64_t inside) {
  return {Block::Kind::universal, channels, stride, expansion, before, inside};
}

// Attention with one head of keys, then a feed-forward, so many times.
void add_attention(Stage& stage, int count, const Block& attention) {
  for (int i = 0; i < count; ++i) {
    stage.push_back(attention);
    stage.push_back(uib(attention.channels, 1, 2, 0, 0));
  }
}

std::vector<Stage> stages() {
  std::vector<Stage> all(4);
  all[0] = {edge(2), edge(1), edge(1)};
  all[1] = {uib(256, 2, 6, 3, 5), uib(256, 1, 4, 5, 0), uib(256, 1, 4, 3, 0), uib(256, 1, 4, 5, 0),
            uib(256, 1, 4, 3, 0)};
  all[2] = {uib(640, 2, 6, 5, 5)};
  for (int i = 0; i < 7; ++i) all[2].push_back(uib(640, 1, 4, 5, 0));
  all[2].push_back(uib(640, 1, 1, 0, 0));
  add_attention(all[2], 14,
                {.kind = Block::Kind::attention, .channels = 640, .heads = 12, .head_dim = 64, .apart = 2});
  all[3] = {uib(1280, 2, 6, 5, 5)};
  add_attention(all[3], 19, {.kind = Block::Kind::attention, .channels = 1280, .heads = 16, .head_dim = 96});
  return all;
}

// Of the channels x [B, C, H, W], computed in float32.
Value normed(const Scope& s, Value x) {
  const ModulePath at(x, s.path());
  const std::int64_t channels = *x.dim(1).constant();
  const Value wide = op::cast(x, DType::f32);
  const Value power = op::mean(op::mul(wide, wide), 1, true);
  const Value scaled = op::cast(op::div(wide, op::sqrt(op::add(power, kEps))), x.dtype());
  return op::mul(scaled, x.graph().weight(s.weight("weight", {channels}).reshape({channels, 1, 1})));
}

Value active(Value x) { return op::gelu(x, "tanh"); }

struct Conv {
  std::int64_t out, kernel = 1, stride = 1;
  bool depthwise = false, bias = false;

  Value operator()(const Scope& s, Value x) const {
    const std::int64_t in = *x.dim(1).constant();
    const nn::Conv2d conv(s, in, out, {kernel, kernel}, bias,
                          {.stride = {stride, stride}, .groups = depthwise ? in : 1});
    return kernel == 1 ? conv(x) : conv.with_same_padding(x);
  }
};

Value conv_norm(const Scope& s, const Conv& conv, Value x) { return normed(s / "bn", conv(s / "conv", x)); }

Value with_layer_scale(const Scope& s, Value x) {
  const std::int64_t channels = *x.dim(1).constant();
  const Weight gamma = (s / "layer_scale").weight("gamma", {channels}).reshape({channels, 1, 1});
  return op::mul(x, x.graph().weight(gamma));
}

std::int64_t inner_channels(std::int64_t channels, std::int64_t expansion) {
  return MobileNet().channels(channels * expansion);
}

Value run_edge(const Scope& s, const Block& b, Value x, std::int64_t out) {
  const std::int64_t inner = inner_channels(*x.dim(1).constant(), b.expansion);
  const Value wide = Conv{.out = inner, .kernel = 3, .stride = b.stride}(s / "conv_exp", x);
  return normed(s / "bn2", Conv{.out = out}(s / "conv_pwl", active(normed(s / "bn1", wide))));
}

Value run_universal(const Scope& s, const Block& b, Value x, std::int64_t out) {
  const std::int64_t in = *x.dim(1).constant(), inner = inner_channels(in, b.expansion);
  if (b.before > 0) x = conv_norm(s / "dw_start", {.out = in, .kernel = b.before, .depthwise = true}, x);
  x = active(conv_norm(s / "pw_exp", {.out = inner}, x));
  if (b.inside > 0) {
    const Conv middle{.out = inner, .kernel = b.inside, .stride = b.stride, .depthwise = true};
    x = active(conv_norm(s / "dw_mid", middle, x));
  }
  return conv_norm(s / "pw_proj", {.out = out}, x);
}

Value run_attention(const Scope& s, const Block& b, Value x, std::int64_t out) {
  const Value seen = normed(s / "norm", x);
  const Scope a = s / "attn";
  const std::int64_t in = *x.dim(1).constant();
  const auto projected = [](const Scope& of, Value tokens, std::int64_t width) {
    const std::int64_t from = *tokens.dim(2).constant();
    const Weight weight = of.weight("weight", {width, from, 1, 1}).reshape({width, from});
    return nn::Linear(of.path(), weight, {})(tokens);
  };
  const auto of_keys = [&](const char* key) {
    const Scope k = a / key;
    Value places = seen;
    if (b.apart > 1) {
      const Conv fewer{.out = in, .kernel = 3, .stride = b.apart, .depthwise = true};
      places = normed(k / "norm", fewer(k / "down_conv", seen));
    }
    return projected(k / "proj", nn::image_to_tokens(places), b.head_dim);
  };
  const Value query = projected(a / "query" / "proj", nn::image_to_tokens(seen), b.heads * b.head_dim);
  const Value keys = of_keys("key");
  const Value values = of_keys("value");
  const Value attended = op::attention({.query = query, .key = keys, .value = values}, b.heads, 1).output;
  return nn::tokens_to_image(projected(a / "output" / "proj", attended, out), x.dim(2), x.dim(3));
}

Value run(const Scope& s, const Block& b, Value x, std::int64_t out) {
  const ModulePath at(x, s.path());
  const auto made = [&] {
    if (b.kind == Block::Kind::edge) return run_edge(s, b, x, out);
    return with_layer_scale(
        s, b.kind == Block::Kind::attention ? run_attention(s, b, x, out) : run_universal(s, b, x, out));
  };
  const bool same = b.stride == 1 && *x.dim(1).constant() == out;
  const Value result = made();
  return same ? op::add(result, x) : result;
}

// The images of the last two stages side by side, joined and reduced to the resolution.
Value fuse(const Scope& s, Value larger, Value smaller, std::int64_t resolution) {
  const ModulePath at(larger, s.path());
  const std::int64_t side = *larger.dim(2).constant();
  const Value resized = op::interpolate(smaller, {larger.dim(2), larger.dim(3)}, "nearest");
  const Value both = op::concat({larger, resized}, 1);
  const Block feed_forward = uib(MobileNetV5::kFeatures, 1, 2, 0, 0);
  const Value joined = run_universal(s / "ffn", feed_forward, both, MobileNetV5::kFeatures);
  const std::int64_t pool = side / resolution;
  const Value squares =
      op::reshape(joined, {joined.dim(0), MobileNetV5::kFeatures, resolution, pool, resolution, pool});
  return normed(s / "norm", op::mean(op::mean(squares, 5), 3));
}

}  // namespace

MobileNetV5::MobileNetV5(const PretrainedConfig& c) {
  const std::string architecture = c.string("architecture");
  if (architecture != "mobilenetv5_300m_enc")
    throw ExportError(ErrorCode::unsupported,
                      fmt::format("{}: architecture of the vision tower is '{}', expected "
                                  "'mobilenetv5_300m_enc'",
                                  c.origin(), architecture));
  if (!c.has("model_args")) return;
  const PretrainedConfig arguments = c.sub("model_args");
  width = arguments.real("channel_multiplier", width);
  resolution = arguments.integer("msfa_output_resolution", resolution);
  const bool sensible = width > 0 && width <= 16 && resolution > 0 && resolution <= 256;
  if (sensible) return;
  throw ExportError(ErrorCode::bad_config,
                    fmt::format("{}: channel_multiplier is {} and msfa_output_resolution is {}, expected "
                                "positive numbers up to 16 and 256",
                                c.origin(), width, resolution));
}

Value MobileNetV5::operator()(const Scope& s, Value pixels) const {
  const ModulePath at(pixels, s.path());
  const MobileNet scaled{.width = width};
  constexpr std::int64_t kStem = 64;
  const Conv stem{.out = width < 1 ? kStem : scaled.channels(kStem), .kernel = 3, .stride = 2, .bias = true};
  Value x = active(conv_norm(s / "conv_stem", stem, pixels));
  std::vector<Value> results;
  const std::vector<Stage> all = stages();
  for (std::size_t i = 0; i < all.size(); ++i) {
    for (std::size_t b = 0; b < all[i].size(); ++b) {
      const Scope block = s / "blocks" / static_cast<std::int64_t>(i) / static_cast<std::int64_t>(b);
      x = run(block, all[i][b], x, scaled.channels(all[i][b].channels));
    }
    results.push_back(x);
  }
  return fuse(s / "msfa", results[2], results[3], resolution);
}

}  // namespace onnxport::models
