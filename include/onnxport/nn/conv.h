/// Convolutions, and the norms over channels that are used with them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "onnxport/graph.h"
#include "onnxport/op.h"
#include "onnxport/scope.h"

namespace onnxport::nn {

/// Keys: weight [out, in / groups, kernel], bias [out]. (torch.nn.Conv1d)
class ONNXPORT_API Conv1d {
 public:
  Conv1d(const Scope& s, std::int64_t in, std::int64_t out, std::int64_t kernel, bool bias = true,
         op::ConvOptions options = {});
  /// From weights that are made of others. `bias` may be empty.
  Conv1d(std::string path, Weight weight, Weight bias, op::ConvOptions options = {});
  /// [B, in, L] -> [B, out, L']
  Value operator()(Value x) const;

 private:
  std::string path_;
  Weight weight_, bias_;
  op::ConvOptions options_;
};

struct KernelSize {
  std::int64_t height = 1, width = 1;
};

/// Normalization by recorded statistics of each channel. Keys: weight, bias, running_mean, running_var
/// [channels]. (Ioffe and Szegedy 2015; torch.nn.BatchNorm2d in evaluation)
class ONNXPORT_API BatchNorm2d {
 public:
  BatchNorm2d(const Scope& s, std::int64_t channels, double eps = 1e-5);
  /// [B, channels, H, W] -> the same
  Value operator()(Value x) const;

  // x * scale + shift, float32 [channels].
  const Weight& scale() const { return scale_; }
  const Weight& shift() const { return shift_; }

 private:
  std::string path_;
  Weight scale_, shift_;
};

/// Keys: weight [out, in / groups, height, width], bias [out]. (torch.nn.Conv2d)
class ONNXPORT_API Conv2d {
 public:
  Conv2d(const Scope& s, std::int64_t in, std::int64_t out, KernelSize kernel, bool bias = true,
         op::ConvOptions options = {});
  /// From weights that are made of others. `bias` may be empty.
  Conv2d(std::string path, Weight weight, Weight bias, op::ConvOptions options = {});
  /// [B, in, H, W] -> [B, out, H', W']
  Value operator()(Value x) const;
  /// Like operator(), but with TensorFlow's "same" padding, which depends on the size of x. An odd element of
  /// padding comes last. Only for strides of 1 or 2.
  Value with_same_padding(Value x) const;

 private:
  std::string path_;
  Weight weight_, bias_;
  op::ConvOptions options_;
};

/// A convolution followed by a norm, as in residual networks.
struct ONNXPORT_API NormedConv2d {
  Conv2d convolution;
  BatchNorm2d norm;
  /// [B, in, H, W] -> [B, out, H', W']
  Value operator()(Value x) const { return norm(convolution(x)); }
};

/// Keys: weight [in, out, height, width], bias [out]. (torch.nn.ConvTranspose2d of one group)
class ONNXPORT_API ConvTranspose2d {
 public:
  ConvTranspose2d(const Scope& s, std::int64_t in, std::int64_t out, KernelSize kernel, bool bias = true,
                  op::ConvOptions options = {});
  /// [B, in, H, W] -> [B, out, H', W']
  Value operator()(Value x) const;

 private:
  std::string path_;
  Weight weight_, bias_;
  op::ConvOptions options_;
};

/// Normalizes over the channels of a group and all positions. Keys: weight [channels], bias [channels].
/// (torch.nn.GroupNorm)
class ONNXPORT_API GroupNorm {
 public:
  GroupNorm(const Scope& s, std::int64_t groups, std::int64_t channels, double eps = 1e-5);
  /// [B, channels, ...]
  Value operator()(Value x) const;

 private:
  std::string path_;
  std::int64_t groups_;
  Weight weight_, bias_;
  double eps_;
};

/// A weight that the checkpoint holds as direction and length, put together again: v * g / ||v||, with the
/// norm over all axes but one. Keys: parametrizations.weight.original0 (g), original1 (v). (Salimans and
/// Kingma 2016; torch.nn.utils.weight_norm)
ONNXPORT_API Weight weight_norm(const Scope& s, const std::vector<std::int64_t>& shape, std::int64_t axis);

}  // namespace onnxport::nn
