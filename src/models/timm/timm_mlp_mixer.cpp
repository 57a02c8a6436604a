// MLP-Mixer and ResMLP: feed-forward networks over channels and over tokens. Original:
// https://github.com/huggingface/pytorch-image-models/blob/v1.0.31/timm/models/mlp_mixer.py
#include <fmt/format.h>

#include <map>

#include "models/timm/common/family.h"
#include "models/timm/common/tokens.h"

namespace onnxport::models {
namespace {

enum class Kind : std::uint8_t { mixer, gated_mixer, residual };

struct Mixer {
  std::int64_t patch, blocks, width;
  Kind kind = Kind::mixer;
};

const std::map<std::string, Mixer, std::less<>>& architectures() {
  static const std::map<std::string, Mixer, std::less<>> entries = {
      {"mixer_s32_224", {32, 8, 512}},
      {"mixer_s16_224", {16, 8, 512}},
      {"mixer_b32_224", {32, 12, 768}},
      {"mixer_b16_224", {16, 12, 768}},
      {"mixer_l32_224", {32, 24, 1024}},
      {"mixer_l16_224", {16, 24, 1024}},
      {"gmixer_12_224", {16, 12, 384, Kind::gated_mixer}},
      {"gmixer_24_224", {16, 24, 384, Kind::gated_mixer}},
      {"resmlp_12_224", {16, 12, 384, Kind::residual}},
      {"resmlp_24_224", {16, 24, 384, Kind::residual}},
      {"resmlp_36_224", {16, 36, 384, Kind::residual}},
      {"resmlp_big_24_224", {8, 24, 768, Kind::residual}},
  };
  return entries;
}

constexpr double kEps = 1e-6;

// A learned scale and shift. Keys: alpha, beta.
Value affine(const Scope& s, std::int64_t width, Value x) {
  const ModulePath at(x, s.path());
  const Value scaled = op::mul(x, x.graph().weight(s.weight("alpha", {1, 1, width})));
  return op::add(scaled, x.graph().weight(s.weight("beta", {1, 1, width})));
}

// x [B, tokens, width]; `inner`: widths inside of the networks over tokens and over channels.
Value mixer_block(const Scope& s, std::int64_t width, const std::vector<std::int64_t>& inner, bool gated,
                  Value x) {
  const std::int64_t tokens = *x.dim(1).constant();
  const auto mlp = [&](const char* name, std::int64_t in, std::int64_t hidden) {
    return gated ? gated_token_mlp(s / name, in, hidden / 2, true) : token_mlp(s / name, in, hidden);
  };
  const Value turned = op::transpose(nn::LayerNorm(s / "norm1", width, kEps)(x), 1, 2);
  const Value mixed = mlp("mlp_tokens", tokens, inner[0])(turned);
  const Value middle = op::add(x, op::transpose(mixed, 1, 2));
  const Value normed = nn::LayerNorm(s / "norm2", width, kEps)(middle);
  return op::add(middle, mlp("mlp_channels", width, inner[1])(normed));
}

Value residual_block(const Scope& s, std::int64_t width, std::int64_t inner, Value x) {
  const std::int64_t tokens = *x.dim(1).constant();
  const auto scaled = [&](Value y, const char* key) {
    return op::mul(y, y.graph().weight(s.weight(key, {width})));
  };
  const Value turned = op::transpose(affine(s / "norm1", width, x), 1, 2);
  const Value mixed = op::transpose(nn::Linear(s / "linear_tokens", tokens, tokens)(turned), 1, 2);
  const Value middle = op::add(x, scaled(mixed, "ls1"));
  const Value fed = token_mlp(s / "mlp_channels", width, inner)(affine(s / "norm2", width, middle));
  return op::add(middle, scaled(fed, "ls2"));
}

TimmOutputs run(const Scope& s, const TimmConfig& c, Value pixel_values) {
  const Mixer& usual = architecture_in(architectures(), c);
  const bool residual = usual.kind == Kind::residual;
  const std::int64_t width = c.positive("embed_dim", usual.width);
  if (c.flag("stem_norm", false)) c.refuse("model_args.stem_norm is true, expected false");
  c.harmless({"nlhb"});  // how weights are initialized
  const nn::KernelSize patch = patch_size(c, usual.patch);
  patch_grid(c, patch);
  // Twice as wide as the gates, where there are any.
  const double over_tokens = usual.kind == Kind::gated_mixer ? 1 : 0.5;
  const std::vector<std::int64_t> inner = {
      static_cast<std::int64_t>(over_tokens * static_cast<double>(width)), 4 * width};

  Value x = embed_patches(s / "stem", c, pixel_values, patch, width);
  const std::int64_t blocks = c.integer("num_blocks", usual.blocks);
  for (std::int64_t i = 0; i < blocks; ++i) {
    const Scope at = s / "blocks" / i;
    x = residual ? residual_block(at, width, inner[1], x)
                 : mixer_block(at, width, inner, usual.kind == Kind::gated_mixer, x);
  }
  x = residual ? affine(s / "norm", width, x) : nn::LayerNorm(s / "norm", width, kEps)(x);
  const std::string pool = c.global_pool();
  if (pool != "avg") c.fail(fmt::format("global_pool is '{}', expected avg", pool));
  return {x, classify(s / "head", c, pool_tokens(x, pool, 0), width)};
}

}  // namespace

void register_timm_mlp_mixer(TasksManager& tasks) {
  tasks.register_model<FixedTimmOnnxConfig>(
      timm_definition({.name = "mlp_mixer", .architectures = architectures_of(architectures()), .run = run}));
}

}  // namespace onnxport::models
