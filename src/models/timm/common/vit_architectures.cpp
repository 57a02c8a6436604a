#include "models/timm/common/vit_architectures.h"

#include <fmt/format.h>

#include <initializer_list>
#include <utility>

namespace onnxport::models {
namespace {

using Norms = TimmViTNorms;

// Sizes.
constexpr TimmViT tiny = {.width = 192, .heads = 3};
constexpr TimmViT wee = {.width = 256, .depth = 14, .heads = 4, .mlp_ratio = 5};
constexpr TimmViT little = {.width = 320, .depth = 14, .heads = 5, .mlp_ratio = 5.6};
constexpr TimmViT small = {.width = 384, .heads = 6};
constexpr TimmViT medium = {.width = 512, .heads = 8};
constexpr TimmViT deep_medium = {.width = 512, .depth = 20, .heads = 8};
constexpr TimmViT betwixt = {.width = 640, .heads = 10};
constexpr TimmViT base = {};
constexpr TimmViT plus = {.width = 896, .heads = 14};
constexpr TimmViT so150m = {.width = 896, .depth = 18, .heads = 14, .mlp_ratio = 2.572};
constexpr TimmViT so150m2 = {.width = 832, .depth = 21, .heads = 13, .mlp_ratio = 34.0 / 13};
constexpr TimmViT large = {.width = 1024, .depth = 24, .heads = 16};
constexpr TimmViT so400m = {.width = 1152, .depth = 27, .heads = 16, .mlp_ratio = 3.7362};
constexpr TimmViT huge = {.width = 1280, .depth = 32, .heads = 16};
constexpr TimmViT giant = {.width = 1408, .depth = 40, .heads = 16, .mlp_ratio = 48.0 / 11};
constexpr TimmViT giantopt = {.width = 1536, .depth = 40, .heads = 16};
constexpr TimmViT dino_giant = {
    .width = 1536, .depth = 40, .heads = 24, .mlp_ratio = 2 * 2.66667, .gated = true};
constexpr TimmViT gigantic = {.width = 1664, .depth = 48, .heads = 16, .mlp_ratio = 64.0 / 13};

TimmViT with_patch(TimmViT a, std::int64_t patch) {
  a.patch = patch;
  return a;
}

TimmViT scaled(TimmViT a) {
  a.layer_scale = true;
  return a;
}

TimmViT without_qkv_bias(TimmViT a) {
  a.qkv_bias = false;
  return a;
}

TimmViT with_activation(TimmViT a, const char* activation) {
  a.activation = activation;
  return a;
}

// The mean of the patches instead of a class token.
TimmViT averaged(TimmViT a, Norms norms) {
  a.tokens.class_token = false;
  a.pool = "avg";
  a.norms = norms;
  return a;
}

TimmViT with_registers(TimmViT a, std::int64_t registers, bool placed = false) {
  a.tokens.registers = registers;
  a.tokens.placed = placed;
  return a;
}

TimmViT clip(TimmViT a) {
  a.norms = Norms::both_ends;
  a.eps = 1e-5;
  return a;
}

TimmViT siglip(TimmViT a) {
  a.tokens.class_token = false;
  a.pool = "map";
  return a;
}

// Class token without a position. (Touvron et al. 2022)
TimmViT deit3(TimmViT a) {
  a.tokens.placed = false;
  return scaled(a);
}

TimmViT distilled(TimmViT a) {
  a.distilled = true;
  return a;
}

class Table {
 public:
  std::map<std::string, TimmViT, std::less<>> entries;

  /// `name` has {} for the size of the patches and, at its end, one name for each size of images.
  void add(std::string_view name, const TimmViT& size, std::int64_t patch,
           std::initializer_list<int> images) {
    const std::string stem = fmt::format(fmt::runtime(name), patch);
    for (const int image : images) entries[fmt::format("{}_{}", stem, image)] = with_patch(size, patch);
  }
  void add(std::string name, const TimmViT& size) { entries[std::move(name)] = size; }
};

void add_plain(Table& t) {
  t.add("vit_tiny_patch{}", tiny, 16, {224, 384});
  t.add("vit_small_patch{}", small, 8, {224});
  t.add("vit_small_patch{}", small, 16, {224, 384});
  t.add("vit_small_patch{}", small, 32, {224, 384});
  t.add("vit_base_patch{}", base, 8, {224});
  t.add("vit_base_patch{}", base, 16, {224, 384});
  t.add("vit_base_patch{}", base, 32, {224, 384});
  t.add("vit_large_patch{}", large, 14, {224});
  t.add("vit_large_patch{}", large, 16, {224, 384});
  t.add("vit_large_patch{}", large, 32, {224, 384});
  t.add("vit_huge_patch{}", huge, 14, {224});
  t.add("vit_giant_patch{}", giant, 14, {224});
  t.add("vit_gigantic_patch{}", gigantic, 14, {224});
  t.add("vit_base_patch16_224_miil", without_qkv_bias(base));
  t.add("vit_base_patch{}_plus", scaled(plus), 16, {240});
  t.add("vit_base_patch{}_plus", scaled(plus), 32, {256});
  TimmViT tall = scaled(small);
  tall.depth = 36;
  t.add("vit_small_patch{}_36x1", tall, 16, {224});
  TimmViT eva = large;
  eva.pool = "avg";
  eva.norms = Norms::pooled;
  t.add("eva_large_patch{}", eva, 14, {196, 336});
  for (const auto& [name, size] : {std::pair("small", small), {"base", base}, {"large", large}}) {
    TimmViT flexible = size;
    flexible.tokens.placed = false;
    t.add(fmt::format("flexivit_{}", name), flexible);
  }
}

void add_averaged(Table& t) {
  const TimmViT unbiased = scaled(without_qkv_bias(averaged(medium, Norms::last)));
  t.add("vit_medium_patch{}_gap", unbiased, 16, {240, 256, 384});
  t.add("vit_betwixt_patch{}_gap", scaled(without_qkv_bias(averaged(betwixt, Norms::last))), 16, {256});
  TimmViT narrow_heads = averaged(base, Norms::last);
  narrow_heads.heads = 16;
  t.add("vit_base_patch{}_gap", narrow_heads, 16, {224});
  t.add("vit_huge_patch{}_gap", averaged(huge, Norms::last), 14, {224});
  t.add("vit_huge_patch{}_gap", averaged(huge, Norms::last), 16, {448});
  t.add("vit_giant_patch{}_gap", averaged(giant, Norms::last), 16, {224});

  const auto registered = [](const TimmViT& size, std::int64_t registers) {
    return with_registers(averaged(size, Norms::pooled), registers);
  };
  t.add("vit_wee_patch{}_reg1_gap", scaled(registered(wee, 1)), 16, {256});
  t.add("vit_little_patch{}_reg1_gap", scaled(registered(little, 1)), 16, {256});
  t.add("vit_little_patch{}_reg4_gap", scaled(registered(little, 4)), 16, {256});
  t.add("vit_medium_patch{}_reg1_gap", scaled(registered(medium, 1)), 16, {256});
  t.add("vit_medium_patch{}_reg4_gap", scaled(registered(medium, 4)), 16, {256});
  t.add("vit_mediumd_patch{}_reg4_gap", scaled(registered(deep_medium, 4)), 16, {256, 384});
  t.add("vit_betwixt_patch{}_reg1_gap", scaled(registered(betwixt, 1)), 16, {256});
  t.add("vit_betwixt_patch{}_reg4_gap", scaled(registered(betwixt, 4)), 16, {256, 384});
  t.add("vit_base_patch{}_reg4_gap", registered(base, 4), 16, {256});
  t.add("vit_so150m_patch{}_reg4_map", with_registers(siglip(so150m), 4, true), 16, {256});
  t.add("vit_so150m_patch{}_reg4_gap", with_registers(averaged(so150m, Norms::last), 4, true), 16,
        {256, 384});
  const TimmViT unbiased2 = scaled(without_qkv_bias(averaged(so150m2, Norms::pooled)));
  t.add("vit_so150m2_patch{}_reg1_gap", with_registers(unbiased2, 1, true), 16, {256, 384, 448});
}

void add_clip(Table& t) {
  TimmViT xsmall = {.width = 256, .depth = 10, .heads = 4};
  t.add("vit_xsmall_patch{}_clip", clip(xsmall), 16, {224});
  t.add("vit_medium_patch{}_clip", clip(medium), 16, {224});
  t.add("vit_medium_patch{}_clip", clip(medium), 32, {224});
  t.add("vit_betwixt_patch{}_clip", clip(betwixt), 32, {224});
  t.add("vit_base_patch{}_clip", clip(base), 16, {224, 384});
  t.add("vit_base_patch{}_clip", clip(base), 32, {224, 256, 384, 448});
  t.add("vit_base_patch{}_plus_clip", clip(plus), 16, {240});
  t.add("vit_large_patch{}_clip", clip(large), 14, {224, 336});
  t.add("vit_huge_patch{}_clip", clip(huge), 14, {224, 336, 378});
  t.add("vit_giant_patch{}_clip", clip(giant), 14, {224});
  t.add("vit_gigantic_patch{}_clip", clip(gigantic), 14, {224, 378});
  const auto quick = [](const TimmViT& size) { return with_activation(clip(size), "quick_gelu"); };
  t.add("vit_base_patch{}_clip_quickgelu", quick(base), 16, {224});
  t.add("vit_base_patch{}_clip_quickgelu", quick(base), 32, {224});
  t.add("vit_large_patch{}_clip_quickgelu", quick(large), 14, {224, 336});
  t.add("vit_huge_patch{}_clip_quickgelu", quick(huge), 14, {224, 378});
  t.add("vit_gigantic_patch{}_clip_quickgelu", quick(gigantic), 14, {224});
}

// With pooling by attention, and the same encoders with the mean of their patches.
void add_siglip(Table& t) {
  const auto both = [&](std::string_view name, const TimmViT& size, std::int64_t patch,
                        std::initializer_list<int> images, std::initializer_list<int> only_averaged = {}) {
    t.add(fmt::format("{}_siglip", name), siglip(size), patch, images);
    t.add(fmt::format("{}_siglip_gap", name), averaged(size, Norms::last), patch, images);
    t.add(fmt::format("{}_siglip_gap", name), averaged(size, Norms::last), patch, only_averaged);
  };
  const auto tanh = [](const TimmViT& size) { return with_activation(size, "gelu_tanh"); };
  both("vit_base_patch{}", base, 16, {224, 256, 384, 512});
  both("vit_base_patch{}", tanh(base), 32, {256});
  both("vit_large_patch{}", large, 16, {256, 384});
  both("vit_large_patch{}", tanh(large), 16, {512});
  both("vit_so400m_patch{}", so400m, 14, {224, 378, 384}, {448, 896});
  both("vit_so400m_patch{}", tanh(so400m), 16, {256, 384, 512});
  both("vit_giantopt_patch{}", tanh(giantopt), 16, {256, 384});
}

void add_dinov2(Table& t) {
  TimmViT tips = so400m;
  tips.mlp_ratio = 4304.0 / 1152;
  const std::pair<const char*, TimmViT> sizes[] = {
      {"small", small}, {"base", base}, {"large", large}, {"so400m", tips}, {"giant", dino_giant}};
  for (const auto& [name, size] : sizes) {
    const TimmViT a = with_patch(scaled(size), 14);
    const std::string stem = fmt::format("vit_{}_patch14", name);
    if (name != std::string_view("so400m")) {
      t.add(stem + "_dinov2", a);
      t.add(stem + "_reg4_dinov2", with_registers(a, 4));
    }
    if (name != std::string_view("small")) t.add(stem + "_reg1_tipsv2", with_registers(a, 1));
  }
  TimmViT intern = scaled(large);
  intern.norms = Norms::none;
  t.add("vit_intern300m_patch{}", intern, 14, {448});
}

void add_deit(Table& t) {
  t.add("deit_tiny_patch{}", tiny, 16, {224});
  t.add("deit_small_patch{}", small, 16, {224});
  t.add("deit_base_patch{}", base, 16, {224, 384});
  t.add("deit_tiny_distilled_patch{}", distilled(tiny), 16, {224});
  t.add("deit_small_distilled_patch{}", distilled(small), 16, {224});
  t.add("deit_base_distilled_patch{}", distilled(base), 16, {224, 384});
  t.add("deit3_small_patch{}", deit3(small), 16, {224, 384});
  t.add("deit3_medium_patch{}", deit3(medium), 16, {224});
  t.add("deit3_base_patch{}", deit3(base), 16, {224, 384});
  t.add("deit3_large_patch{}", deit3(large), 16, {224, 384});
  t.add("deit3_huge_patch{}", deit3(huge), 14, {224});
}

}  // namespace

const std::map<std::string, TimmViT, std::less<>>& vit_architectures() {
  static const auto entries = [] {
    Table t;
    add_plain(t);
    add_averaged(t);
    add_clip(t);
    add_siglip(t);
    add_dinov2(t);
    add_deit(t);
    return t.entries;
  }();
  return entries;
}

}  // namespace onnxport::models
