// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/gemma4/modeling_gemma4.py
#include <fmt/format.h>

#include <cmath>
#include <memory>
#include <numbers>
#include <vector>

#include "models/audio/common/usm.h"
#include "models/multimodal/common/decoders/audio_text.h"
#include "models/multimodal/common/towers/gemma4_towers.h"
#include "onnxport/error.h"
#include "onnxport/nn/conv.h"

namespace onnxport::models {
namespace {

struct Config {
  UsmConfig usm;
  std::int64_t layers, out;
  std::vector<std::int64_t> channels;  ///< of the two convolutions in front
  double eps;

  explicit Config(const PretrainedConfig& c)
      : layers(c.integer("num_hidden_layers")),
        out(c.integer("output_proj_dims")),
        channels(c.integers("subsampling_conv_channels")),
        eps(c.real("rms_norm_eps")) {
    usm.hidden_size = c.integer("hidden_size");
    usm.heads = c.integer("num_attention_heads");
    check_heads(c, usm.hidden_size, usm.heads);
    usm.kernel = divisor(c, "conv_kernel_size");
    usm.chunk = divisor(c, "attention_chunk_size");
    const std::int64_t left = divisor(c, "attention_context_left");
    usm.past = left - 1;
    usm.future = c.integer("attention_context_right");
    usm.back = left - 2;  // of the frames in reach, the farthest one is hidden
    usm.ahead = usm.future > 0 ? usm.future - 1 : 0;
    usm.farthest = usm.seen() / 2;
    usm.distances = usm.farthest + 1;
    usm.query_scale = 1 / (std::sqrt(static_cast<double>(usm.head_dim())) * std::numbers::ln2);
    usm.key_scale = std::log1p(std::numbers::e) / std::numbers::ln2;
    usm.softcap = c.real("attention_logit_cap");
    usm.hidden_score = c.real("attention_invalid_logits_value");
    usm.limit = c.real("gradient_clipping");
    usm.residual = c.real("residual_weight");
    usm.eps = eps;
    usm.activation = c.string("hidden_act");
    usm.keys = {.first = "feed_forward1",
                .before_attention = "norm_pre_attn",
                .attention = "self_attn",
                .distances = "relative_k_proj",
                .attention_output = "self_attn.post",
                .after_attention = "norm_post_attn",
                .second = "feed_forward2",
                .norm = "norm_out"};
    usm.linear = [bounded = c.flag("use_clipped_linears")](const Scope& s, std::int64_t in,
                                                           std::int64_t width) {
      return BoundedLinear(s, in, width, bounded);
    };
    constexpr std::int64_t kMost = 1 << 16;
    const bool sensible = usm.future >= 0 && usm.future <= kMost && left <= kMost && usm.chunk <= kMost &&
                          channels.size() == 2 && channels[0] >= 4 && channels[1] >= 1 &&
                          channels[0] <= kMost && channels[1] <= kMost;
    if (sensible) return;
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format("{}: audio_config has chunks of {} frames that see {} before and {} behind, "
                    "and {} subsampling_conv_channels; expected two of at least 4 and 1, and "
                    "numbers up to {}",
                    c.origin(), usm.chunk, left, usm.future, channels.size(), kMost));
  }

  /// The original has as many bins as its first convolution has channels.
  std::int64_t bins() const { return channels[0] / 4 * 4; }
};

// A convolution of stride 2 over frames and bins of x [B, C, L, F], where padding is 0.
UsmFrames subsampled(const Scope& s, const Config& c, const UsmFrames& frames, std::int64_t in,
                     std::int64_t out) {
  const ModulePath at(frames.x, s.path());
  const Value padding = op::unsqueeze(op::unsqueeze(op::logical_not(frames.real), 1), 3);
  const nn::Conv2d conv(s / "conv", in, out, {3, 3}, false, {.stride = {2, 2}, .padding = {1, 1}});
  const nn::LayerNorm norm(s / "norm", out, c.eps, true, false);
  const Value mixed = op::permute(conv(op::masked_fill(frames.x, padding, 0)), {0, 2, 3, 1});
  const Value active = op::permute(op::relu(norm(mixed)), {0, 3, 1, 2});
  return {active, every_frame(frames.real, 2)};
}

}  // namespace

Value gemma4_audio_features(const Scope& root, const PretrainedConfig& audio_config, const Inputs& inputs,
                            std::int64_t width) {
  const Config c(audio_config);
  const Scope s = root / "audio_tower", front = s / "subsample_conv_projection", e = root / "embed_audio";
  const std::int64_t hidden = c.usm.hidden_size;
  UsmFrames frames = {op::unsqueeze(inputs["input_features"], 1), inputs["input_features_mask"]};
  frames = subsampled(front / "layer0", c, frames, 1, c.channels[0]);
  frames = subsampled(front / "layer1", c, frames, c.channels[0], c.channels[1]);
  const Value rows = op::flatten(op::permute(frames.x, {0, 2, 3, 1}), 2, 3);
  frames.x = nn::Linear(front / "input_proj_linear", *rows.dim(2).constant(), hidden, false)(rows);
  const Value visible = usm_visibility(c.usm, frames.real);
  for (std::int64_t i = 0; i < c.layers; ++i) frames.x = usm_layer(s / "layers" / i, c.usm, frames, visible);
  const Value projected = nn::Linear(s / "output_proj", hidden, c.out)(frames.x);
  const Value tokens = real_rows(projected, frames.real, Dim::symbol("num_audio_tokens"));
  const ModulePath at(tokens, e.path());
  return nn::Linear(e / "embedding_projection", c.out, width, false)(op::rms_norm(tokens, {}, c.eps));
}

AxesByName gemma4_audio_inputs() {
  const Axes frames = {{0, "num_audios"}, {1, "num_frames"}};
  return {{"input_features", frames}, {"input_features_mask", frames}};
}

AxesByName gemma4_audio_outputs() { return {{"audio_features", {{0, "num_audio_tokens"}}}}; }

DummyInputGenerators gemma4_audio_dummies(const PretrainedConfig& audio_config) {
  constexpr std::int64_t kFrames = 300;  // more would show nothing else, but attention takes long
  const Config c(audio_config);
  return {std::make_shared<const DummySoundGenerator>(
      AudioFeatures{.size = c.bins(), .frames = kFrames, .any_frames = true}, "input_features",
      DummySoundGenerator::Mask{.name = "input_features_mask", .dtype = DType::boolean})};
}

}  // namespace onnxport::models
