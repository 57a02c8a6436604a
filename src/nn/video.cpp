#include "onnxport/nn/video.h"

#include "onnxport/op.h"

namespace onnxport::nn {
namespace {

// The frames of a patch as channels of one image: [O, C, F, H, W] -> [O, F * C, H, W].
Weight frames_as_channels(const Scope& s, const VideoPatchesParameters& p) {
  const Weight stored =
      s.weight("weight", {p.hidden_size, p.channels, p.frames, p.patch.height, p.patch.width});
  return stored.permute({0, 2, 1, 3, 4})
      .reshape({p.hidden_size, p.frames * p.channels, p.patch.height, p.patch.width});
}

}  // namespace

VideoPatches::VideoPatches(const Scope& s, const VideoPatchesParameters& p)
    : path_(s.path()),
      frames_(p.frames),
      projection_(s.path(), frames_as_channels(s, p), s.weight("bias", {p.hidden_size}),
                  {.stride = {p.patch.height, p.patch.width}}) {}

Value VideoPatches::operator()(Value video) const {
  const ModulePath at(video, path_);
  const Dim batch = video.dim(0), channels = video.dim(2), times = video.dim(1).floor_div(frames_);
  if (times * frames_ != video.dim(1)) video = op::slice(video, 1, 0, times * frames_);
  const Value images = op::reshape(video, {batch * times, channels * frames_, video.dim(3), video.dim(4)});
  const Value patches = op::flatten(projection_(images), 2, 3);  // [B * T, hidden_size, patches]
  const Value tokens = op::transpose(patches, 1, 2);
  return op::reshape(tokens, {batch, times * tokens.dim(1), tokens.dim(2)});
}

}  // namespace onnxport::nn
