// MGP-STR: a Vision Transformer that reads text in images, as characters, as BPE tokens and as WordPieces.
// Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/mgp_str/modeling_mgp_str.py
#include <fmt/format.h>

#include <string>

#include "models/timm/common/tokens.h"
#include "models/vision/common/vit.h"
#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/rotated_encoder.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

constexpr std::int64_t kGroups = 8;  // of the convolutions that choose tokens

struct Config {
  std::int64_t hidden_size, layers, heads, inner, channels, length;
  nn::KernelSize patch;
  double eps;
  bool qkv_bias;

  explicit Config(const PretrainedConfig& c)
      : hidden_size(c.integer("hidden_size")),
        layers(c.integer("num_hidden_layers")),
        heads(c.integer("num_attention_heads")),
        inner(static_cast<std::int64_t>(static_cast<double>(hidden_size) * c.real("mlp_ratio"))),
        channels(c.integer("num_channels")),
        length(c.integer("max_token_length")),
        patch(patch_of(c)),
        eps(c.real("layer_norm_eps")),
        qkv_bias(c.flag("qkv_bias")) {
    check_heads(c, hidden_size, heads);
    check_multiple(c, "hidden_size", hidden_size, "the number of groups", kGroups);
    if (c.flag("distilled")) {
      throw ExportError(ErrorCode::unsupported,
                        fmt::format("{}: distilled is true, but the model has no second token", c.origin()));
    }
    c.harmless({"drop_rate", "attn_drop_rate", "drop_path_rate"});  // of training
    c.harmless({"output_a3_attentions"});                           // results that no file has
  }

  nn::LayerNorm norm(const Scope& s) const { return {s, hidden_size, eps}; }

 private:
  static nn::KernelSize patch_of(const PretrainedConfig& c) {
    const std::vector<std::int64_t> image = c.integers("image_size"), patch = c.integers("patch_size");
    const bool given = !image.empty() && !patch.empty() && image.size() <= 2 && patch.size() <= 2;
    if (given && patch.front() > 0 && patch.back() > 0 && image.front() >= patch.front() &&
        image.back() >= patch.back()) {
      return {patch.front(), patch.back()};
    }
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format("{}: image_size and patch_size must be one or two numbers each, and a patch "
                    "must fit an image",
                    c.origin()));
  }
};

class MgpstrOnnxConfig : public ViTOnnxConfig {
 public:
  using ViTOnnxConfig::ViTOnnxConfig;
  AxesByName outputs() const override {
    const Axes rows = {{0, "batch_size"}};
    return {{"char_logits", rows}, {"bpe_logits", rows}, {"wp_logits", rows}};
  }
};

// pixel_values [B, C, H, W] -> [B, 1 + patches, hidden_size]
Value encode(const Scope& s, const Config& c, Value pixel_values) {
  const Scope e = s / "embeddings";
  const nn::Conv2d projection(e / "proj", c.channels, c.hidden_size, c.patch, true,
                              {.stride = {c.patch.height, c.patch.width}});
  Value x = place_tokens(e, nn::image_to_tokens(projection(pixel_values)), {.learned = {{"cls_token", 1}}});
  for (std::int64_t i = 0; i < c.layers; ++i) {
    const Scope block = s / "encoder" / "blocks" / i;
    const ModulePath at(x, block.path());
    const FusedAttention attend = fused_attention(block / "attn", c.hidden_size, c.heads, c.qkv_bias);
    x = nn::pre_norm_residual(x, c.norm(block / "norm1"), attend);
    x = nn::pre_norm_residual(x, c.norm(block / "norm2"), token_mlp(block / "mlp", c.hidden_size, c.inner));
  }
  return x;
}

// Each of the `length` places of a text looks at all tokens: [B, S, H] -> [B, length, H].
Value choose_tokens(const Scope& s, const Config& c, Value hidden) {
  const ModulePath at(hidden, s.path());
  const std::int64_t width = c.hidden_size;
  const auto by_group = [&](const Scope& of) {
    return nn::Conv2d(of, width, width, {1, 1}, false, {.groups = kGroups});
  };
  const Value normed = c.norm(s / "token_norm")(hidden);
  const Value image = op::unsqueeze(op::transpose(normed, 1, 2), 3);
  const Value mixed = by_group(s / "tokenLearner" / 0)(image);
  const Value scores = nn::Conv2d(s / "tokenLearner" / 1, width, c.length, {1, 1}, false)(mixed);
  const Value shares = op::softmax(op::squeeze(scores, 3), 2);
  const Value features = op::squeeze(by_group(s / "feat")(image), 3);
  const Value chosen = op::matmul(shares, op::transpose(features, 1, 2));
  return c.norm(s / "norm")(chosen);
}

// The model without its heads, as the encoder of another one.
EncoderStates encode_alone(const Inputs& inputs, const Model& model, const Component& /*component*/) {
  return {encode(model.scope().base_model("mgp_str"), Config(model.config()), inputs["pixel_values"])};
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  const Config c(config);
  const Scope root = model.scope();
  const Value hidden = encode_alone(inputs, model, component).hidden;
  const auto logits = [&](const std::string& name, const char* labels) {
    const Value chosen = choose_tokens(root / (name + "_a3_module"), c, hidden);
    return nn::Linear(root / (name + "_head"), c.hidden_size, config.integer(labels))(chosen);
  };
  const Value characters = logits("char", "num_character_labels");
  const Value bpe = logits("bpe", "num_bpe_labels");
  return {
      {"char_logits", characters}, {"bpe_logits", bpe}, {"wp_logits", logits("wp", "num_wordpiece_labels")}};
}

}  // namespace

void register_mgp_str(TasksManager& tasks) {
  tasks.register_model<MgpstrOnnxConfig>({.model_type = "mgp-str",
                                          .tasks = {"feature-extraction"},
                                          .forward = forward,
                                          .roles = {.vision_tower = EncoderRole{encode_alone}}});
}

}  // namespace onnxport::models
