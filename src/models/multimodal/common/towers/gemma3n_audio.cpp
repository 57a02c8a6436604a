// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/gemma3n/modeling_gemma3n.py
#include "models/multimodal/common/towers/gemma3n_audio.h"

#include <fmt/format.h>

#include <cmath>
#include <numbers>

#include "onnxport/error.h"
#include "onnxport/nn/conv.h"

namespace onnxport::models {
namespace {

// Mean and variance of all elements of the frames so far, x [B, L, F, C], in float32.
Value norm_of_past(const Scope& s, Value x, double eps) {
  const ModulePath at(x, s.path());
  Graph& graph = x.graph();
  const std::int64_t bins = *x.dim(2).constant(), channels = *x.dim(3).constant();
  const Value wide = op::cast(x, DType::f32);
  const Value frames = op::cast(op::add(op::arange(graph, x.dim(1)), 1.0), DType::f32);
  const Value count = op::reshape(op::mul(frames, static_cast<double>(bins * channels)), {1, x.dim(1), 1, 1});
  const auto mean_so_far = [&](Value of) {
    const Value sums = op::sum(op::sum(of, 3, true), 2, true);
    return op::div(op::cumsum(sums, 1), count);
  };
  const Value centred = op::sub(wide, mean_so_far(wide));
  const Value variance = mean_so_far(op::mul(centred, centred));
  const Value scaled = op::div(centred, op::sqrt(op::add(variance, eps)));
  const Value factor = graph.weight(s.weight("weight", {channels}));
  return op::mul(op::cast(scaled, x.dtype()), factor);
}

}  // namespace

Gemma3nAudio::Gemma3nAudio(const PretrainedConfig& c)
    : bins(c.integer("input_feat_size")),
      layers(c.integer("conf_num_hidden_layers")),
      reduction(divisor(c, "conf_reduction_factor")),
      channels(c.integers("sscp_conv_channel_size")),
      kernels(c.integer_lists("sscp_conv_kernel_size")),
      strides(c.integer_lists("sscp_conv_stride_size")),
      group_eps(c.real("sscp_conv_group_norm_eps")) {
  usm.hidden_size = c.integer("hidden_size");
  usm.heads = c.integer("conf_num_attention_heads");
  check_multiple(c, "hidden_size", usm.hidden_size, "conf_num_attention_heads", usm.heads);
  usm.kernel = divisor(c, "conf_conv_kernel_size");
  usm.chunk = divisor(c, "conf_attention_chunk_size");
  const std::int64_t left = c.integer("conf_attention_context_left");
  usm.past = usm.back = usm.farthest = left > 0 ? left - 1 : 0;
  usm.future = usm.ahead = c.integer("conf_attention_context_right");
  usm.distances = usm.past + usm.future + 1;
  usm.query_scale = 1 / (std::sqrt(static_cast<double>(usm.head_dim())) * std::numbers::ln2);
  usm.softcap = c.real("conf_attention_logit_cap");
  usm.hidden_score = lowest(DType::f32);
  usm.limit = c.real("gradient_clipping");
  usm.residual = c.real("conf_residual_weight");
  usm.eps = c.real("rms_norm_eps");
  usm.zero_padding = true;
  usm.keys = {.first = "ffw_layer_start",
              .before_attention = "attention.pre_attn_norm",
              .attention = "attention.attn",
              .distances = "relative_position_embedding.pos_proj",
              .attention_output = "attention.post",
              .after_attention = "attention.post_norm",
              .second = "ffw_layer_end",
              .norm = "norm"};
  usm.linear = [](const Scope& s, std::int64_t in, std::int64_t out) {
    return BoundedLinear(nn::Linear(s, in, out, false));
  };
  constexpr std::int64_t kMost = 1 << 16;
  const auto two_of = [&](const std::vector<std::vector<std::int64_t>>& lists) {
    bool sensible = lists.size() == 2;
    for (const auto& list : lists) {
      sensible = sensible && list.size() == 2;
      for (const std::int64_t one : list) sensible = sensible && one >= 1 && one <= kMost;
    }
    return sensible;
  };
  const bool sensible = channels.size() == 2 && two_of(kernels) && two_of(strides) && bins >= 1 &&
                        bins <= kMost && left <= kMost && usm.chunk <= kMost && usm.future >= 0 &&
                        usm.future <= kMost;
  if (sensible) return;
  throw ExportError(ErrorCode::bad_config,
                    fmt::format("{}: audio_config has {} sscp_conv_channel_size and chunks of {} frames that "
                                "see {} before and {} behind; expected two, with kernels and strides of two "
                                "numbers each, and numbers up to {}",
                                c.origin(), channels.size(), usm.chunk, left, usm.future, kMost));
}

UsmFrames Gemma3nAudio::operator()(const Scope& s, const UsmFrames& sounds) const {
  const Scope front = s / "subsample_conv_projection";
  Value x = op::unsqueeze(sounds.x, 1);
  Value real = sounds.real;
  std::int64_t in = 1;
  for (std::size_t i = 0; i < 2; ++i) {
    const Scope block = front / fmt::format("conv_{}", i);
    const ModulePath at(x, block.path());
    const std::int64_t height = kernels[i][0], width = kernels[i][1];
    const nn::Conv2d conv(block / "conv", in, channels[i], {height, width}, false,
                          {.stride = strides[i], .padding = {0, 1, height - 1, 1}});
    const Value frames = op::permute(conv(x), {0, 2, 3, 1});
    x = op::relu(op::permute(norm_of_past(block / "norm", frames, group_eps), {0, 3, 1, 2}));
    in = channels[i];
    real = every_frame(real, strides[i][0]);
  }
  const Value rows = op::flatten(op::permute(x, {0, 2, 3, 1}), 2, 3);
  const nn::Linear project(front / "input_proj_linear", *rows.dim(2).constant(), usm.hidden_size, false);
  UsmFrames frames = {.x = project(rows), .real = real};
  const Value visible = usm_visibility(usm, frames.real);
  for (std::int64_t i = 0; i < layers; ++i) frames.x = usm_layer(s / "conformer" / i, usm, frames, visible);
  frames = {every_frame(frames.x, reduction), every_frame(frames.real, reduction)};
  frames.x = op::masked_fill(frames.x, op::unsqueeze(op::logical_not(frames.real), 2), 0);
  return frames;
}

}  // namespace onnxport::models
