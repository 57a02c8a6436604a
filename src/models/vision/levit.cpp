// LeViT. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/levit/modeling_levit.py
#include <fmt/format.h>

#include <algorithm>

#include "models/common/definition.h"
#include "models/vision/common/stages.h"
#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv_layer.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

/// Images of one size: attention has a learned bias for each pair of tokens.
class LevitOnnxConfig : public VisionOnnxConfig {
 public:
  using VisionOnnxConfig::VisionOnnxConfig;
  bool takes_any_image_size() const override { return false; }
};

struct Config {
  static constexpr std::int64_t kStages = 3;
  std::int64_t num_channels, num_labels, kernel_size, stride, padding, resolution;
  std::vector<std::int64_t> hidden_sizes, heads, depths, key_dim, mlp_ratio, attention_ratio;

  explicit Config(const PretrainedConfig& c)
      : num_channels(c.integer("num_channels")),
        num_labels(c.num_labels()),
        kernel_size(moderate(c, "kernel_size")),
        stride(moderate(c, "stride")),
        padding(moderate(c, "padding", 0)),
        resolution(moderate(c, "image_size") / divisor(c, "patch_size")),
        hidden_sizes(per_stage(c, "hidden_sizes", kStages)),
        heads(per_stage(c, "num_attention_heads", kStages)),
        depths(per_stage(c, "depths", kStages, 0)),
        key_dim(per_stage(c, "key_dim", kStages)),
        mlp_ratio(per_stage(c, "mlp_ratio", kStages, 0)),
        attention_ratio(per_stage(c, "attention_ratio", kStages)) {
    c.harmless({"down_ops"});  // follows from the others
    if (depths.size() != kStages || resolution < 1) {
      throw ExportError(
          ErrorCode::bad_config,
          fmt::format("{}: {} stages (depths) of images of {} patches (image_size, patch_size), "
                      "expected 3 stages and at least 1 patch",
                      c.origin(), depths.size(), resolution));
    }
  }
};

Value hard_swish(Value x) {
  const Value gate = op::clamp(op::add(x, 3.0), 0.0, 6.0);
  return op::div(op::mul(x, gate), 6.0);
}

// The norm of each feature of vectors.
struct FeatureNorm {
  nn::BatchNorm2d norm;

  Value operator()(Value x) const {
    const Value scaled = op::mul(x, x.graph().weight(norm.scale()));
    return op::add(scaled, x.graph().weight(norm.shift()));
  }
};

struct NormedLinear {
  nn::Linear linear;
  FeatureNorm norm;

  NormedLinear(const Scope& s, std::int64_t in, std::int64_t out)
      : linear(s / "linear", in, out, false), norm{nn::BatchNorm2d(s / "batch_norm", out)} {}
  Value operator()(Value x) const { return norm(linear(x)); }
};

// The learned bias for each distance of a query from a key, whatever its signs. Queries are every `step`-th
// cell in both directions. attention_biases [heads, side²] -> [1, heads, queries, keys]
Weight distance_bias(const Scope& s, std::int64_t heads, std::int64_t side, std::int64_t step) {
  const Weight table = s.weight("attention_biases", {heads, side * side});
  s.ignore("attention_bias_idxs");  // a stored buffer
  const std::int64_t across = (side - 1) / step + 1;
  std::vector<std::int64_t> indices;
  for (std::int64_t q = 0; q < across * across; ++q) {
    for (std::int64_t k = 0; k < side * side; ++k) {
      const std::int64_t down = std::abs(q / across * step - k / side);
      const std::int64_t right = std::abs(q % across * step - k % side);
      indices.push_back(down * side + right);
    }
  }
  const std::int64_t queries = across * across, keys = side * side;
  return table.permute({1, 0})
      .take(Weight::from_ints({queries, keys}, indices))
      .permute({2, 0, 1})
      .reshape({1, heads, queries, keys})
      .named(table.name() + ".by_token");
}

struct AttentionSizes {
  std::int64_t in, out, heads, key, value, side;
  std::int64_t value_width() const { return heads * value; }
};

// [B, S, heads * parts] -> [B, heads, S, part] for each part of a head.
std::vector<Value> heads_of(Value x, std::int64_t heads, const std::vector<std::int64_t>& parts) {
  std::vector<Value> split = op::split(op::reshape(x, {x.dim(0), x.dim(1), heads, -1}), 3, parts);
  for (Value& part : split) part = op::permute(part, {0, 2, 1, 3});
  return split;
}

Value attend(Value query, Value key, Value value, const Weight& bias, const NormedLinear& projection) {
  const Value mask = query.graph().weight(bias);
  const Value context = op::scaled_dot_product_attention(query, key, value, mask);
  const Value merged = op::flatten(op::permute(context, {0, 2, 1, 3}), 2, 3);
  return projection(hard_swish(merged));
}

Value attention(Value x, const Scope& s, const AttentionSizes& a) {
  const ModulePath at(x, s.path());
  const NormedLinear project(s / "queries_keys_values", a.in, a.heads * (2 * a.key + a.value));
  const Weight bias = distance_bias(s, a.heads, a.side, 1);
  const std::vector<Value> parts = heads_of(project(x), a.heads, {a.key, a.key, a.value});
  return attend(parts[0], parts[1], parts[2], bias, NormedLinear(s / "projection", a.value_width(), a.out));
}

constexpr std::int64_t kShrink = 2;  // between stages, in both directions

// Attention of every second token in both directions to all tokens.
Value shrinking_attention(Value x, const Scope& s, const AttentionSizes& a) {
  const ModulePath at(x, s.path());
  const NormedLinear keys_values(s / "keys_values", a.in, a.heads * (a.key + a.value));
  const NormedLinear queries(s / "queries", a.in, a.heads * a.key);
  const Weight bias = distance_bias(s, a.heads, a.side, kShrink);
  const std::vector<Value> parts = heads_of(keys_values(x), a.heads, {a.key, a.value});
  std::vector<std::int64_t> kept;
  for (std::int64_t y = 0; y < a.side; y += kShrink)
    for (std::int64_t column = 0; column < a.side; column += kShrink) kept.push_back(y * a.side + column);
  const Value rows = x.graph().weight(Weight::from_ints({std::ssize(kept)}, kept));
  const Value seeing = op::transpose(op::embedding(op::transpose(x, 0, 1), rows), 0, 1);
  const std::vector<Value> query = heads_of(queries(seeing), a.heads, {a.key});
  return attend(query[0], parts[0], parts[1], bias, NormedLinear(s / "projection", a.value_width(), a.out));
}

Value feed_forward(Value x, const Scope& s, std::int64_t width, std::int64_t ratio) {
  const ModulePath at(x, s.path());
  const NormedLinear up(s / "linear_up", width, width * ratio), down(s / "linear_down", width * ratio, width);
  return op::add(x, down(hard_swish(up(x))));
}

// Four convolutions with a stride.
Value embed(Value x, const Scope& s, const Config& c) {
  std::int64_t in = c.num_channels;
  for (std::int64_t i = 1; i <= 4; ++i) {
    const std::int64_t out = c.hidden_sizes[0] >> (4 - i);
    const Scope layer = s / fmt::format("embedding_layer_{}", i);
    const nn::NormedConv2d convolution{
        nn::Conv2d(layer / "convolution", in, out, {c.kernel_size, c.kernel_size}, false,
                   {.stride = {c.stride, c.stride}, .padding = {c.padding, c.padding}}),
        nn::BatchNorm2d(layer / "batch_norm", out)};
    x = convolution(i == 1 ? x : hard_swish(x));
    in = out;
  }
  return nn::image_to_tokens(x);
}

// [B, num_channels, H, W] -> [B, S, C]
Value encode(const Scope& s, const Config& c, Value pixel_values) {
  Value x = embed(pixel_values, s / "patch_embeddings", c);
  std::int64_t side = c.resolution;
  for (std::size_t i = 0; i < Config::kStages; ++i) {
    const Scope layers = s / "encoder" / "stages" / static_cast<std::int64_t>(i) / "layers";
    const std::int64_t width = c.hidden_sizes[i];
    std::int64_t layer = 0;
    for (std::int64_t j = 0; j < c.depths[i]; ++j) {
      const Value attended =
          attention(x, layers / layer++ / "module",
                    {width, width, c.heads[i], c.key_dim[i], c.attention_ratio[i] * c.key_dim[i], side});
      x = op::add(x, attended);
      if (c.mlp_ratio[i] > 0) x = feed_forward(x, layers / layer++ / "module", width, c.mlp_ratio[i]);
    }
    if (i + 1 == Config::kStages) break;
    // The ratios between stages are fixed; all have the first key_dim.
    const std::int64_t key = c.key_dim[0], next = c.hidden_sizes[i + 1];
    x = shrinking_attention(x, layers / layer++, {width, next, width / key, key, 4 * key, side});
    x = feed_forward(x, layers / layer++ / "module", next, 2);
    side = (side - 1) / kShrink + 1;
  }
  return x;
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const Value hidden = encode(root.base_model("levit"), c, inputs["pixel_values"]);
  if (component.task == "feature-extraction") return {{"last_hidden_state", hidden}};
  const std::int64_t width = c.hidden_sizes.back();
  const auto classify = [&, pooled = op::mean(hidden, 1)](const Scope& s) {
    const FeatureNorm norm{nn::BatchNorm2d(s / "batch_norm", width)};
    return nn::Linear(s / "linear", width, c.num_labels)(norm(pooled));
  };
  const Value logits = classify(root / "classifier");
  const std::vector<std::string> classes = model.config().architectures();
  const bool teacher =
      std::find(classes.begin(), classes.end(), "LevitForImageClassificationWithTeacher") != classes.end();
  if (!teacher) return {{"logits", logits}};
  const Value distilled = classify(root / "classifier_distill");
  return {{"logits", op::div(op::add(logits, distilled), 2.0)}};
}

}  // namespace

void register_levit(TasksManager& tasks) {
  tasks.register_model<LevitOnnxConfig>(
      {.model_type = "levit", .tasks = {"feature-extraction", "image-classification"}, .forward = forward});
}

}  // namespace onnxport::models
