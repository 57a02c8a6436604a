/// SEANet, the convolutions of EnCodec and Mimi. (Tagliasacchi et al. 2020)
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/common/definition.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/sound.h"

namespace onnxport::models {

/// How convolutions pad and trim.
struct SeanetPadding {
  std::string mode = "reflect";  ///< constant, reflect or replicate
  bool causal = true;            ///< all of it comes in front, but for what fills the last step
  double trim_right = 1;         ///< of a causal transposed convolution: the share that is cut off behind it
};

/// A convolution with as many results as steps begin in its input, and maybe a norm over channels and time.
/// Keys: conv, norm.
class SeanetConv {
 public:
  /// `time_norm`: with the norm.
  SeanetConv(const Scope& s, const SeanetPadding& padding, std::int64_t in, std::int64_t out,
             std::int64_t kernel, op::ConvOptions options = {}, bool bias = true, bool time_norm = false);
  /// [B, in, L] -> [B, out, ceil(L / stride)]
  Value operator()(Value x) const;

 private:
  SeanetPadding padding_;
  std::int64_t reach_, stride_;
  nn::Conv1d conv_;
  std::optional<nn::GroupNorm> norm_;
};

/// [B, in, L] -> [B, out, L * stride]. Keys: conv, norm.
class SeanetConvTranspose {
 public:
  SeanetConvTranspose(const Scope& s, const SeanetPadding& padding, std::int64_t in, std::int64_t out,
                      std::int64_t kernel, const op::ConvOptions& options, bool bias = true,
                      bool time_norm = false);
  Value operator()(Value x) const;

 private:
  std::int64_t left_, right_;
  nn::ConvTranspose1d conv_;
  std::optional<nn::GroupNorm> norm_;
};

/// Sizes of the encoder and the decoder, which mirror each other.
struct SeanetConfig {
  SeanetPadding padding;
  std::int64_t channels, filters, hidden_size, residual_layers, kernel, last_kernel, residual_kernel;
  std::int64_t dilation_growth, compress;
  std::int64_t lstm_layers = 0;      ///< between the convolutions, on the coarsest level
  std::vector<std::int64_t> ratios;  ///< of the decoder, from the coarsest
  bool shortcut, time_norm = false;

  /// Throws ExportError(bad_config) for sizes with which it cannot be computed.
  explicit SeanetConfig(const PretrainedConfig& c);
  SeanetConfig(const PretrainedConfig& c, std::vector<std::int64_t> upsampling_ratios);
  /// Samples for one step: the product of the ratios.
  std::int64_t hop_length() const;
};

/// Samples [B, channels, S] -> [B, hidden_size, L]. Keys: layers.{i}.
Value seanet_encode(const Scope& s, const SeanetConfig& c, Value samples);
/// [B, hidden_size, L] -> samples [B, channels, L * hop_length].
Value seanet_decode(const Scope& s, const SeanetConfig& c, Value hidden);

}  // namespace onnxport::models
