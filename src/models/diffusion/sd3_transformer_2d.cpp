// The transformer of Stable Diffusion 3 and 3.5, in which the tokens of the image and those of the text
// attend to each other. Original:
// https://github.com/huggingface/diffusers/blob/v0.42.1/src/diffusers/models/transformers/transformer_sd3.py
#include <fmt/format.h>

#include <algorithm>

#include "models/diffusion/common/component_config.h"
#include "onnxport/error.h"
#include "onnxport/nn/diffusion_transformer.h"
#include "onnxport/nn/joint_attention.h"

namespace onnxport::models {
namespace {

constexpr const char* kDefaults = R"({
  "sample_size": 128, "patch_size": 2, "in_channels": 16, "num_layers": 18, "attention_head_dim": 64,
  "num_attention_heads": 18, "joint_attention_dim": 4096, "caption_projection_dim": 1152,
  "pooled_projection_dim": 2048, "out_channels": 16, "pos_embed_max_size": 96, "dual_attention_layers": [],
  "qk_norm": null})";

struct Config {
  std::int64_t in_channels, out_channels, patch, layers, heads, head_dim, text, pooled, grid;
  std::vector<std::int64_t> dual;
  bool normed;
  std::int64_t width;

  explicit Config(const PretrainedConfig& c)
      : in_channels(divisor(c, "in_channels")),
        out_channels(c.maybe_integer("out_channels").value_or(in_channels)),
        patch(divisor(c, "patch_size")),
        layers(divisor(c, "num_layers")),
        heads(divisor(c, "num_attention_heads")),
        head_dim(divisor(c, "attention_head_dim")),
        text(divisor(c, "joint_attention_dim")),
        pooled(divisor(c, "pooled_projection_dim")),
        grid(divisor(c, "pos_embed_max_size")),
        dual(c.integers("dual_attention_layers")),
        normed(c.maybe_string("qk_norm").has_value()),
        width(heads * head_dim) {
    if (normed && c.string("qk_norm") != "rms_norm") {
      throw ExportError(
          ErrorCode::unsupported,
          fmt::format("{}: qk_norm '{}', supported are rms_norm and none", c.origin(), c.string("qk_norm")));
    }
    check_width_of_heads(c, "caption_projection_dim", width);
    c.harmless({"sample_size"});  // the positions of a grid are stored
  }
};

// Positions of the middle of a stored square grid: [1, rows * columns, width].
Value middle_positions(const Scope& s, const Config& c, Graph& graph, const Dim& rows, const Dim& columns) {
  const ModulePath at(graph, s.path());
  const Weight stored = s.weight("pos_embed", {1, c.grid * c.grid, c.width});
  Value table = graph.weight(stored.reshape({c.grid, c.grid, c.width}));
  // Half of the rest of the grid, without a division of a negative number.
  const auto before = [&](const Dim& length) {
    return Dim(c.grid / 2) - (length + (1 - c.grid % 2)).floor_div(2);
  };
  const Dim top = before(rows), left = before(columns);
  table = op::slice(table, 0, top, top + rows);
  table = op::slice(table, 1, left, left + columns);
  return op::reshape(table, {1, rows * columns, c.width});
}

// Tokens of the image [B, I, width] and of the text [B, T, width].
struct Tokens {
  Value image, text;
};

// `last`: the text gets no result.
Tokens run_block(const Scope& s, const Config& c, std::int64_t number, const Tokens& x, Value given) {
  const bool last = number == c.layers - 1;
  const bool dual = std::find(c.dual.begin(), c.dual.end(), number) != c.dual.end();
  const ModulePath at(x.image, s.path());
  enum : std::size_t {
    shift,
    scale,
    gate,
    mlp_shift,
    mlp_scale,
    mlp_gate,
    dual_shift,
    dual_scale,
    dual_gate
  };
  const auto m = nn::Modulation(s / "norm1", c.width, dual ? 9 : 6)(given);
  const auto t = nn::Modulation(s / "norm1_context", c.width, last ? 2 : 6)(given);
  nn::JointAttentionParameters attention{.width = c.width,
                                         .heads = c.heads,
                                         .head_dim = c.head_dim,
                                         .text = last ? nn::JointText::attended : nn::JointText::both,
                                         .normed = c.normed};
  // The last norm of the text has its parts in the other order.
  const Value text_norm =
      last ? nn::modulated_norm(x.text, t[0], t[1]) : nn::modulated_norm(x.text, t[scale], t[shift]);
  const Value image_norm = nn::modulated_norm(x.image, m[scale], m[shift]);
  const auto attended = nn::JointAttention(s / "attn", attention)(image_norm, text_norm);
  Value image = op::add(x.image, op::mul(m[gate], attended.image));
  if (dual) {
    attention.text = nn::JointText::none;
    const Value normed = nn::modulated_norm(x.image, m[dual_scale], m[dual_shift]);
    const Value more = nn::JointAttention(s / "attn2", attention)(normed).image;
    image = op::add(image, op::mul(m[dual_gate], more));
  }
  const auto feed_forward = [&](const char* name, Value of, const std::vector<Value>& by) {
    const Value normed = nn::modulated_norm(of, by[mlp_scale], by[mlp_shift]);
    const Value out = nn::tanh_feed_forward(s / name, c.width)(normed);
    return op::add(of, op::mul(by[mlp_gate], out));
  };
  image = feed_forward("ff", image, m);
  if (last) return {image};
  const Value text = op::add(x.text, op::mul(t[gate], attended.text));
  return {image, feed_forward("ff_context", text, t)};
}

class Sd3TransformerOnnxConfig : public LatentTransformerOnnxConfig {
 public:
  using LatentTransformerOnnxConfig::LatentTransformerOnnxConfig;
  std::vector<ComponentInput> tensors() const override {
    const PretrainedConfig c = config().unaccounted();
    const Dim batch = Dim::symbol("batch_size");
    return {
        {"hidden_states", {batch, c.integer("in_channels"), Dim::symbol("height"), Dim::symbol("width")}},
        {"encoder_hidden_states", {batch, Dim::symbol("sequence_length"), c.integer("joint_attention_dim")}},
        {"pooled_projections", {batch, c.integer("pooled_projection_dim")}},
        {"timestep", {Dim::symbol(kStepAxis)}}};
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component&) {
  const Config c(model.config());
  const Scope root = model.scope(), embed = root / "pos_embed";
  const Value latents = inputs["hidden_states"];
  const nn::LatentPatches patches(embed, c.in_channels, c.patch, c.width);
  const Dim rows = patches.rows(latents), columns = patches.columns(latents);
  const Value tokens = patches(latents);
  Tokens x{op::add(tokens, middle_positions(embed, c, latents.graph(), rows, columns))};
  x.text = nn::Linear(root / "context_embedder", c.text, c.width)(inputs["encoder_hidden_states"]);
  const Value given = op::silu(nn::StepAndText(root / "time_text_embed", c.width, c.pooled, false)(
      inputs["timestep"], inputs["pooled_projections"]));
  for (std::int64_t i = 0; i < c.layers; ++i) x = run_block(root / "transformer_blocks" / i, c, i, x, given);
  const auto m = nn::Modulation(root / "norm_out", c.width, 2)(given);
  const Value normed = nn::modulated_norm(x.image, m[0], m[1]);
  const Value out = nn::Linear(root / "proj_out", c.width, c.patch * c.patch * c.out_channels)(normed);
  return {{"out_hidden_states", nn::assemble_patches(out, rows, columns, c.patch)}};
}

}  // namespace

void register_sd3_transformer_2d(TasksManager& tasks) {
  register_component<Sd3TransformerOnnxConfig>(tasks, "sd3-transformer-2d", {"SD3Transformer2DModel"},
                                               kDefaults, forward);
}

}  // namespace onnxport::models
