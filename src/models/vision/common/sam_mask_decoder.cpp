#include <fmt/format.h>

#include "models/vision/common/sam.h"
#include "onnxport/error.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

constexpr double kUpscaleEps = 1e-6;  // no knobs
constexpr double kFinalEps = 1e-5;
constexpr std::int64_t kCrossRate = 2;  // of a layer, which does not look at attention_downsample_rate

struct Decoder {
  const SamDecoderConfig& c;
  Dim points;  // prompts of an image

  // Attention of [B, points or 1, N, C] to [B, points or 1, M, C], with the channels divided by `rate`.
  // Values that are equal for all prompts of an image are projected once.
  Value attend(const Scope& s, std::int64_t rate, Value query, Value key, Value value) const {
    const ModulePath at(query, s.path());
    const std::int64_t width = c.hidden_size / rate;
    const auto project = [&](const char* name, Value x) {
      x = nn::Linear(s / name, c.hidden_size, width)(x);
      x = op::expand(x, {x.dim(0), points, x.dim(2), width});
      return op::reshape(x, {x.dim(0) * points, x.dim(2), width});
    };
    const Value queries = project("q_proj", query);
    const Value keys = project("k_proj", key);
    const Value values = project("v_proj", value);
    const Value context =
        op::attention({.query = queries, .key = keys, .value = values}, c.heads, c.heads).output;
    const Value merged = op::reshape(context, {query.dim(0), points, query.dim(2), width});
    return nn::Linear(s / "out_proj", width, c.hidden_size)(merged);
  }

  struct Streams {
    Value tokens, pixels;  // [B, points, T, C], [B, points or 1, grid * grid, C]
  };

  // Tokens attend to themselves and to the pixels, then pixels attend to the tokens.
  Streams layer(const Scope& s, Streams x, const Streams& places, bool first) const {
    const ModulePath at(x.tokens, s.path());
    const auto norm = [&](const char* name, Value y) {
      return nn::LayerNorm(s / name, c.hidden_size, c.eps)(y);
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
    const Value seen = attend(s / "cross_attn_token_to_image", kCrossRate, tokens, pixels, x.pixels);
    x.tokens = norm("layer_norm2", op::add(x.tokens, seen));
    const Value made = sam_mlp(s / "mlp", c.hidden_size, c.mlp_dim, c.hidden_act, x.tokens);
    x.tokens = norm("layer_norm3", op::add(x.tokens, made));

    tokens = op::add(x.tokens, places.tokens);
    const Value back = attend(s / "cross_attn_image_to_token", kCrossRate, pixels, tokens, x.tokens);
    x.pixels = norm("layer_norm4", op::add(x.pixels, back));
    return x;
  }

  Streams transform(const Scope& s, Streams x, const Streams& places) const {
    for (std::int64_t i = 0; i < c.layers; ++i) x = layer(s / "layers" / i, x, places, i == 0);
    const Value tokens = op::add(x.tokens, places.tokens);
    const Value pixels = op::add(x.pixels, places.pixels);
    const Value seen = attend(s / "final_attn_token_to_image", c.rate, tokens, pixels, x.pixels);
    const Value sum = op::add(x.tokens, seen);
    return {nn::LayerNorm(s / "layer_norm_final_attn", c.hidden_size, kFinalEps)(sum), x.pixels};
  }

  // A transposed convolution whose kernel equals its stride, on pixels stored as rows. Nothing overlaps, so
  // it is a linear layer. [..., in] -> [..., 4 * out], the four in the order (row, column).
  static nn::Linear double_size(const Scope& s, std::int64_t in, std::int64_t out) {
    const Weight weight = s.weight("weight", {in, out, 2, 2});
    const Weight bias = s.weight("bias", {out});
    const Weight biases[] = {bias, bias, bias, bias};
    return {s.path(), weight.permute({2, 3, 1, 0}).reshape({4 * out, in}), Weight::concat(biases, 0)};
  }

  // Tokens of the masks [B, points, masks, C] -> [B * points, C / 8, masks]. Each mask has its own MLP. The
  // first MLP belongs to a mask that is not returned.
  Value hypernetworks(const Scope& s, Value tokens) const {
    Graph& graph = tokens.graph();
    const std::int64_t width = c.hidden_size;
    s.ignore("0");
    const auto all = [&](const std::string& name, Value x, std::int64_t out) {
      std::vector<Weight> weights, biases;
      for (std::int64_t i = 1; i <= c.masks; ++i) {
        const Scope one = s / i / name;
        weights.push_back(one.weight("weight", {out, width}).permute({1, 0}).reshape({1, width, out}));
        biases.push_back(one.weight("bias", {out}).reshape({1, 1, out}));
      }
      const Value product = op::matmul(x, graph.weight(Weight::concat(weights, 0)));
      return op::add(product, graph.weight(Weight::concat(biases, 0)));
    };
    const Value apart = op::permute(tokens, {2, 0, 1, 3});
    Value x = op::reshape(apart, {c.masks, tokens.dim(0) * points, width});
    x = op::relu(all("proj_in", x, width));
    x = op::relu(all("layers.0", x, width));
    return op::permute(all("proj_out", x, width / 8), {1, 2, 0});
  }

  Value predict_iou(const Scope& s, Value token) const {
    Value x = op::relu(nn::Linear(s / "proj_in", c.hidden_size, c.iou_width)(token));
    for (std::int64_t i = 0; i < c.iou_depth - 2; ++i)
      x = op::relu(nn::Linear(s / "layers" / i, c.iou_width, c.iou_width)(x));
    const nn::Linear out(s / "proj_out", c.iou_width, c.masks + 1);
    return nn::Linear(out.path(), out.weight().slice(0, 1, c.masks + 1),
                      out.bias().slice(0, 1, c.masks + 1))(x);
  }

  NamedValues operator()(const Scope& s, Value image, Value positions, Value prompts) const {
    const ModulePath at(image, s.path());
    Graph& graph = image.graph();
    const std::int64_t width = c.hidden_size, outer = width / 4, inner = width / 8;
    const Dim batch = prompts.dim(0), rows = image.dim(2), columns = image.dim(3);
    const Weight own[] = {(s / "iou_token").weight("weight", {1, width}),
                          (s / "mask_tokens").weight("weight", {c.masks + 1, width})};
    const Value tokens =
        op::expand(graph.weight(Weight::concat(own, 0)), {batch, points, c.masks + 2, width});
    const auto in_rows = [](Value x) { return op::unsqueeze(nn::image_to_tokens(x), 1); };
    Streams x = {op::concat({tokens, prompts}, 2), in_rows(image)};
    const Streams places = {x.tokens, in_rows(positions)};
    x = transform(s / "transformer", x, places);

    const nn::Linear up1 = double_size(s / "upscale_conv1", width, outer);
    const nn::Linear up2 = double_size(s / "upscale_conv2", outer, inner);
    const Value wide = op::reshape(up1(x.pixels), {batch, points, rows * columns, 4, outer});
    const Value normed = nn::LayerNorm(s / "upscale_layer_norm", outer, kUpscaleEps)(wide);
    const Value pixels =
        op::reshape(op::gelu(up2(op::gelu(normed))), {batch * points, rows * columns * 16, inner});
    const Value mask_tokens = op::slice(x.tokens, 2, 2, 2 + c.masks);
    const Value masks = op::matmul(pixels, hypernetworks(s / "output_hypernetworks_mlps", mask_tokens));
    const Value apart = op::reshape(masks, {batch * points, rows, columns, 2, 2, 2, 2, c.masks});
    const Value sorted = op::permute(apart, {0, 7, 1, 3, 5, 2, 4, 6});
    const Value iou = predict_iou(s / "iou_prediction_head", op::select(x.tokens, 2, 0));
    return {{"iou_scores", iou},
            {"pred_masks", op::reshape(sorted, {batch, points, c.masks, rows * 4, columns * 4})}};
  }
};

}  // namespace

SamDecoderConfig::SamDecoderConfig(const PretrainedConfig& c)
    : hidden_size(c.integer("hidden_size")),
      heads(c.integer("num_attention_heads")),
      layers(c.integer("num_hidden_layers")),
      mlp_dim(c.integer("mlp_dim")),
      rate(c.integer("attention_downsample_rate")),
      masks(c.integer("num_multimask_outputs")),
      iou_depth(c.integer("iou_head_depth")),
      iou_width(c.integer("iou_head_hidden_dim")),
      hidden_act(c.string("hidden_act")),
      eps(c.real("layer_norm_eps")) {
  const bool fits = hidden_size >= 8 && heads > 0 && rate > 0 && rate <= hidden_size && masks > 0;
  if (fits && (hidden_size / rate) % heads == 0 && (hidden_size / kCrossRate) % heads == 0) return;
  throw ExportError(ErrorCode::bad_config,
                    fmt::format("{}: mask_decoder_config has hidden_size {}, num_attention_heads {}, "
                                "attention_downsample_rate {} and num_multimask_outputs {}, expected a mask, "
                                "and heads that divide the hidden size, also divided by the rate",
                                c.origin(), hidden_size, heads, rate, masks));
}

Value sam_mlp(const Scope& s, std::int64_t width, std::int64_t inner, const std::string& activation,
              Value x) {
  const Value wide = nn::Linear(s / "lin1", width, inner)(x);
  return nn::Linear(s / "lin2", inner, width)(nn::Activation(activation)(wide));
}

NamedValues decode_masks(const Scope& s, const SamDecoderConfig& c, Value image, Value positions,
                         Value prompts) {
  const Decoder decoder{c, prompts.dim(1)};
  return decoder(s, image, positions, prompts);
}

}  // namespace onnxport::models
