// The transformer of Z-Image: image and text are refined separately, then go through the same layers as one
// sequence. Original:
// https://github.com/huggingface/diffusers/blob/v0.42.1/src/diffusers/models/transformers/transformer_z_image.py
#include <fmt/format.h>

#include <algorithm>

#include "models/diffusion/common/component_config.h"
#include "onnxport/error.h"
#include "onnxport/nn/diffusion_transformer.h"
#include "onnxport/nn/joint_attention.h"

namespace onnxport::models {
namespace {

constexpr const char* kDefaults = R"({
  "all_patch_size": [2], "all_f_patch_size": [1], "in_channels": 16, "dim": 3840, "n_layers": 30,
  "n_refiner_layers": 2, "n_heads": 30, "n_kv_heads": 30, "norm_eps": 1e-5, "qk_norm": true,
  "cap_feat_dim": 2560, "siglip_feat_dim": null, "rope_theta": 256.0, "t_scale": 1000.0,
  "axes_dims": [32, 48, 48], "axes_lens": [1024, 512, 512]})";

constexpr double kLastEps = 1e-6;          // of the norm behind the layers
constexpr double kHeadEps = 1e-5;          // of the norms of queries and keys
constexpr std::int64_t kStepWidth = 256;   // of the sinusoids, and the most of the embedded step
constexpr std::int64_t kInnerStep = 1024;  // inside the embedding of the step
constexpr std::int64_t kMultiple = 32;     // the numbers of tokens are padded to multiples of it

std::int64_t only(const PretrainedConfig& c, const char* key) {
  const std::vector<std::int64_t> values = c.integers(key);
  if (values.size() == 1 && values.front() >= 1) return values.front();
  throw ExportError(ErrorCode::unsupported, fmt::format("{}: {} has {} sizes, supported is a list of one",
                                                        c.origin(), key, values.size()));
}

struct Config {
  std::int64_t channels, patch, width, layers, refiners, heads, text;
  std::vector<std::int64_t> axes;  ///< elements of a head that each axis of the positions turns
  double eps, theta, steps;
  bool normed;
  std::int64_t step_width;

  explicit Config(const PretrainedConfig& c)
      : channels(divisor(c, "in_channels")),
        patch(only(c, "all_patch_size")),
        width(divisor(c, "dim")),
        layers(c.integer("n_layers")),
        refiners(c.integer("n_refiner_layers")),
        heads(divisor(c, "n_heads")),
        text(divisor(c, "cap_feat_dim")),
        axes(c.integers("axes_dims")),
        eps(c.real("norm_eps")),
        theta(c.real("rope_theta")),
        steps(c.real("t_scale")),
        normed(c.flag("qk_norm")),
        step_width(std::min(width, kStepWidth)) {
    if (const std::int64_t frames = only(c, "all_f_patch_size"); frames != 1) {
      throw ExportError(ErrorCode::unsupported,
                        fmt::format("{}: all_f_patch_size is {}, supported is 1", c.origin(), frames));
    }
    if (c.maybe_integer("siglip_feat_dim")) {
      throw ExportError(
          ErrorCode::unsupported,
          fmt::format("{}: siglip_feat_dim, images as conditions, is not supported", c.origin()));
    }
    check_multiple(c, "dim", width, "n_heads", heads);
    nn::check_axes(axes, width / heads, "axes_dims", c.origin());
    if (axes.size() != 3) {
      throw ExportError(ErrorCode::bad_config,
                        fmt::format("{}: axes_dims has {} numbers, expected 3", c.origin(), axes.size()));
    }
    c.harmless({"n_kv_heads", "axes_lens"});  // not used; the length of a table
  }
};

// The tokens of an image or of a text, with their places.
struct Tokens {
  Value states;     // [B, L, width]
  Value positions;  // int64 [B, L, 3]
  Value seen;       // bool [B, L]
};

Dim padded(const Dim& length) { return (length + (kMultiple - 1)).floor_div(kMultiple) * kMultiple; }

// The same for numbers of tokens, int64.
Value padded(Value counts) {
  return op::mul(op::div(op::add(counts, static_cast<double>(kMultiple - 1)), static_cast<double>(kMultiple)),
                 static_cast<double>(kMultiple));
}

// [B or 1, L] each -> [batch, L, 3]
Value positions_of(const Dim& batch, const std::vector<Value>& axes) {
  const Dim length = axes.back().dim(1);
  std::vector<Value> columns;
  for (const Value& axis : axes) columns.push_back(op::unsqueeze(op::expand(axis, {batch, length}), 2));
  return op::concat(columns, 2);
}

// states [B, S, width], counts int64 [B, 1]: the tokens that are real, which come first.
Tokens text_tokens(const Scope& root, const Config& c, Value states, Value counts) {
  Graph& graph = states.graph();
  const Dim &batch = states.dim(0), &length = states.dim(1);
  const Dim all = padded(length);
  const Value numbers = op::unsqueeze(op::arange(graph, all), 0);
  const Value real = op::unsqueeze(op::lt(numbers, counts), 2);
  const Value filled = op::pad(states, {0, 0, 0}, {0, all - length, 0});
  const Value pad = graph.weight(root.weight("cap_pad_token", {1, c.width}));
  const Value none = op::mul(numbers, 0.0);
  return {op::where(real, filled, pad), positions_of(batch, {op::add(numbers, 1.0), none, none}),
          op::lt(numbers, padded(counts))};
}

// Tokens of the image behind the text: states [B, rows * columns, width].
Tokens image_tokens(const Scope& root, const Config& c, Value states, const Dim& columns, Value counts) {
  Graph& graph = states.graph();
  const Dim &batch = states.dim(0), &length = states.dim(1);
  const Dim all = padded(length);
  const Value numbers = op::unsqueeze(op::arange(graph, all), 0);
  const Value inside = op::lt(numbers, op::size(graph, length));
  const Value real = op::cast(inside, DType::i64);
  const Value row = op::div(numbers, op::size(graph, columns));
  const Value column = op::sub(numbers, op::mul(row, op::size(graph, columns)));
  const Value frame = op::add(padded(counts), 1.0);
  const Value filled = op::pad(states, {0, 0, 0}, {0, all - length, 0});
  const Value pad = graph.weight(root.weight("x_pad_token", {1, c.width}));
  const std::vector<Value> places = {op::mul(real, frame), op::mul(real, row), op::mul(real, column)};
  const Value shown = op::expand(op::eq(op::mul(numbers, 0.0), 0.0), {batch, all});
  return {op::where(op::unsqueeze(inside, 2), filled, pad), positions_of(batch, places), shown};
}

// `given` [B, step_width], or absent: then nothing is modulated.
Value run_block(const Scope& s, const Config& c, const Tokens& tokens, const op::Rope& rope, Value given) {
  const Value x = tokens.states;
  const ModulePath at(x, s.path());
  enum : std::size_t { scale, gate, mlp_scale, mlp_gate, parts };
  std::vector<Value> m;
  if (given) {
    const nn::Linear modulation(s / "adaLN_modulation.0", c.step_width, parts * c.width);
    m = op::chunk(op::unsqueeze(modulation(given), 1), 2, parts);
  }
  const auto normed = [&](const char* name, Value of) {
    return nn::RmsNorm(s / name, c.width, {.eps = c.eps})(of);
  };
  const auto scaled = [&](Value of, std::size_t part) {
    return given ? op::mul(of, op::add(m[part], 1.0)) : of;
  };
  const auto gated = [&](Value of, std::size_t part) { return given ? op::mul(op::tanh(m[part]), of) : of; };
  const nn::JointAttention attention(s / "attention", {.width = c.width,
                                                       .heads = c.heads,
                                                       .head_dim = c.width / c.heads,
                                                       .text = nn::JointText::none,
                                                       .normed = c.normed,
                                                       .bias = false,
                                                       .eps = kHeadEps});
  const Value before = scaled(normed("attention_norm1", x), scale);
  const Value attended = attention(before, {}, rope, {.padding = tokens.seen}).image;
  const Value sum = op::add(x, gated(normed("attention_norm2", attended), gate));
  const nn::GatedMlp mlp(
      s / "feed_forward",
      {.hidden_size = c.width, .intermediate_size = c.width * 8 / 3, .gate = "w1", .up = "w3", .down = "w2"});
  const Value wide = mlp(scaled(normed("ffn_norm1", sum), mlp_scale));
  return op::add(sum, gated(normed("ffn_norm2", wide), mlp_gate));
}

Tokens run_blocks(const Scope& s, const Config& c, Tokens tokens, std::int64_t count, Value given = {}) {
  const op::Rope rope = nn::axes_rope(tokens.positions, c.axes, c.theta);
  for (std::int64_t i = 0; i < count; ++i) tokens.states = run_block(s / i, c, tokens, rope, given);
  return tokens;
}

class ZImageTransformerOnnxConfig : public LatentTransformerOnnxConfig {
 public:
  using LatentTransformerOnnxConfig::LatentTransformerOnnxConfig;
  std::vector<ComponentInput> tensors() const override {
    const PretrainedConfig c = config().unaccounted();
    const Dim batch = Dim::symbol("batch_size"), words = Dim::symbol("sequence_length");
    return {{"hidden_states", {batch, c.integer("in_channels"), Dim::symbol("height"), Dim::symbol("width")}},
            {"encoder_hidden_states", {batch, words, c.integer("cap_feat_dim")}},
            {"timestep", {Dim::symbol(kStepAxis)}},
            {"encoder_attention_mask", {batch, words}, ComponentValues::mask}};
  }
};

// Squares of patch by patch latents, with the channels innermost: [B, rows * columns, patch * patch * C].
Value squares(const Config& c, Value latents, const Dim& rows, const Dim& columns) {
  const Dim& batch = latents.dim(0);
  const Value whole = op::slice(op::slice(latents, 2, 0, rows * c.patch), 3, 0, columns * c.patch);
  const Value apart = op::reshape(whole, {batch, c.channels, rows, c.patch, columns, c.patch});
  return op::reshape(op::permute(apart, {0, 2, 4, 3, 5, 1}),
                     {batch, rows * columns, c.patch * c.patch * c.channels});
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component&) {
  const Config c(model.config());
  const Scope root = model.scope(), step = root / "t_embedder" / "mlp";
  const Value latents = inputs["hidden_states"];
  // In float32: in half precision, the product with 1000 is off by up to half a step.
  const Value scaled = op::mul(op::cast(inputs["timestep"], DType::f32), c.steps);
  const nn::Mlp embed_step(step.path(), nn::Linear(step / 0, kStepWidth, kInnerStep),
                           nn::Linear(step / 2, kInnerStep, c.step_width), "silu");
  const Value given = embed_step(nn::step_sinusoids(scaled, {.width = kStepWidth}));

  const std::string size = fmt::format("{}-1", c.patch);
  const std::int64_t square = c.patch * c.patch * c.channels;
  const Dim rows = latents.dim(2).floor_div(c.patch), columns = latents.dim(3).floor_div(c.patch);
  const nn::Linear embed_image(root / "all_x_embedder" / size, square, c.width);
  const Value image = embed_image(squares(c, latents, rows, columns));
  const Scope caption = root / "cap_embedder";
  const Value normed = nn::RmsNorm(caption / 0, c.text, {.eps = c.eps})(inputs["encoder_hidden_states"]);
  const Value text = nn::Linear(caption / 1, c.text, c.width)(normed);
  const Value counts = op::sum(op::cast(inputs["encoder_attention_mask"], DType::i64), 1, true);

  const Tokens x =
      run_blocks(root / "noise_refiner", c, image_tokens(root, c, image, columns, counts), c.refiners, given);
  const Tokens t = run_blocks(root / "context_refiner", c, text_tokens(root, c, text, counts), c.refiners);
  const Value states = op::concat({x.states, t.states}, 1);
  const Value positions = op::concat({x.positions, t.positions}, 1);
  const Value seen = op::concat({x.seen, t.seen}, 1);
  const Tokens all = run_blocks(root / "layers", c, {states, positions, seen}, c.layers, given);

  const Scope last = root / "all_final_layer" / size;
  const nn::Linear last_scale(last / "adaLN_modulation.1", c.step_width, c.width);
  const Value scale = op::add(op::unsqueeze(last_scale(op::silu(given)), 1), 1.0);
  const Value of_image = op::slice(all.states, 1, 0, rows * columns);
  const Value out = op::mul(op::layer_norm(of_image, {}, {}, kLastEps), scale);
  const nn::Linear project(last / "linear", c.width, square);
  return {{"out_hidden_states", nn::assemble_patches(project(out), rows, columns, c.patch)}};
}

}  // namespace

void register_z_image_transformer_2d(TasksManager& tasks) {
  register_component<ZImageTransformerOnnxConfig>(tasks, "z-image-transformer-2d",
                                                  {"ZImageTransformer2DModel"}, kDefaults, forward);
}

}  // namespace onnxport::models
