// Convolutional vision Transformer (CvT). Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/cvt/modeling_cvt.py
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "models/common/config_lists.h"
#include "models/common/definition.h"
#include "models/vision/common/stages.h"
#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

constexpr double kEps = 1e-5;  // of all norms; no class of the original reads layer_norm_eps

struct Config {
  std::int64_t num_channels, num_labels;
  std::vector<std::int64_t> depth, embed_dim, num_heads, patch_sizes, patch_stride, patch_padding;
  std::vector<std::int64_t> kernel_qkv, padding_q, padding_kv, stride_q, stride_kv;
  std::vector<double> mlp_ratio;
  std::vector<bool> qkv_bias, cls_token;

  explicit Config(const PretrainedConfig& c) : Config(c, stage_count(c, "depth")) {}

  std::size_t stages() const { return depth.size(); }

 private:
  Config(const PretrainedConfig& c, std::int64_t stages)
      : num_channels(c.integer("num_channels")),
        num_labels(c.num_labels()),
        depth(per_stage(c, "depth", stages)),
        embed_dim(per_stage(c, "embed_dim", stages)),
        num_heads(per_stage(c, "num_heads", stages)),
        patch_sizes(per_stage(c, "patch_sizes", stages)),
        patch_stride(per_stage(c, "patch_stride", stages)),
        patch_padding(per_stage(c, "patch_padding", stages, 0)),
        kernel_qkv(per_stage(c, "kernel_qkv", stages)),
        padding_q(per_stage(c, "padding_q", stages, 0)),
        padding_kv(per_stage(c, "padding_kv", stages, 0)),
        stride_q(per_stage(c, "stride_q", stages)),
        stride_kv(per_stage(c, "stride_kv", stages)),
        mlp_ratio(reals_per_stage(c, "mlp_ratio", stages)),
        qkv_bias(flags(c, "qkv_bias", {true, true, true})),
        cls_token(flags(c, "cls_token", {false, false, true})) {
    c.harmless({"layer_norm_eps"});
    check_stage_heads(c, "embed_dim", embed_dim, "num_heads", num_heads);
    const std::vector<std::string> methods = c.strings("qkv_projection_method");
    // The original has code for other methods, which fails.
    const bool known =
        std::all_of(methods.begin(), methods.end(), [](const auto& m) { return m == "dw_bn"; });
    if (known && std::min({std::ssize(qkv_bias), std::ssize(cls_token), std::ssize(methods)}) >= stages)
      return;
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format("{}: qkv_projection_method is [{}], with {} flags in qkv_bias and {} in cls_token, "
                    "expected dw_bn and two flags for each of {} stages",
                    c.origin(), fmt::join(methods, ", "), qkv_bias.size(), cls_token.size(), stages));
  }
};

// A depthwise convolution of the image, then a linear layer on its tokens, behind the class token.
struct Projection {
  nn::NormedConv2d convolution;
  nn::Linear linear;

  Projection(const Scope& s, const char* name, const Config& c, std::size_t i, std::int64_t stride,
             std::int64_t padding)
      : Projection(s / fmt::format("convolution_projection_{}", name) / "convolution_projection",
                   s / fmt::format("projection_{}", name), c.embed_dim[i], c.kernel_qkv[i],
                   {.stride = {stride, stride}, .padding = {padding, padding}, .groups = c.embed_dim[i]},
                   c.qkv_bias[i]) {}

  Value operator()(Value image, Value token) const {
    const Value tokens = nn::image_to_tokens(convolution(image));
    return linear(token ? op::concat({token, tokens}, 1) : tokens);
  }

 private:
  Projection(const Scope& conv, const Scope& projection, std::int64_t width, std::int64_t kernel,
             op::ConvOptions options, bool bias)
      : convolution{nn::Conv2d(conv / "convolution", width, width, {kernel, kernel}, false,
                               std::move(options)),
                    nn::BatchNorm2d(conv / "normalization", width)},
        linear(projection, width, width, bias) {}
};

// Tokens of a grid behind the class token, if there is one -> the same.
Value attention(Value x, const Scope& s, const Config& c, std::size_t i, const Dim& rows,
                const Dim& columns) {
  const ModulePath at(x, s.path());
  const Scope self = s / "attention";
  const std::int64_t first = c.cls_token[i] ? 1 : 0, heads = c.num_heads[i], width = c.embed_dim[i];
  const Value token = c.cls_token[i] ? op::slice(x, 1, 0, 1) : Value();
  const Value patches = c.cls_token[i] ? op::slice(x, 1, first, x.dim(1)) : x;
  const Value image = nn::tokens_to_image(patches, rows, columns);
  const Value key = Projection(self, "key", c, i, c.stride_kv[i], c.padding_kv[i])(image, token);
  const Value query = Projection(self, "query", c, i, c.stride_q[i], c.padding_q[i])(image, token);
  const Value value = Projection(self, "value", c, i, c.stride_kv[i], c.padding_kv[i])(image, token);
  // By the width of all heads.
  const op::AttentionOptions options{.scale = 1 / std::sqrt(static_cast<double>(width))};
  const Value context =
      op::attention({.query = query, .key = key, .value = value}, heads, heads, options).output;
  return nn::Linear(s / "output" / "dense", width, width)(context);
}

Value run_layer(Value x, const Scope& s, const Config& c, std::size_t i, const Dim& rows,
                const Dim& columns) {
  const ModulePath at(x, s.path());
  const std::int64_t width = c.embed_dim[i];
  const auto inner = static_cast<std::int64_t>(static_cast<double>(width) * c.mlp_ratio[i]);
  const nn::LayerNorm before(s / "layernorm_before", width, kEps), after(s / "layernorm_after", width, kEps);
  const nn::Linear up(s / "intermediate" / "dense", width, inner), down(s / "output" / "dense", inner, width);
  const Value attended = attention(before(x), s / "attention", c, i, rows, columns);
  const Value middle = op::add(x, attended);
  const Value fed = down(op::gelu(up(after(middle))));
  return op::add(middle, fed);
}

struct StageResult {
  Value image, token;  ///< no token: absent
};

StageResult run_stage(Value image, const Scope& s, const Config& c, std::size_t i) {
  const std::int64_t width = c.embed_dim[i], patch = c.patch_sizes[i], stride = c.patch_stride[i];
  const Scope embedding = s / "embedding" / "convolution_embeddings";
  const nn::Conv2d projection(
      embedding / "projection", i == 0 ? c.num_channels : c.embed_dim[i - 1], width, {patch, patch}, true,
      {.stride = {stride, stride}, .padding = {c.patch_padding[i], c.patch_padding[i]}});
  const Value projected = projection(image);
  const Dim &rows = projected.dim(2), &columns = projected.dim(3);
  Value x = nn::LayerNorm(embedding / "normalization", width, kEps)(nn::image_to_tokens(projected));
  if (c.cls_token[i]) {
    const Value token = x.graph().weight(s.weight("cls_token", {1, 1, c.embed_dim[c.stages() - 1]}));
    x = op::concat({op::expand(token, {x.dim(0), 1, token.dim(2)}), x}, 1);
  }
  for (std::int64_t j = 0; j < c.depth[i]; ++j) x = run_layer(x, s / "layers" / j, c, i, rows, columns);
  const Value token = c.cls_token[i] ? op::slice(x, 1, 0, 1) : Value();
  const Value patches = c.cls_token[i] ? op::slice(x, 1, 1, x.dim(1)) : x;
  return {nn::tokens_to_image(patches, rows, columns), token};
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const Scope stages = root.base_model("cvt") / "encoder" / "stages";
  StageResult x{inputs["pixel_values"], {}};
  for (std::size_t i = 0; i < c.stages(); ++i)
    x = run_stage(x.image, stages / static_cast<std::int64_t>(i), c, i);
  if (component.task == "feature-extraction") return {{"last_hidden_state", x.image}};
  const std::int64_t width = c.embed_dim[c.stages() - 1];
  const Value seen = x.token ? x.token : nn::image_to_tokens(x.image);
  const Value normed = nn::LayerNorm(root / "layernorm", width, kEps)(seen);
  const Value pooled = x.token ? op::select(normed, 1, 0) : op::mean(normed, 1);
  return {{"logits", nn::Linear(root / "classifier", width, c.num_labels)(pooled)}};
}

}  // namespace

void register_cvt(TasksManager& tasks) {
  tasks.register_model<VisionOnnxConfig>(
      {.model_type = "cvt", .tasks = {"feature-extraction", "image-classification"}, .forward = forward});
}

}  // namespace onnxport::models
