// TimeSformer. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/timesformer/modeling_timesformer.py
#include <fmt/format.h>

#include "models/vision/common/video.h"
#include "models/vision/common/vit.h"
#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/nn/rotated_encoder.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

/// The tokens that attend to each other.
enum class Attention : std::uint8_t {
  divided,     ///< the patches at one place, then those of one frame
  space_only,  ///< those of one frame; each frame is an image of its own
  joint,       ///< all
};

Attention attention_type(const PretrainedConfig& c) {
  const std::string type = c.string("attention_type");
  if (type == "divided_space_time") return Attention::divided;
  if (type == "space_only") return Attention::space_only;
  if (type == "joint_space_time") return Attention::joint;
  throw ExportError(ErrorCode::bad_config,
                    fmt::format("{}: attention_type is '{}', known: divided_space_time, space_only, "
                                "joint_space_time",
                                c.origin(), type));
}

struct Config : ViTConfig {
  Attention attention;
  std::int64_t num_frames;

  explicit Config(const PretrainedConfig& c)
      : ViTConfig(c), attention(attention_type(c)), num_frames(c.integer("num_frames")) {
    constexpr std::int64_t most = 1 << 16;
    if (num_frames < 1 || num_frames > most) {
      throw ExportError(ErrorCode::bad_config,
                        fmt::format("{}: num_frames is {}, expected 1 to {}", c.origin(), num_frames, most));
    }
  }

  std::int64_t patches() const { return grid.height * grid.width; }  ///< of a frame
};

class TimesformerOnnxConfig : public VideoOnnxConfig {
 public:
  using VideoOnnxConfig::VideoOnnxConfig;
  // If each frame is an image of its own, it has its own scores.
  Dim axis_length(std::string_view tensor, const std::string& symbol) const override {
    const PretrainedConfig c = config().unaccounted();
    Dim length = VideoOnnxConfig::axis_length(tensor, symbol);
    if (tensor != "logits" || attention_type(c) != Attention::space_only) return length;
    return length * c.integer("num_frames");
  }
};

// [B * n, m, H] -> [B * m, n, H]
Value exchange(Value x, std::int64_t n, std::int64_t m) {
  const Dim batch = *x.dim(0).exact_div(n);
  const Dim& width = x.dim(2);
  const Value apart = op::transpose(op::reshape(x, {batch, n, m, width}), 1, 2);
  return op::reshape(apart, {batch * m, n, width});
}

// Videos [B, F, C, H, W] -> [B, 1 + patches * F, hidden_size], place after place; if only the patches of a
// frame attend to each other, [B * F, 1 + patches, hidden_size].
Value embed(const Scope& s, const Config& c, Value video) {
  const nn::ImageTokens embeddings(s, c.tokens());
  const std::int64_t frames = c.num_frames, count = c.patches(), width = c.hidden_size;
  const Dim& batch = video.dim(0);
  Value tokens = embeddings(op::reshape(video, {batch * frames, video.dim(2), video.dim(3), video.dim(4)}));
  if (c.attention == Attention::space_only) return tokens;
  const Weight times = s.weight("time_embeddings", {1, frames, width});
  const ModulePath at(tokens, s.path());
  // The class token is the same for all frames.
  const Value first = op::slice(op::reshape(tokens, {batch, frames * (1 + count), width}), 1, 0, 1);
  const Value places = exchange(op::slice(tokens, 1, 1, 1 + count), frames, count);
  const Value placed = op::add(places, tokens.graph().weight(times));
  return op::concat({first, op::reshape(placed, {batch, count * frames, width})}, 1);
}

// Keys: attention.qkv, output.dense.
Value attend(const Scope& s, const Config& c, Value x) {
  const ModulePath at(x, s.path());
  const std::int64_t width = c.hidden_size, heads = c.num_attention_heads;
  const Value all = nn::Linear(s / "attention" / "qkv", width, 3 * width, c.qkv_bias)(x);
  const std::vector<Value> parts = op::chunk(all, -1, 3);
  const Value context =
      op::attention({.query = parts[0], .key = parts[1], .value = parts[2]}, heads, heads).output;
  return nn::Linear(s / "output" / "dense", width, width)(context);
}

// What the patches of one place learn from each other, and then those of one frame with the class token. A
// class token takes the mean of what it learned in all frames.
Value divided_attention(const Scope& layer, const Config& c, Value x) {
  const std::int64_t frames = c.num_frames, count = c.patches(), width = c.hidden_size;
  const auto norm = [&](const char* name) { return nn::LayerNorm(layer / name, width, c.layer_norm_eps); };
  const Dim& batch = x.dim(0);
  const Value first = op::slice(x, 1, 0, 1), places = op::slice(x, 1, 1, x.dim(1));
  const Value series = op::reshape(places, {batch * count, frames, width});
  const Value learned = attend(layer / "temporal_attention", c, norm("temporal_layernorm")(series));
  const nn::Linear dense(layer / "temporal_dense", width, width);
  const Value moved = op::add(places, dense(op::reshape(learned, places.shape())));

  const Value images = exchange(op::reshape(moved, {batch * count, frames, width}), count, frames);
  const Value firsts = op::reshape(op::expand(first, {batch, frames, width}), {batch * frames, 1, width});
  const Value seen =
      attend(layer / "attention", c, norm("layernorm_before")(op::concat({firsts, images}, 1)));
  const Value of_first = op::reshape(op::slice(seen, 1, 0, 1), {batch, frames, width});
  const Value of_images = exchange(op::slice(seen, 1, 1, 1 + count), frames, count);
  const Value residual = op::concat({op::mean(of_first, 1, true), op::reshape(of_images, places.shape())}, 1);
  return op::add(op::concat({first, moved}, 1), residual);
}

Value run_layer(const Scope& layer, const Config& c, Value x) {
  const ModulePath at(x, layer.path());
  const std::int64_t width = c.hidden_size;
  const nn::Mlp mlp(layer.path(), nn::Linear(layer / "intermediate" / "dense", width, c.intermediate_size),
                    nn::Linear(layer / "output" / "dense", c.intermediate_size, width), c.hidden_act);
  if (c.attention == Attention::divided) {
    x = divided_attention(layer, c, x);
  } else {
    const nn::LayerNorm before(layer / "layernorm_before", width, c.layer_norm_eps);
    x = nn::pre_norm_residual(x, before, [&](Value y) { return attend(layer / "attention", c, y); });
  }
  return nn::pre_norm_residual(x, nn::LayerNorm(layer / "layernorm_after", width, c.layer_norm_eps), mlp);
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& /*component*/) {
  const Config c(model.config());
  const Scope root = model.scope(), s = root.base_model("timesformer");
  Value x = embed(s / "embeddings", c, inputs["pixel_values"]);
  for (std::int64_t i = 0; i < c.num_hidden_layers; ++i) x = run_layer(s / "encoder" / "layer" / i, c, x);
  const Value hidden = nn::LayerNorm(s / "layernorm", c.hidden_size, c.layer_norm_eps)(x);
  const nn::Linear classifier(root / "classifier", c.hidden_size, c.num_labels);
  return {{"logits", classifier(nn::first_token(hidden))}};
}

}  // namespace

void register_timesformer(TasksManager& tasks) {
  tasks.register_model<TimesformerOnnxConfig>(
      {.model_type = "timesformer", .tasks = {"video-classification"}, .forward = forward});
}

}  // namespace onnxport::models
