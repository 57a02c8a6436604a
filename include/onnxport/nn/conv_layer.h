/// The layers of most convolutional networks: convolution, batch norm, activation; and gates of channels.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "onnxport/graph.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/conv.h"
#include "onnxport/scope.h"

namespace onnxport::nn {

/// The zeros around an image.
enum class ConvPadding : std::uint8_t {
  centered,    ///< (kernel - 1) / 2 * dilation on each side
  tensorflow,  ///< "same" of TensorFlow; see Conv2d::with_same_padding()
};

struct ConvLayerParameters {
  std::int64_t in = 0, out = 0;  ///< channels
  std::int64_t kernel = 1, stride = 1, dilation = 1, groups = 1;
  ConvPadding padding = ConvPadding::centered;
  std::string activation = {};  ///< empty: none
  double eps = 1e-5;            ///< of the norm
  /// Keys.
  std::string convolution = "convolution", norm = "normalization";
};

/// activation(norm(convolution(x))), where the convolution has no bias.
class ONNXPORT_API ConvLayer {
 public:
  ConvLayer(const Scope& s, const ConvLayerParameters& p);
  /// [B, in, H, W] -> [B, out, H', W']
  Value operator()(Value x) const;

 private:
  NormedConv2d layer_;
  std::optional<Activation> activation_;
  ConvPadding padding_;
};

struct InvertedResidualParameters {
  std::int64_t in = 0, inner = 0, out = 0;  ///< channels
  std::int64_t stride = 1, dilation = 1;
  ConvPadding padding = ConvPadding::centered;
  std::string activation = "relu";
  double eps = 1e-5;
};

/// Wide inside and narrow outside: a 1 x 1 layer, a 3 x 3 layer of each channel on its own, a 1 x 1 layer
/// without activation, and x is added if the shapes are equal. (Sandler et al. 2018) Keys: expand_1x1,
/// conv_3x3, reduce_1x1.
class ONNXPORT_API InvertedResidual {
 public:
  InvertedResidual(const Scope& s, const InvertedResidualParameters& p);
  /// [B, in, H, W] -> [B, out, H', W']
  Value operator()(Value x) const;

 private:
  ConvLayer expand_, depthwise_, reduce_;
  bool residual_;
};

struct SqueezeExciteParameters {
  std::int64_t channels = 0, reduced = 0;
  std::string activation = "relu";
  /// Keys.
  std::string reduce = "reduce", expand = "expand";
};

/// x * sigmoid(expand(activation(reduce(mean of each channel)))), with two 1 x 1 convolutions. (Hu et al.
/// 2017)
class ONNXPORT_API SqueezeExcite {
 public:
  SqueezeExcite(const Scope& s, const SqueezeExciteParameters& p);
  /// [B, channels, H, W] -> the same
  Value operator()(Value x) const;

 private:
  std::string path_;
  Conv2d reduce_, expand_;
  Activation activation_;
};

}  // namespace onnxport::nn
