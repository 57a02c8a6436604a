#include "models/audio/common/parakeet.h"

#include <fmt/format.h>

#include <cmath>

#include "models/audio/common/conformer.h"
#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"

namespace onnxport::models {
namespace {

[[noreturn]] void refuse(ErrorCode code, const PretrainedConfig& c, const std::string& what) {
  throw ExportError(code, fmt::format("{}: {}", c.origin(), what));
}

std::int64_t log2(const PretrainedConfig& c, const char* key) {
  const std::int64_t factor = divisor(c, key);
  std::int64_t exponent = 0;
  while (exponent < 62 && (std::int64_t{1} << (exponent + 1)) <= factor) ++exponent;
  return exponent;
}

// The extent of an axis behind a convolution with the padding of the subsampling.
std::int64_t behind(std::int64_t extent, const ParakeetConfig& c) {
  return (extent + 2 * ((c.kernel - 1) / 2) - c.kernel) / c.stride + 1;
}

void check(const PretrainedConfig& config, const ParakeetConfig& c) {
  constexpr std::int64_t kMost = 1 << 20;
  if (c.convolution.kernel < 1 || c.convolution.kernel % 2 == 0)
    refuse(ErrorCode::bad_config, config,
           fmt::format("conv_kernel_size is {}, expected an odd number", c.convolution.kernel));
  if (c.kernel < 1 || c.kernel > kMost || c.stride > kMost || c.mel_bins < 1 || c.mel_bins > kMost)
    refuse(ErrorCode::bad_config, config,
           fmt::format("subsampling_conv_kernel_size is {}, subsampling_conv_stride {} and num_mel_bins {}, "
                       "expected 1 to {}",
                       c.kernel, c.stride, c.mel_bins, kMost));
  if (c.hidden_size % 2 != 0)
    refuse(ErrorCode::bad_config, config,
           fmt::format("hidden_size is {}, expected an even number", c.hidden_size));
  std::int64_t bins = behind(c.mel_bins, c), expected = c.mel_bins / c.stride;
  for (std::int64_t i = 1; i < c.convolutions; ++i) {
    bins = behind(bins, c);
    expected /= c.stride;
  }
  if (bins != expected)
    refuse(ErrorCode::bad_config, config,
           fmt::format("{} bands become {} behind the convolutions, but the original expects {}", c.mel_bins,
                       bins, expected));
}

// [B, L, bands] -> [B, L', hidden_size]. Frames beyond the `lengths` become zeros after each convolution.
Value subsample(const Scope& s, const ParakeetConfig& c, Value features, Value lengths) {
  const ModulePath at(features, s.path());
  const std::int64_t padding = (c.kernel - 1) / 2;
  Value x = op::unsqueeze(features, 1);
  const auto mask = [&] {
    if (!lengths) return;
    const Value real = op::cast(first_frames(lengths, x.dim(2)), x.dtype());
    x = op::mul(x, op::unsqueeze(op::unsqueeze(real, 1), 3));
  };
  const auto strided = [&](std::int64_t index, std::int64_t in) {
    const nn::Conv2d conv(s / "layers" / index, in, c.channels, {c.kernel, c.kernel}, true,
                          {.stride = {c.stride, c.stride}, .padding = {padding, padding}, .groups = in});
    x = conv(x);
    if (lengths && c.stride > 1) {
      const std::int64_t added = 2 * padding - c.kernel + c.stride;  // integer division truncates
      lengths = op::div(op::add(lengths, static_cast<double>(added)), static_cast<double>(c.stride));
    }
    mask();
  };
  // The layers of the original include its activations.
  strided(0, 1);
  x = op::relu(x);
  for (std::int64_t i = 1; i < c.convolutions; ++i) {
    const std::int64_t index = 3 * i - 1;
    strided(index, c.channels);
    x = nn::Conv2d(s / "layers" / (index + 1), c.channels, c.channels, {1, 1})(x);
    mask();
    x = op::relu(x);
  }
  const Value frames = op::flatten(op::transpose(x, 1, 2), 2, 3);
  return nn::Linear(s / "linear", *frames.dim(2).constant(), c.hidden_size)(frames);
}

Value shorten(Value lengths, const ParakeetConfig& c) {
  const std::int64_t added = 2 * ((c.kernel - 1) / 2) - c.kernel + c.stride;
  for (std::int64_t i = 0; i < c.convolutions; ++i)
    lengths = op::div(op::add(lengths, static_cast<double>(added)), static_cast<double>(c.stride));
  return lengths;
}

}  // namespace

ParakeetConfig::ParakeetConfig(const PretrainedConfig& c)
    : hidden_size(c.integer("hidden_size")),
      layers(c.integer("num_hidden_layers")),
      intermediate_size(c.integer("intermediate_size")),
      mel_bins(c.integer("num_mel_bins")),
      channels(c.integer("subsampling_conv_channels")),
      kernel(c.integer("subsampling_conv_kernel_size")),
      stride(divisor(c, "subsampling_conv_stride")),
      convolutions(std::max<std::int64_t>(log2(c, "subsampling_factor"), 1)),
      activation(c.string("hidden_act")),
      bias(c.flag("attention_bias")),
      input_scale(c.flag("scale_input") ? std::sqrt(static_cast<double>(hidden_size)) : 1.0),
      // Version 4 hides keys with -inf, and version 5 with the lowest number.
      no_keys(c.transformers_major() < 5 ? op::NoKeys::zero : op::NoKeys::uniform) {
  const std::int64_t heads = c.integer("num_attention_heads");
  check_heads(c, hidden_size, heads);
  const std::int64_t head_dim = c.maybe_integer("head_dim").value_or(hidden_size / heads);
  const std::int64_t kv_heads = c.integer("num_key_value_heads", heads);
  if (head_dim * heads != hidden_size || kv_heads != heads) {
    refuse(ErrorCode::unsupported, c,
           fmt::format("head_dim is {} and num_key_value_heads {}, only {} and {} are known", head_dim,
                       kv_heads, hidden_size / heads, heads));
  }
  attention = {.projections = {.hidden_size = hidden_size,
                               .heads = heads,
                               .query = "q_proj",
                               .key = "k_proj",
                               .value = "v_proj",
                               .output = "o_proj",
                               .bias = bias ? nn::QkvBias::all : nn::QkvBias::none},
               .terms = nn::DistanceTerms{
                   .projection = "relative_k_proj", .content_bias = "bias_u", .distance_bias = "bias_v"}};
  convolution = {
      .width = hidden_size,
      .kernel = c.integer("conv_kernel_size"),
      .activation = activation,
      .bias = c.flag("convolution_bias", true) ? nn::ConformerConvBias::all : nn::ConformerConvBias::none,
      .batch_norm = "norm"};
  c.harmless({"max_position_embeddings"});  // version 4 refuses longer audio, version 5 does not
  check(c, *this);
}

nn::ConformerLayer ParakeetConfig::layer(const Scope& s) const {
  const auto norm = [&](const char* key) { return nn::LayerNorm(s / key, hidden_size, 1e-5); };
  const auto feed_forward = [&](const char* key) {
    const Scope mlp = s / key;
    return nn::Mlp(mlp.path(), nn::Linear(mlp / "linear1", hidden_size, intermediate_size, bias),
                   nn::Linear(mlp / "linear2", intermediate_size, hidden_size, bias), activation);
  };
  return {.path = s.path(),
          .first_norm = norm("norm_feed_forward1"),
          .first = feed_forward("feed_forward1"),
          .attention_norm = norm("norm_self_att"),
          .attention = nn::ConformerAttention(s / "self_attn", attention),
          .convolution_norm = norm("norm_conv"),
          .convolution = nn::ConformerConv(s / "conv", convolution),
          .second_norm = norm("norm_feed_forward2"),
          .second = feed_forward("feed_forward2"),
          .norm = norm("norm_out")};
}

ParakeetStates encode_parakeet(const Scope& s, const ParakeetConfig& c, Value features, Value lengths) {
  const ModulePath at(features, s.path());
  Value x = subsample(s / "subsampling", c, features, lengths);
  if (c.input_scale != 1) x = op::mul(x, c.input_scale);
  nn::ConformerContext shared;
  shared.distances = nn::conformer_distances(x.graph(), x.dim(1), c.hidden_size, x.dtype());
  ParakeetStates states;
  if (lengths) {
    // Padding sees no frame, and no frame sees padding.
    states.lengths = shorten(lengths, c);
    const Value real = first_frames(states.lengths, x.dim(1));
    const Value queries = op::unsqueeze(real, 2);
    const Value both = op::logical_and(op::unsqueeze(real, 1), queries);
    shared.mask = {.visible = op::unsqueeze(both, 1), .no_keys = c.no_keys};
    shared.padding = op::unsqueeze(op::logical_not(real), 2);
  }
  for (std::int64_t i = 0; i < c.layers; ++i) x = c.layer(s / "layers" / i)(x, shared);
  states.hidden = x;
  return states;
}

Value ctc_head(const Scope& s, Value hidden, std::int64_t width, std::int64_t vocab_size) {
  const Weight weight = s.weight("weight", {vocab_size, width, 1}).reshape({vocab_size, width});
  return nn::Linear(s.path(), weight, s.weight("bias", {vocab_size}))(hidden);
}

PretrainedConfig parakeet_encoder_config(const PretrainedConfig& c) {
  return c.sub("encoder_config", "parakeet_encoder");
}

std::int64_t ParakeetOnnxConfig::feature_size() const {
  const PretrainedConfig c = config().unaccounted();
  if (c.model_type() == "parakeet_encoder") return c.integer("num_mel_bins");
  return parakeet_encoder_config(c).integer("num_mel_bins");
}

}  // namespace onnxport::models
