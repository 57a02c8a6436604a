// The transformer of Sana: linear attention among the tokens of the image, attention to the text, and gated
// convolutions. Original:
// https://github.com/huggingface/diffusers/blob/v0.42.1/src/diffusers/models/transformers/sana_transformer.py
#include <fmt/format.h>

#include "models/diffusion/common/component_config.h"
#include "onnxport/error.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/diffusion_transformer.h"
#include "onnxport/nn/joint_attention.h"
#include "onnxport/nn/linear_attention.h"
#include "onnxport/nn/timestep.h"
#include "onnxport/nn/unet.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

constexpr const char* kDefaults = R"({
  "in_channels": 32, "out_channels": 32, "num_attention_heads": 70, "attention_head_dim": 32,
  "num_layers": 20, "num_cross_attention_heads": 20, "cross_attention_head_dim": 112,
  "cross_attention_dim": 2240, "caption_channels": 2304, "mlp_ratio": 2.5, "dropout": 0.0,
  "attention_bias": false, "sample_size": 32, "patch_size": 1, "norm_elementwise_affine": false,
  "norm_eps": 1e-6, "interpolation_scale": null, "guidance_embeds": false, "guidance_embeds_scale": 0.1,
  "qk_norm": null, "timestep_scale": 1.0})";

constexpr double kLastEps = 1e-6;   // of the norm behind the blocks
constexpr double kOtherEps = 1e-5;  // of the norms of the text, of queries and of keys

struct Config {
  std::int64_t in_channels, out_channels, patch, layers, heads, cross_heads, cross_head_dim, text, width,
      inner;
  double base = 0, eps;
  std::optional<double> head_eps;  ///< queries and keys have norms
  bool guidance, affine, bias;

  explicit Config(const PretrainedConfig& c)
      : in_channels(divisor(c, "in_channels")),
        out_channels(c.maybe_integer("out_channels").value_or(in_channels)),
        patch(divisor(c, "patch_size")),
        layers(divisor(c, "num_layers")),
        heads(divisor(c, "num_attention_heads")),
        cross_heads(divisor(c, "num_cross_attention_heads")),
        cross_head_dim(divisor(c, "cross_attention_head_dim")),
        text(divisor(c, "caption_channels")),
        width(heads * divisor(c, "attention_head_dim")),
        inner(static_cast<std::int64_t>(c.real("mlp_ratio") * static_cast<double>(width))),
        eps(c.real("norm_eps")),
        guidance(c.flag("guidance_embeds")),
        affine(c.flag("norm_elementwise_affine")),
        bias(c.flag("attention_bias")) {
    if (inner < 1) {
      throw ExportError(ErrorCode::bad_config, fmt::format("{}: mlp_ratio is {}, expected more than 0",
                                                           c.origin(), c.real("mlp_ratio")));
    }
    check_width_of_heads(c, "cross_attention_dim", width);
    if (const auto norm = c.maybe_string("qk_norm")) {
      if (*norm != "rms_norm_across_heads") {
        throw ExportError(
            ErrorCode::unsupported,
            fmt::format("{}: qk_norm '{}', supported are rms_norm_across_heads and none", c.origin(), *norm));
      }
      head_eps = kOtherEps;
    }
    const std::int64_t sample = divisor(c, "sample_size");
    if (const auto stretch = c.maybe_real("interpolation_scale"))
      base = nn::grid_base(sample / patch, *stretch, width, c.origin());
    // Of training; callers scale the step and the guidance.
    c.harmless({"dropout", "timestep_scale", "guidance_embeds_scale"});
  }
};

// The step, and the guidance if it is a condition: [B, width].
Value condition(const Scope& s, const Config& c, const Inputs& inputs) {
  const auto embed = [&](const Scope& at, const char* input) {
    return nn::SinusoidsEmbedding(at, c.width)(inputs[input]);
  };
  if (!c.guidance) return embed(s / "emb" / "timestep_embedder", "timestep");
  const Value step = embed(s / "timestep_embedder", "timestep");
  return op::add(step, embed(s / "guidance_embedder", "guidance"));
}

// x [B, N, width] -> the same
Value attend_to_itself(const Scope& s, const Config& c, Value x) {
  const ModulePath at(x, s.path());
  const auto project = [&](const char* name) { return nn::Linear(s / name, c.width, c.width, c.bias)(x); };
  const auto normed = [&](const char* name, Value of) {
    return c.head_eps ? nn::RmsNorm(s / name, c.width, {.eps = *c.head_eps})(of) : of;
  };
  const auto heads = [&](Value of) { return nn::split_heads(of, c.heads); };
  const Value query = heads(normed("norm_q", project("to_q")));
  const Value key = heads(normed("norm_k", project("to_k")));
  const Value attended = nn::relu_linear_attention(query, key, heads(project("to_v")));
  return nn::finite_half(nn::Linear(s / "to_out.0", c.width, c.width)(nn::merge_heads(attended)));
}

struct Text {
  Value states;  // [B, S, width]
  op::AttentionMask mask;
};

Value run_block(const Scope& s, const Config& c, Value x, const Text& text, Value modulation, const Dim& rows,
                const Dim& columns) {
  const ModulePath at(x, s.path());
  enum : std::size_t { shift, scale, gate, mlp_shift, mlp_scale, mlp_gate };
  const auto m = nn::ModulationTable(s, nn::SharedModulation::kParts, c.width)(modulation);
  const Value first = nn::modulated_norm(x, m[scale], m[shift], c.eps);
  x = op::add(x, op::mul(m[gate], attend_to_itself(s / "attn1", c, first)));
  const nn::TokenAttention to_text(s / "attn2", {.width = c.width,
                                                 .context = c.width,
                                                 .heads = c.cross_heads,
                                                 .head_dim = c.cross_head_dim,
                                                 .bias = true,
                                                 .norm_eps = c.head_eps});
  x = op::add(to_text(x, text.states, text.mask), x);
  const Value normed = nn::LayerNorm(s / "norm2", c.width, c.eps, c.affine)(x);
  const Value image = nn::tokens_to_image(nn::modulate(normed, m[mlp_scale], m[mlp_shift]), rows, columns);
  const Value out = nn::GatedConv(s / "ff", {.channels = c.width, .inner = c.inner})(image);
  return op::add(x, op::mul(m[mlp_gate], nn::image_to_tokens(out)));
}

class SanaTransformerOnnxConfig : public LatentTransformerOnnxConfig {
 public:
  using LatentTransformerOnnxConfig::LatentTransformerOnnxConfig;
  std::vector<ComponentInput> tensors() const override {
    const PretrainedConfig c = config().unaccounted();
    const Dim batch = Dim::symbol("batch_size"), words = Dim::symbol("sequence_length");
    std::vector<ComponentInput> inputs = {
        {"hidden_states", {batch, c.integer("in_channels"), Dim::symbol("height"), Dim::symbol("width")}},
        {"encoder_hidden_states", {batch, words, c.integer("caption_channels")}},
        {"timestep", {Dim::symbol(kStepAxis)}},
        {"encoder_attention_mask", {batch, words}, ComponentValues::mask}};
    if (c.flag("guidance_embeds")) inputs.push_back({"guidance", {batch}});
    return inputs;
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component&) {
  const Config c(model.config());
  const Scope root = model.scope();
  const Value latents = inputs["hidden_states"];
  const nn::LatentPatches patches(root / "patch_embed", c.in_channels, c.patch, c.width);
  const Dim rows = patches.rows(latents), columns = patches.columns(latents);
  Value x = patches(latents);
  if (c.base > 0) x = op::add(x, nn::grid_sinusoids(x.graph(), rows, columns, c.width, c.base));
  const Value given = condition(root / "time_embed", c, inputs);
  const Value modulation = nn::SharedModulation(root / "time_embed", c.width)(given);
  const nn::Mlp project = nn::caption_projection(root / "caption_projection", c.text, c.width);
  const nn::RmsNorm norm(root / "caption_norm", c.width, {.eps = kOtherEps});
  const Value states = norm(project(inputs["encoder_hidden_states"]));
  const Text text{states, nn::text_mask(inputs["encoder_attention_mask"])};
  for (std::int64_t i = 0; i < c.layers; ++i)
    x = run_block(root / "transformer_blocks" / i, c, x, text, modulation, rows, columns);
  const auto m = nn::ModulationTable(root, 2, c.width)(op::unsqueeze(given, 1));
  const Value normed = nn::modulated_norm(x, m[1], m[0], kLastEps);
  const Value out = nn::Linear(root / "proj_out", c.width, c.patch * c.patch * c.out_channels)(normed);
  return {{"out_hidden_states", nn::assemble_patches(out, rows, columns, c.patch)}};
}

}  // namespace

void register_sana_transformer_2d(TasksManager& tasks) {
  register_component<SanaTransformerOnnxConfig>(tasks, "sana-transformer-2d", {"SanaTransformer2DModel"},
                                                kDefaults, forward);
}

}  // namespace onnxport::models
