// The transformer of FLUX.1: blocks in which image and text have weights of their own, then blocks that treat
// them alike. Original:
// https://github.com/huggingface/diffusers/blob/v0.42.1/src/diffusers/models/transformers/transformer_flux.py
#include "models/diffusion/common/component_config.h"
#include "onnxport/nn/diffusion_transformer.h"
#include "onnxport/nn/joint_attention.h"

namespace onnxport::models {
namespace {

constexpr const char* kDefaults = R"({
  "patch_size": 1, "in_channels": 64, "out_channels": null, "num_layers": 19, "num_single_layers": 38,
  "attention_head_dim": 128, "num_attention_heads": 24, "joint_attention_dim": 4096,
  "pooled_projection_dim": 768, "guidance_embeds": false, "axes_dims_rope": [16, 56, 56]})";

constexpr double kTheta = 10000;       // of the rotation
constexpr double kStepsPerOne = 1000;  // callers give the step and the guidance divided by this
constexpr std::int64_t kWider = 4;     // the feed-forward, than the tokens

struct Config {
  std::int64_t in_channels, out_channels, layers, single_layers, heads, head_dim, text, pooled;
  std::vector<std::int64_t> axes;  ///< elements of a head that each axis of the positions turns
  bool guidance;
  std::int64_t width;

  explicit Config(const PretrainedConfig& c)
      : in_channels(divisor(c, "in_channels")),
        out_channels(c.maybe_integer("out_channels").value_or(in_channels)),
        layers(c.integer("num_layers")),
        single_layers(c.integer("num_single_layers")),
        heads(divisor(c, "num_attention_heads")),
        head_dim(divisor(c, "attention_head_dim")),
        text(divisor(c, "joint_attention_dim")),
        pooled(divisor(c, "pooled_projection_dim")),
        axes(c.integers("axes_dims_rope")),
        guidance(c.flag("guidance_embeds")),
        width(heads * head_dim) {
    const std::int64_t patch = divisor(c, "patch_size");
    out_channels *= patch * patch;
    nn::check_axes(axes, head_dim, "axes_dims_rope", c.origin());
  }

  nn::JointAttentionParameters attention() const {
    return {.width = width,
            .heads = heads,
            .head_dim = head_dim,
            .order = nn::JointOrder::text_first,
            .normed = true};
  }
};

// Positions int64 [T, axes] and [I, axes] -> the rotation of T + I tokens.
op::Rope rotation(const Scope& s, const Config& c, Value of_text, Value of_image) {
  const ModulePath at(of_text.graph(), s.path());
  return nn::axes_rope(op::unsqueeze(op::concat({of_text, of_image}, 0), 0), c.axes, kTheta);
}

struct Tokens {
  Value image, text;  ///< [B, I, width], [B, T, width]
};

Tokens run_block(const Scope& s, const Config& c, const Tokens& x, Value given, const op::Rope& rope) {
  const ModulePath at(x.image, s.path());
  enum : std::size_t { shift, scale, gate, mlp_shift, mlp_scale, mlp_gate, parts };
  const auto m = nn::Modulation(s / "norm1", c.width, parts)(given);
  const auto t = nn::Modulation(s / "norm1_context", c.width, parts)(given);
  const Value image_norm = nn::modulated_norm(x.image, m[scale], m[shift]);
  const Value text_norm = nn::modulated_norm(x.text, t[scale], t[shift]);
  const auto attended = nn::JointAttention(s / "attn", c.attention())(image_norm, text_norm, rope);
  const auto finish = [&](const char* name, Value of, Value attention, const std::vector<Value>& by) {
    const Value sum = op::add(of, op::mul(by[gate], attention));
    const Value normed = nn::modulated_norm(sum, by[mlp_scale], by[mlp_shift]);
    const Value out = nn::tanh_feed_forward(s / name, c.width)(normed);
    return op::add(sum, op::mul(by[mlp_gate], out));
  };
  const Value image = finish("ff", x.image, attended.image, m);
  return {image, nn::finite_half(finish("ff_context", x.text, attended.text, t))};
}

// Text and image as one sequence [B, T + I, width]; attention and feed-forward side by side.
Value run_single_block(const Scope& s, const Config& c, Value x, Value given, const op::Rope& rope) {
  const ModulePath at(x, s.path());
  enum : std::size_t { shift, scale, gate, parts };
  const auto m = nn::Modulation(s / "norm", c.width, parts)(given);
  const Value normed = nn::modulated_norm(x, m[scale], m[shift]);
  const std::int64_t inner = kWider * c.width;
  const Value wide = op::gelu(nn::Linear(s / "proj_mlp", c.width, inner)(normed), "tanh");
  nn::JointAttentionParameters attention = c.attention();
  attention.text = nn::JointText::none;
  attention.output = nn::JointOutput::plain;
  const Value attended = nn::JointAttention(s / "attn", attention)(normed, {}, rope).image;
  const Value out = nn::Linear(s / "proj_out", c.width + inner, c.width)(op::concat({attended, wide}, 2));
  return nn::finite_half(op::add(x, op::mul(m[gate], out)));
}

class FluxTransformerOnnxConfig : public LatentTransformerOnnxConfig {
 public:
  using LatentTransformerOnnxConfig::LatentTransformerOnnxConfig;
  std::vector<ComponentInput> tensors() const override {
    const PretrainedConfig c = config().unaccounted();
    const Dim batch = Dim::symbol("batch_size"), words = Dim::symbol("sequence_length"),
              pixels = Dim::symbol("packed_height_width");
    const auto axes = static_cast<std::int64_t>(c.integers("axes_dims_rope").size());
    std::vector<ComponentInput> inputs = {
        {"hidden_states", {batch, pixels, c.integer("in_channels")}},
        {"encoder_hidden_states", {batch, words, c.integer("joint_attention_dim")}},
        {"pooled_projections", {batch, c.integer("pooled_projection_dim")}},
        {"timestep", {Dim::symbol(kStepAxis)}},
        {"txt_ids", {words, axes}, ComponentValues::places},
        {"img_ids", {pixels, axes}, ComponentValues::places}};
    if (c.flag("guidance_embeds")) inputs.push_back({"guidance", {batch}});
    return inputs;
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component&) {
  const Config c(model.config());
  const Scope root = model.scope();
  // In float32: in half precision, the product with 1000 is off by up to half a step.
  const auto scaled = [](Value x) { return x ? op::mul(op::cast(x, DType::f32), kStepsPerOne) : x; };
  const Value step = scaled(inputs["timestep"]);
  const Value given = op::silu(nn::StepAndText(root / "time_text_embed", c.width, c.pooled, c.guidance)(
      step, inputs["pooled_projections"], scaled(inputs.get("guidance"))));
  Tokens x;
  x.image = nn::Linear(root / "x_embedder", c.in_channels, c.width)(inputs["hidden_states"]);
  x.text = nn::Linear(root / "context_embedder", c.text, c.width)(inputs["encoder_hidden_states"]);
  const op::Rope rope = rotation(root / "pos_embed", c, inputs["txt_ids"], inputs["img_ids"]);
  for (std::int64_t i = 0; i < c.layers; ++i)
    x = run_block(root / "transformer_blocks" / i, c, x, given, rope);
  Value all = op::concat({x.text, x.image}, 1);
  for (std::int64_t i = 0; i < c.single_layers; ++i)
    all = run_single_block(root / "single_transformer_blocks" / i, c, all, given, rope);
  const Dim words = x.text.dim(1);
  const Value image = op::slice(all, 1, words, words + x.image.dim(1));
  const auto m = nn::Modulation(root / "norm_out", c.width, 2)(given);
  const Value normed = nn::modulated_norm(image, m[0], m[1]);
  return {{"out_hidden_states", nn::Linear(root / "proj_out", c.width, c.out_channels)(normed)}};
}

}  // namespace

void register_flux_transformer_2d(TasksManager& tasks) {
  register_component<FluxTransformerOnnxConfig>(tasks, "flux-transformer-2d", {"FluxTransformer2DModel"},
                                                kDefaults, forward);
}

}  // namespace onnxport::models
