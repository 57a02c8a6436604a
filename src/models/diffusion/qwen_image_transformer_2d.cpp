// The transformer of Qwen-Image: blocks in which image and text have weights of their own, and attend to each
// other. Original:
// https://github.com/huggingface/diffusers/blob/v0.42.1/src/diffusers/models/transformers/transformer_qwenimage.py
#include <fmt/format.h>

#include "models/diffusion/common/component_config.h"
#include "onnxport/error.h"
#include "onnxport/nn/diffusion_transformer.h"
#include "onnxport/nn/joint_attention.h"
#include "onnxport/nn/timestep.h"

namespace onnxport::models {
namespace {

constexpr const char* kDefaults = R"({
  "patch_size": 2, "in_channels": 64, "out_channels": 16, "num_layers": 60, "attention_head_dim": 128,
  "num_attention_heads": 24, "joint_attention_dim": 3584, "guidance_embeds": false,
  "axes_dims_rope": [16, 56, 56], "zero_cond_t": false, "use_additional_t_cond": false,
  "use_layer3d_rope": false})";

constexpr double kTheta = 10000;       // of the rotation
constexpr double kStepsPerOne = 1000;  // callers give the step divided by this
constexpr double kEps = 1e-6;          // of all norms
constexpr std::size_t kAxes = 3;       // frame, row, column

struct Config {
  std::int64_t in_channels, out_channels, layers, heads, head_dim, text;
  std::vector<std::int64_t> axes;  ///< elements of a head that each axis of the positions turns
  std::int64_t width;

  explicit Config(const PretrainedConfig& c)
      : in_channels(divisor(c, "in_channels")),
        out_channels(c.maybe_integer("out_channels").value_or(in_channels)),
        layers(divisor(c, "num_layers")),
        heads(divisor(c, "num_attention_heads")),
        head_dim(divisor(c, "attention_head_dim")),
        text(divisor(c, "joint_attention_dim")),
        axes(c.integers("axes_dims_rope")),
        width(heads * head_dim) {
    const std::int64_t patch = divisor(c, "patch_size");
    out_channels *= patch * patch;
    nn::check_axes(axes, head_dim, "axes_dims_rope", c.origin());
    if (axes.size() != kAxes) {
      throw ExportError(ErrorCode::bad_config, fmt::format("{}: axes_dims_rope has {} numbers, expected {}",
                                                           c.origin(), axes.size(), kAxes));
    }
    check_unset(c, {"guidance_embeds", "zero_cond_t", "use_additional_t_cond", "use_layer3d_rope"});
    c.harmless({"pooled_projection_dim"});  // in published files, but no argument of the class
  }
};

// Positions int64 [1, T + I, 3] of a text of `words` tokens, and of the squares of images `shapes` [N, 3]
// (frames, rows and columns). Rows and columns count from the middle; the text continues after the largest
// of them.
Value positions(Value shapes, const Dim& words, const Dim& squares) {
  Graph& graph = shapes.graph();
  const ModulePath at(graph, "pos_embed");
  const auto of_images = [&](std::int64_t column) { return op::select(shapes, 1, column); };  // [N]
  const Value rows = of_images(1), columns = of_images(2);
  const Value area = op::mul(rows, columns);
  const Value counts = op::mul(of_images(0), area);
  const Value ends = op::cumsum(counts, 0);
  const Value number = op::arange(graph, squares);
  const Value end = op::unsqueeze(ends, 0);
  const Value passed = op::ge(op::unsqueeze(number, 1), end);
  const Value image = op::sum(op::cast(passed, DType::i64), 1);  // [I]
  const auto per_square = [&](Value of) { return op::embedding(of, image); };
  const Value offset = op::sub(number, per_square(op::sub(ends, counts)));
  const Value frame = op::div(offset, per_square(area));
  const Value inside = op::sub(offset, op::mul(frame, per_square(area)));
  const Value row = op::div(inside, per_square(columns));
  const Value column = op::sub(inside, op::mul(row, per_square(columns)));
  const Value half_rows = op::div(rows, 2.0), half_columns = op::div(columns, 2.0);
  const auto centred = [&](Value place, Value all, Value half) {
    return op::sub(place, per_square(op::sub(all, half)));
  };
  const Value first = op::add(frame, image);
  const Value second = centred(row, rows, half_rows), third = centred(column, columns, half_columns);
  const Value of_squares =
      op::concat({op::unsqueeze(first, 1), op::unsqueeze(second, 1), op::unsqueeze(third, 1)}, 1);
  const Value most = op::amax(op::maximum(half_rows, half_columns), 0);
  const Value word = op::unsqueeze(op::add(op::arange(graph, words), most), 1);
  const Value of_text = op::expand(word, {words, static_cast<std::int64_t>(kAxes)});
  return op::unsqueeze(op::concat({of_text, of_squares}, 0), 0);
}

struct Tokens {
  Value image, text;  ///< [B, I, width], [B, T, width]
};

Tokens run_block(const Scope& s, const Config& c, const Tokens& x, Value given, const op::Rope& rope,
                 const op::AttentionMask& mask) {
  const ModulePath at(x.image, s.path());
  enum : std::size_t { shift, scale, gate, mlp_shift, mlp_scale, mlp_gate, parts };
  const auto modulation = [&](const char* name) {
    const nn::Linear linear(s / name, c.width, parts * c.width);
    return op::chunk(op::unsqueeze(linear(given), 1), -1, parts);
  };
  const std::vector<Value> m = modulation("img_mod.1"), t = modulation("txt_mod.1");
  const Value image_norm = nn::modulated_norm(x.image, m[scale], m[shift], kEps);
  const Value text_norm = nn::modulated_norm(x.text, t[scale], t[shift], kEps);
  const nn::JointAttention attention(s / "attn", {.width = c.width,
                                                  .heads = c.heads,
                                                  .head_dim = c.head_dim,
                                                  .order = nn::JointOrder::text_first,
                                                  .normed = true,
                                                  .eps = kEps});
  const auto attended = attention(image_norm, text_norm, rope, mask);
  const auto finish = [&](const char* name, Value of, Value by_attention, const std::vector<Value>& by) {
    const Value sum = op::add(of, op::mul(by[gate], by_attention));
    const Value normed = nn::modulated_norm(sum, by[mlp_scale], by[mlp_shift], kEps);
    const Value out = nn::tanh_feed_forward(s / name, c.width)(normed);
    return nn::finite_half(op::add(sum, op::mul(by[mlp_gate], out)));
  };
  const Value image = finish("img_mlp", x.image, attended.image, m);
  return {image, finish("txt_mlp", x.text, attended.text, t)};
}

class QwenImageTransformerOnnxConfig : public LatentTransformerOnnxConfig {
 public:
  using LatentTransformerOnnxConfig::LatentTransformerOnnxConfig;
  std::vector<ComponentInput> tensors() const override {
    const PretrainedConfig c = config().unaccounted();
    const Dim batch = Dim::symbol("batch_size"), words = Dim::symbol("sequence_length");
    return {
        {"hidden_states", {batch, Dim::symbol("packed_height_width"), c.integer("in_channels")}},
        {"encoder_hidden_states", {batch, words, c.integer("joint_attention_dim")}},
        {"encoder_hidden_states_mask", {batch, words}, ComponentValues::mask},
        {"timestep", {Dim::symbol(kStepAxis)}},
        {"img_shapes", {Dim::symbol("num_images"), static_cast<std::int64_t>(kAxes)}, ComponentValues::grid}};
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component&) {
  const Config c(model.config());
  const Scope root = model.scope();
  Tokens x;
  x.image = nn::Linear(root / "img_in", c.in_channels, c.width)(inputs["hidden_states"]);
  const Value normed_text =
      nn::RmsNorm(root / "txt_norm", c.text, {.eps = kEps})(inputs["encoder_hidden_states"]);
  x.text = nn::Linear(root / "txt_in", c.text, c.width)(normed_text);
  // In float32: in half precision, the product with 1000 is off by up to half a step.
  const Value step = op::mul(op::cast(inputs["timestep"], DType::f32), kStepsPerOne);
  const nn::SinusoidsEmbedding embed_step(root / "time_text_embed" / "timestep_embedder", c.width);
  const Value given = op::silu(embed_step(step));
  const Dim &words = x.text.dim(1), &squares = x.image.dim(1);
  const op::Rope rope = nn::axes_rope(positions(inputs["img_shapes"], words, squares), c.axes, kTheta);
  const Value seen = op::cast(inputs["encoder_hidden_states_mask"], DType::boolean);
  const Value square = op::arange(seen.graph(), squares);
  const Value all = op::eq(square, square);
  const Value image_seen = op::expand(op::unsqueeze(all, 0), {x.image.dim(0), squares});
  const op::AttentionMask mask{.padding = op::concat({seen, image_seen}, 1)};
  for (std::int64_t i = 0; i < c.layers; ++i)
    x = run_block(root / "transformer_blocks" / i, c, x, given, rope, mask);
  const auto m = nn::Modulation(root / "norm_out", c.width, 2)(given);
  const Value normed = nn::modulated_norm(x.image, m[0], m[1], kEps);
  return {{"out_hidden_states", nn::Linear(root / "proj_out", c.width, c.out_channels)(normed)}};
}

}  // namespace

void register_qwen_image_transformer_2d(TasksManager& tasks) {
  register_component<QwenImageTransformerOnnxConfig>(tasks, "qwen-image-transformer-2d",
                                                     {"QwenImageTransformer2DModel"}, kDefaults, forward);
}

}  // namespace onnxport::models
