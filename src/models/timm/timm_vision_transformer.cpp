// Vision Transformer, DeiT, the image encoders of CLIP and SigLIP, DINOv2. Originals:
// https://github.com/huggingface/pytorch-image-models/blob/v1.0.31/timm/models/vision_transformer.py
// https://github.com/huggingface/pytorch-image-models/blob/v1.0.31/timm/models/deit.py
#include <fmt/format.h>

#include "models/timm/common/family.h"
#include "models/timm/common/tokens.h"
#include "models/timm/common/vit_architectures.h"

namespace onnxport::models {
namespace {

struct Config : TimmViT {
  std::string act, pooling;
  nn::KernelSize patch_pixels;
  std::int64_t inner;
  bool positions;

  explicit Config(const TimmConfig& c) : TimmViT(architecture_in(vit_architectures(), c)) {
    // Usually, models that average have their last norm after that.
    const bool keeps_norm = std::string_view(pool) == "avg" && norms == TimmViTNorms::last;
    patch_pixels = patch_size(c, patch);
    patch_grid(c, patch_pixels);
    width = c.positive("embed_dim", width);
    depth = c.integer("depth", depth);
    heads = c.positive("num_heads", heads);
    mlp_ratio = c.real("mlp_ratio", mlp_ratio);
    qkv_bias = c.flag("qkv_bias", qkv_bias);
    layer_scale = c.real("init_values", layer_scale ? 1 : 0) != 0;
    pooling = c.global_pool(pool);
    act = c.string("act_layer", activation);
    tokens.class_token = c.flag("class_token", tokens.class_token);
    tokens.placed = !c.flag("no_embed_class", !tokens.placed);
    tokens.registers = c.integer("reg_tokens", tokens.registers);
    positions = positions_of(c);
    read_norms(c, keeps_norm);
    inner = static_cast<std::int64_t>(static_cast<double>(width) * mlp_ratio) / (gated ? 2 : 1);
    refuse_others(c);
    if (width % heads != 0 || inner < 1 || tokens.registers < 0 ||
        (pooling == "token" && !tokens.class_token) ||
        (distilled && (tokens.registers > 0 || !tokens.class_token || pooling != "token"))) {
      c.fail(
          fmt::format("embed_dim {}, num_heads {}, mlp_ratio {}, reg_tokens {}, class_token {} and "
                      "global_pool '{}' do not fit together",
                      width, heads, mlp_ratio, tokens.registers, tokens.class_token, pooling));
    }
  }

  std::int64_t prefix() const { return tokens.class_token + tokens.registers + distilled; }

  TokenPositions places() const {
    TokenPositions p{.stored = positions, .placed = tokens.placed};
    if (tokens.class_token) p.learned.emplace_back("cls_token", 1);
    if (distilled) p.learned.emplace_back("dist_token", 1);
    if (tokens.registers > 0) p.learned.emplace_back("reg_token", tokens.registers);
    return p;
  }

 private:
  static bool positions_of(const TimmConfig& c) {
    const std::string kind = c.string("pos_embed", "learn");
    if (kind != "learn" && kind != "none" && !kind.empty()) c.fail(fmt::format("pos_embed is '{}'", kind));
    return kind == "learn";
  }

  void read_norms(const TimmConfig& c, bool keeps_norm) {
    const bool usual_pre = norms == TimmViTNorms::both_ends, pre = c.flag("pre_norm", usual_pre);
    const bool final_norm = c.flag("final_norm", norms != TimmViTNorms::none);
    const bool averages = pooling == "avg" || pooling == "avgmax" || pooling == "max";
    const bool pooled = c.flag("fc_norm", averages && !keeps_norm);
    if (pre && (pooled || !final_norm)) c.refuse("pre_norm together with fc_norm or without final_norm");
    norms = pre           ? TimmViTNorms::both_ends
            : !final_norm ? TimmViTNorms::none
            : pooled      ? TimmViTNorms::pooled
                          : TimmViTNorms::last;
  }

  static void refuse_others(const TimmConfig& c) {
    for (const char* key : {"qk_norm", "scale_attn_norm", "scale_mlp_norm", "pool_include_prefix"}) {
      if (c.flag(key, false)) c.refuse(fmt::format("model_args.{} is true, expected false", key));
    }
    if (!c.flag("proj_bias", true)) c.refuse("model_args.proj_bias is false, expected true");
    // The file takes images of the size of the stored positions.
    c.harmless({"dynamic_img_size", "dynamic_img_pad", "strict_img_size"});
  }
};

struct Block {
  nn::LayerNorm norm1, norm2;
  FusedAttention attention;
  std::function<Value(Value)> mlp;
  Weight scale1, scale2;  // empty: none

  Block(const Scope& s, const Config& c)
      : norm1(s / "norm1", c.width, c.eps),
        norm2(s / "norm2", c.width, c.eps),
        attention(fused_attention(s / "attn", c.width, c.heads, c.qkv_bias)),
        mlp(c.gated ? gated_token_mlp(s / "mlp", c.width, c.inner)
                    : token_mlp(s / "mlp", c.width, c.inner, c.act)) {
    if (!c.layer_scale) return;
    scale1 = (s / "ls1").weight("gamma", {c.width});
    scale2 = (s / "ls2").weight("gamma", {c.width});
  }

  Value operator()(Value x) const {
    const Value middle = op::add(x, scaled(attention(norm1(x)), scale1));
    return op::add(middle, scaled(mlp(norm2(middle)), scale2));
  }

 private:
  static Value scaled(Value x, const Weight& scale) {
    return scale ? op::mul(x, x.graph().weight(scale)) : x;
  }
};

Value head(const Scope& s, const TimmConfig& c, const Config& vit, Value x) {
  if (vit.distilled) {
    const Value by_class = classify(s / "head", c, op::select(x, 1, 0), vit.width);
    const Value by_teacher = classify(s / "head_dist", c, op::select(x, 1, 1), vit.width);
    return op::mul(op::add(by_class, by_teacher), 0.5);
  }
  Value pooled;
  if (vit.pooling == "map") {
    const Value patches = vit.prefix() == 0 ? x : op::slice(x, 1, vit.prefix(), x.dim(1));
    pooled = pool_by_attention(s / "attn_pool", patches, vit.heads, vit.inner, vit.eps, vit.act);
  } else {
    pooled = pool_tokens(x, vit.pooling, vit.prefix());
  }
  if (vit.norms == TimmViTNorms::pooled) pooled = nn::LayerNorm(s / "fc_norm", vit.width, vit.eps)(pooled);
  return classify(s / "head", c, pooled, vit.width);
}

TimmOutputs run(const Scope& s, const TimmConfig& c, Value pixel_values) {
  const Config vit(c);
  const bool clip = vit.norms == TimmViTNorms::both_ends;
  Value x = embed_patches(s / "patch_embed", c, pixel_values, vit.patch_pixels, vit.width, !clip);
  x = place_tokens(s, x, vit.places());
  if (clip) x = nn::LayerNorm(s / "norm_pre", vit.width, vit.eps)(x);
  for (std::int64_t i = 0; i < vit.depth; ++i) x = Block(s / "blocks" / i, vit)(x);
  if (clip || vit.norms == TimmViTNorms::last) x = nn::LayerNorm(s / "norm", vit.width, vit.eps)(x);
  return {x, head(s, c, vit, x)};
}

}  // namespace

void register_timm_vision_transformer(TasksManager& tasks) {
  tasks.register_model<FixedTimmOnnxConfig>(timm_definition(
      {.name = "vision_transformer", .architectures = architectures_of(vit_architectures()), .run = run}));
}

}  // namespace onnxport::models
