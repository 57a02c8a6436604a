/// Parts of networks that make sound: convolutions with a weight norm, activations, vocoders.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "onnxport/graph.h"
#include "onnxport/nn/conv.h"
#include "onnxport/op.h"
#include "onnxport/scope.h"

namespace onnxport::nn {

/// The weight of a convolution: `weight`, or, where the checkpoint holds its direction and length instead,
/// both put together. Checkpoints of sound models come in both forms. (weight_norm() over the first axis)
ONNXPORT_API Weight conv_weight(const Scope& s, const std::vector<std::int64_t>& shape);

/// A Conv1d with such a weight.
ONNXPORT_API Conv1d sound_conv(const Scope& s, std::int64_t in, std::int64_t out, std::int64_t kernel,
                               bool bias = true, op::ConvOptions options = {});
/// The zeros on each side with which an odd kernel keeps the length of its input. Throws
/// ExportError(bad_config) for an even kernel.
ONNXPORT_API std::int64_t same_padding(std::int64_t kernel, std::int64_t dilation = 1);

/// Keys: weight [in, out / groups, kernel] as conv_weight() reads it, bias [out]. (torch.nn.ConvTranspose1d)
class ONNXPORT_API ConvTranspose1d {
 public:
  ConvTranspose1d(const Scope& s, std::int64_t in, std::int64_t out, std::int64_t kernel, bool bias = true,
                  op::ConvOptions options = {});
  /// [B, in, L] -> [B, out, L']
  Value operator()(Value x) const;

 private:
  std::string path_;
  Weight weight_, bias_;
  op::ConvOptions options_;
};

/// x where it is positive, slope * x elsewhere. 0 <= slope <= 1. (torch.nn.functional.leaky_relu)
ONNXPORT_API Value leaky_relu(Value x, double slope = 0.01);
/// x where it is positive, exp(x) - 1 elsewhere. (torch.nn.functional.elu)
ONNXPORT_API Value elu(Value x);

/// A batch norm of x [B, channels, L]. (torch.nn.BatchNorm1d in evaluation; the keys of BatchNorm2d)
ONNXPORT_API Value batch_norm1d(const Scope& s, std::int64_t channels, Value x);

struct HifiGanParameters {
  std::int64_t in = 0;        ///< channels of the spectrogram
  std::int64_t channels = 0;  ///< before the first upsampling, each of which halves them
  /// One entry per upsampling.
  std::vector<std::int64_t> rates, kernels;
  /// One entry for each residual block behind an upsampling.
  std::vector<std::int64_t> block_kernels;
  std::vector<std::vector<std::int64_t>> block_dilations;
  double slope = 0.1;  ///< of leaky_relu()
  bool output_bias = true;
};

/// A vocoder: upsampling convolutions, each followed by the mean of residual blocks (Kong et al. 2020). Keys:
/// conv_pre, upsampler.{i}, resblocks.{i}.{convs1, convs2}.{j}, conv_post.
class ONNXPORT_API HifiGan {
 public:
  /// Throws ExportError(bad_config) for lists of different lengths, even kernels of blocks, and sizes with
  /// which it cannot be computed.
  HifiGan(const Scope& s, const HifiGanParameters& p);
  /// [B, in, L] -> samples [B, L * product of the rates]
  Value operator()(Value spectrogram) const;

 private:
  struct Block {
    std::string path;
    std::vector<Conv1d> first, second;
  };
  std::string path_;
  Conv1d before_;
  std::vector<ConvTranspose1d> upsamplers_;
  std::vector<Block> blocks_;
  Conv1d after_;
  double slope_;
};

}  // namespace onnxport::nn
