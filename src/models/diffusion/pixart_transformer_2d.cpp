// The transformer of PixArt-Alpha and PixArt-Sigma: the tokens of an image attend to those of the text, and
// all blocks share one modulation. Original:
// https://github.com/huggingface/diffusers/blob/v0.42.1/src/diffusers/models/transformers/pixart_transformer_2d.py
#include <fmt/format.h>

#include <algorithm>

#include "models/diffusion/common/component_config.h"
#include "onnxport/error.h"
#include "onnxport/nn/diffusion_transformer.h"
#include "onnxport/nn/joint_attention.h"
#include "onnxport/nn/timestep.h"
#include "onnxport/nn/unet.h"

namespace onnxport::models {
namespace {

constexpr const char* kDefaults = R"({
  "num_attention_heads": 16, "attention_head_dim": 72, "in_channels": 4, "out_channels": 8, "num_layers": 28,
  "dropout": 0.0, "norm_num_groups": 32, "cross_attention_dim": 1152, "attention_bias": true,
  "sample_size": 128, "patch_size": 2, "activation_fn": "gelu-approximate", "num_embeds_ada_norm": 1000,
  "upcast_attention": false, "norm_type": "ada_norm_single", "norm_elementwise_affine": false,
  "norm_eps": 1e-6, "interpolation_scale": null, "use_additional_conditions": null,
  "caption_channels": null, "attention_type": "default",
  "double_self_attention": false, "num_vector_embeds": null, "only_cross_attention": false,
  "use_linear_projection": false})";

constexpr double kLastEps = 1e-6;           // of the norm behind the blocks
constexpr std::int64_t kSizedSample = 128;  // models of this size are conditioned on the size of the image

// Whether the size of the image and its aspect ratio are conditions.
bool has_sizes(const PretrainedConfig& c) {
  if (c.maybe_integer("use_additional_conditions")) return c.flag("use_additional_conditions");
  return c.integer("sample_size") == kSizedSample;
}

// The width of the text's states.
std::int64_t text_width(const PretrainedConfig& c) {
  return divisor(c, c.maybe_integer("caption_channels") ? "caption_channels" : "cross_attention_dim");
}

void expect(const PretrainedConfig& c, const char* key, const std::string& known) {
  const std::string value = c.string(key);
  if (value == known) return;
  throw ExportError(ErrorCode::unsupported,
                    fmt::format("{}: {} is '{}', supported is '{}'", c.origin(), key, value, known));
}

struct Config {
  std::int64_t in_channels, out_channels, patch, layers, heads, head_dim, text, width, context;
  double base, eps;
  bool sized, affine, bias, projected;

  explicit Config(const PretrainedConfig& c)
      : in_channels(divisor(c, "in_channels")),
        out_channels(c.maybe_integer("out_channels").value_or(in_channels)),
        patch(divisor(c, "patch_size")),
        layers(divisor(c, "num_layers")),
        heads(divisor(c, "num_attention_heads")),
        head_dim(divisor(c, "attention_head_dim")),
        text(text_width(c)),
        width(heads * head_dim),
        context(divisor(c, "cross_attention_dim")),
        eps(c.real("norm_eps")),
        sized(has_sizes(c)),
        affine(c.flag("norm_elementwise_affine")),
        bias(c.flag("attention_bias")),
        projected(c.maybe_integer("caption_channels").has_value()) {
    const std::int64_t sample = divisor(c, "sample_size");
    const auto stretch = c.maybe_real("interpolation_scale");
    const double scale = stretch ? *stretch : static_cast<double>(std::max<std::int64_t>(sample / 64, 1));
    base = nn::grid_base(sample / patch, scale, width, c.origin());
    expect(c, "norm_type", "ada_norm_single");
    expect(c, "activation_fn", "gelu-approximate");
    expect(c, "attention_type", "default");
    if (sized && width % 3 != 0) {
      throw ExportError(ErrorCode::bad_config,
                        fmt::format("{}: num_attention_heads * attention_head_dim is {}, expected a multiple "
                                    "of 3 for two sizes and a ratio",
                                    c.origin(), width));
    }
    if (projected) check_width_of_heads(c, "cross_attention_dim", width);
    check_unset(c, {"double_self_attention", "only_cross_attention"});
    // Settings of other classes and of training, and one that changes how attention runs, not its result.
    c.harmless({"dropout", "norm_num_groups", "num_embeds_ada_norm", "upcast_attention", "num_vector_embeds",
                "use_linear_projection"});
  }

  nn::TokenAttentionParameters attention(std::int64_t of) const {
    return {.width = width, .context = of, .heads = heads, .head_dim = head_dim, .bias = bias};
  }
};

// The step, and the sizes of the image if they are conditions: [B, width].
Value condition(const Scope& s, const Config& c, const Inputs& inputs) {
  Value of_step = nn::SinusoidsEmbedding(s / "timestep_embedder", c.width)(inputs["timestep"]);
  if (!c.sized) return of_step;
  const auto of_sizes = [&](const char* name, Value sizes) {
    const Value each = nn::SinusoidsEmbedding(s / name, c.width / 3)(op::flatten(sizes, 0, 1));
    return op::reshape(each, {sizes.dim(0), sizes.dim(1) * (c.width / 3)});
  };
  const Value resolution = of_sizes("resolution_embedder", inputs["resolution"]);
  const Value ratio = of_sizes("aspect_ratio_embedder", inputs["aspect_ratio"]);
  return op::add(of_step, op::concat({resolution, ratio}, 1));
}

struct Text {
  Value states;  // [B, S, context]
  op::AttentionMask mask;
};

Value run_block(const Scope& s, const Config& c, Value x, const Text& text, Value modulation) {
  const ModulePath at(x, s.path());
  enum : std::size_t { shift, scale, gate, mlp_shift, mlp_scale, mlp_gate };
  const auto m = nn::ModulationTable(s, nn::SharedModulation::kParts, c.width)(modulation);
  const auto normed = [&](const char* name, std::size_t by_scale, std::size_t by_shift) {
    const nn::LayerNorm norm(s / name, c.width, c.eps, c.affine);
    return nn::modulate(norm(x), m[by_scale], m[by_shift]);
  };
  const Value first = normed("norm1", scale, shift);
  const Value attended = nn::TokenAttention(s / "attn1", c.attention(c.width))(first, first);
  x = op::add(op::mul(m[gate], attended), x);
  x = op::add(nn::TokenAttention(s / "attn2", c.attention(c.context))(x, text.states, text.mask), x);
  const Value wide = nn::tanh_feed_forward(s / "ff", c.width)(normed("norm2", mlp_scale, mlp_shift));
  return op::add(op::mul(m[mlp_gate], wide), x);
}

class PixArtTransformerOnnxConfig : public LatentTransformerOnnxConfig {
 public:
  using LatentTransformerOnnxConfig::LatentTransformerOnnxConfig;
  std::vector<ComponentInput> tensors() const override {
    const PretrainedConfig c = config().unaccounted();
    const Dim batch = Dim::symbol("batch_size"), words = Dim::symbol("sequence_length");
    std::vector<ComponentInput> inputs = {
        {"hidden_states", {batch, c.integer("in_channels"), Dim::symbol("height"), Dim::symbol("width")}},
        {"encoder_hidden_states", {batch, words, text_width(c)}},
        {"timestep", {Dim::symbol(kStepAxis)}},
        {"encoder_attention_mask", {batch, words}, ComponentValues::mask}};
    if (has_sizes(c)) {
      inputs.push_back({"resolution", {batch, 2}});
      inputs.push_back({"aspect_ratio", {batch, 1}});
    }
    return inputs;
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component&) {
  const Config c(model.config());
  const Scope root = model.scope(), adaptive = root / "adaln_single";
  const Value latents = inputs["hidden_states"];
  const nn::LatentPatches patches(root / "pos_embed", c.in_channels, c.patch, c.width);
  const Dim rows = patches.rows(latents), columns = patches.columns(latents);
  Value x = patches(latents);
  x = op::add(x, nn::grid_sinusoids(x.graph(), rows, columns, c.width, c.base));
  const Value given = condition(adaptive / "emb", c, inputs);
  const Value modulation = nn::SharedModulation(adaptive, c.width)(given);
  Text text{inputs["encoder_hidden_states"], nn::text_mask(inputs["encoder_attention_mask"])};
  (root / "caption_projection").ignore("y_embedding");  // in older files, for training
  if (c.projected)
    text.states = nn::caption_projection(root / "caption_projection", c.text, c.width)(text.states);
  for (std::int64_t i = 0; i < c.layers; ++i)
    x = run_block(root / "transformer_blocks" / i, c, x, text, modulation);
  const auto m = nn::ModulationTable(root, 2, c.width)(op::unsqueeze(given, 1));
  const Value normed = nn::modulated_norm(x, m[1], m[0], kLastEps);
  const Value out = nn::Linear(root / "proj_out", c.width, c.patch * c.patch * c.out_channels)(normed);
  return {{"out_hidden_states", nn::assemble_patches(out, rows, columns, c.patch)}};
}

}  // namespace

void register_pixart_transformer_2d(TasksManager& tasks) {
  // Published files name the older class, which the original takes for this one by its norm_type.
  register_component<PixArtTransformerOnnxConfig>(
      tasks, "pixart-transformer-2d", {"PixArtTransformer2DModel", "Transformer2DModel"}, kDefaults, forward);
}

}  // namespace onnxport::models
