// EVA and EVA-02: Vision Transformers with rotary positions and gates. Original:
// https://github.com/huggingface/pytorch-image-models/blob/v1.0.31/timm/models/eva.py
#include <fmt/format.h>

#include <cmath>
#include <map>

#include "models/timm/common/family.h"
#include "models/timm/common/tokens.h"

namespace onnxport::models {
namespace {

// Feed-forward networks: with gates in one layer, or with gates and a norm (in EVA-02's larger models).
enum class Mlp : std::uint8_t { plain, gated, gated_norm };

struct Eva {
  std::int64_t patch = 14, width = 768, depth = 12, heads = 12, registers = 0;
  double mlp_ratio = 4;
  Mlp mlp = Mlp::plain;
  const char* pool = "avg";
  bool rotates = false, class_token = true, stored_positions = true, fused = true, qkv_bias = true;
  bool inner_norm = false;  // in the attention
  bool post_norm = false;   // norms after attention and feed-forward
  bool layer_scale = false;
};

constexpr double kGated = 4.0 * 2 / 3;

Eva eva02(std::int64_t width, std::int64_t depth, std::int64_t heads) {
  return {.width = width,
          .depth = depth,
          .heads = heads,
          .mlp_ratio = kGated,
          .mlp = Mlp::gated,
          .rotates = true};
}

Eva eva02_large(std::int64_t width, std::int64_t depth, std::int64_t heads) {
  Eva a = eva02(width, depth, heads);
  a.mlp = Mlp::gated_norm;
  a.fused = false;
  return a;
}

Eva clip(Eva a) {
  a.pool = "token";
  a.inner_norm = a.rotates;
  return a;
}

// Without class token and stored positions.
Eva rope(std::int64_t width, std::int64_t depth, std::int64_t heads, std::int64_t registers) {
  return {.patch = 16,
          .width = width,
          .depth = depth,
          .heads = heads,
          .registers = registers,
          .rotates = true,
          .class_token = false,
          .stored_positions = false,
          .layer_scale = true};
}

const std::map<std::string, Eva, std::less<>>& architectures() {
  static const auto entries = [] {
    const Eva giant = {.width = 1408, .depth = 40, .heads = 16, .mlp_ratio = 6144.0 / 1408};
    const Eva tiny = eva02(192, 12, 3), small = eva02(384, 12, 6);
    const Eva base = eva02_large(768, 12, 12), large = eva02_large(1024, 24, 16);
    Eva clip_base = clip(base), enormous = {.width = 1792, .depth = 64, .heads = 16};
    clip_base.patch = 16;
    enormous.mlp_ratio = 15360.0 / 1792;
    enormous.pool = "token";
    enormous.post_norm = true;
    Eva unbiased = rope(512, 20, 8, 1);
    unbiased.qkv_bias = false;
    return std::map<std::string, Eva, std::less<>>{
        {"eva_giant_patch14_224", giant},
        {"eva_giant_patch14_336", giant},
        {"eva_giant_patch14_560", giant},
        {"eva_giant_patch14_clip_224", clip(giant)},
        {"eva02_tiny_patch14_224", tiny},
        {"eva02_tiny_patch14_336", tiny},
        {"eva02_small_patch14_224", small},
        {"eva02_small_patch14_336", small},
        {"eva02_base_patch14_224", base},
        {"eva02_base_patch14_448", base},
        {"eva02_large_patch14_224", large},
        {"eva02_large_patch14_448", large},
        {"eva02_base_patch16_clip_224", clip_base},
        {"eva02_large_patch14_clip_224", clip(large)},
        {"eva02_large_patch14_clip_336", clip(large)},
        {"eva02_enormous_patch14_clip_224", enormous},
        {"vit_medium_patch16_rope_reg1_gap_256", rope(512, 12, 8, 1)},
        {"vit_mediumd_patch16_rope_reg1_gap_256", unbiased},
        {"vit_betwixt_patch16_rope_reg4_gap_256", rope(640, 12, 10, 4)},
        {"vit_base_patch16_rope_reg1_gap_256", rope(768, 12, 12, 1)},
    };
  }();
  return entries;
}

constexpr double kEps = 1e-6;

struct Config : Eva {
  std::string pooling;
  nn::KernelSize patch_pixels, grid, reference;
  std::int64_t inner;
  bool pooled_norm;

  explicit Config(const TimmConfig& c) : Eva(architecture_in(architectures(), c)) {
    patch_pixels = patch_size(c, patch);
    grid = patch_grid(c, patch_pixels);
    width = c.positive("embed_dim", width);
    depth = c.integer("depth", depth);
    heads = c.positive("num_heads", heads);
    mlp_ratio = c.real("mlp_ratio", mlp_ratio);
    qkv_bias = c.flag("qkv_bias", qkv_bias);
    fused = c.flag("qkv_fused", fused);
    layer_scale = c.real("init_values", layer_scale ? 1 : 0) != 0;
    class_token = c.flag("class_token", class_token);
    registers = c.integer("num_reg_tokens", registers);
    stored_positions = c.flag("use_abs_pos_emb", stored_positions);
    pooling = c.global_pool(pool);
    pooled_norm = c.flag("use_fc_norm", pooling == "avg");
    const auto sides = c.sizes("ref_feat_shape", {16}, 2);
    reference = {sides[0], sides[1]};
    inner = static_cast<std::int64_t>(static_cast<double>(width) * mlp_ratio);
    // The file takes images of one size.
    c.harmless({"dynamic_img_size", "dynamic_img_pad"});
    // Pairs of elements rotate by rows, as many by columns.
    if (width % heads != 0 || (width / heads) % 4 != 0 || inner < 1 || registers < 0 ||
        (pooling == "token" && prefix() == 0)) {
      c.fail(
          fmt::format("embed_dim {}, num_heads {}, mlp_ratio {}, num_reg_tokens {} and global_pool '{}' "
                      "do not fit together",
                      width, heads, mlp_ratio, registers, pooling));
    }
  }

  std::int64_t prefix() const { return class_token + registers; }
  std::int64_t head_dim() const { return width / heads; }
};

// The angles of all tokens, [tokens, head_dim / 2]: 0 for learned ones, then rows and columns at a quarter of
// the frequencies each. Grids are stretched to that of the pretraining.
std::vector<double> angles(const Config& c) {
  const std::int64_t bands = c.head_dim() / 4;
  std::vector<double> all(static_cast<std::size_t>(c.prefix() * 2 * bands), 0.0);
  const auto add = [&](std::int64_t i, std::int64_t of, std::int64_t reference) {
    const double place = static_cast<double>(i) / static_cast<double>(of) * static_cast<double>(reference);
    for (std::int64_t band = 0; band < bands; ++band)
      all.push_back(place * std::pow(10000.0, -static_cast<double>(band) / static_cast<double>(bands)));
  };
  for (std::int64_t y = 0; y < c.grid.height; ++y) {
    for (std::int64_t x = 0; x < c.grid.width; ++x) {
      add(y, c.grid.height, c.reference.height);
      add(x, c.grid.width, c.reference.width);
    }
  }
  return all;
}

std::function<Value(Value)> rotation(Graph& graph, const Config& c) {
  std::vector<double> cosines = angles(c), sines = cosines;
  for (double& a : cosines) a = std::cos(a);
  for (double& a : sines) a = std::sin(a);
  const std::int64_t tokens = c.prefix() + c.grid.height * c.grid.width;
  const std::vector<std::int64_t> shape = {1, tokens, c.head_dim() / 2};
  const Value cos = graph.weight(Weight::from_doubles(DType::f32, shape, cosines, "rope.cos"));
  const Value sin = graph.weight(Weight::from_doubles(DType::f32, shape, sines, "rope.sin"));
  return [cos, sin, heads = c.heads](Value x) { return op::rotary_embedding(x, cos, sin, heads, true); };
}

FusedAttention attention(const Scope& s, const Config& c, const std::function<Value(Value)>& turn) {
  const std::int64_t width = c.width;
  FusedAttention a{.path = s.path(),
                   .heads = c.heads,
                   .projections = {},
                   .turn = turn,
                   .output = nn::Linear(s / "proj", width, width)};
  if (c.inner_norm) a.norm.emplace(s / "norm", width, kEps);
  if (!c.fused) {
    a.projections = {nn::Linear(s / "q_proj", width, width, c.qkv_bias),
                     nn::Linear(s / "k_proj", width, width, false),
                     nn::Linear(s / "v_proj", width, width, c.qkv_bias)};
    return a;
  }
  const Weight weight = (s / "qkv").weight("weight", {3 * width, width});
  Weight bias;
  if (c.qkv_bias) {
    // Keys have none.
    const std::vector<double> zeros(static_cast<std::size_t>(width), 0.0);
    const Weight parts[] = {s.weight("q_bias", {width}).cast(DType::f32),
                            Weight::from_doubles(DType::f32, {width}, zeros),
                            s.weight("v_bias", {width}).cast(DType::f32)};
    bias = Weight::concat(parts, 0).named((s / "qkv").path() + ".bias");
  }
  a.projections.emplace_back((s / "qkv").path(), weight, bias);
  return a;
}

std::function<Value(Value)> feed_forward(const Scope& s, const Config& c) {
  if (c.mlp == Mlp::plain) return token_mlp(s, c.width, c.inner);
  if (c.mlp == Mlp::gated) return gated_token_mlp(s, c.width, c.inner);
  const nn::Linear gate(s / "fc1_g", c.width, c.inner), up(s / "fc1_x", c.width, c.inner);
  const nn::LayerNorm norm(s / "norm", c.inner, kEps);
  const nn::Linear down(s / "fc2", c.inner, c.width);
  return [gate, up, norm, down](Value x) {
    const Value opened = op::silu(gate(x));
    return down(norm(op::mul(opened, up(x))));
  };
}

Value block(const Scope& s, const Config& c, const std::function<Value(Value)>& turn, Value x) {
  const nn::LayerNorm norm1(s / "norm1", c.width, kEps), norm2(s / "norm2", c.width, kEps);
  const FusedAttention attend = attention(s / "attn", c, turn);
  const auto mlp = feed_forward(s / "mlp", c);
  const auto scaled = [&](Value y, const char* key) {
    return c.layer_scale ? op::mul(y, y.graph().weight(s.weight(key, {c.width}))) : y;
  };
  if (c.post_norm) {
    const Value middle = op::add(x, norm1(attend(x)));
    return op::add(middle, norm2(mlp(middle)));
  }
  const Value middle = op::add(x, scaled(attend(norm1(x)), "gamma_1"));
  return op::add(middle, scaled(mlp(norm2(middle)), "gamma_2"));
}

TimmOutputs run(const Scope& s, const TimmConfig& c, Value pixel_values) {
  const Config eva(c);
  TokenPositions places{.stored = eva.stored_positions};
  if (eva.class_token) places.learned.emplace_back("cls_token", 1);
  if (eva.registers > 0) places.learned.emplace_back("reg_token", eva.registers);
  Value x = embed_patches(s / "patch_embed", c, pixel_values, eva.patch_pixels, eva.width);
  x = place_tokens(s, x, places);
  const auto turn = eva.rotates ? rotation(x.graph(), eva) : std::function<Value(Value)>();
  for (std::int64_t i = 0; i < eva.depth; ++i) x = block(s / "blocks" / i, eva, turn, x);
  if (!eva.pooled_norm) x = nn::LayerNorm(s / "norm", eva.width, kEps)(x);
  Value pooled = pool_tokens(x, eva.pooling, eva.prefix());
  if (eva.pooled_norm) pooled = nn::LayerNorm(s / "fc_norm", eva.width, kEps)(pooled);
  return {x, classify(s / "head", c, pooled, eva.width)};
}

}  // namespace

void register_timm_eva(TasksManager& tasks) {
  tasks.register_model<FixedTimmOnnxConfig>(
      timm_definition({.name = "eva", .architectures = architectures_of(architectures()), .run = run}));
}

}  // namespace onnxport::models
