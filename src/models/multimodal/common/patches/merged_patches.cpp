#include "models/multimodal/common/patches/merged_patches.h"

#include "models/multimodal/common/features/projector.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

// Squares of side * side patches [N, rows * columns, H] -> [N, squares, H]. The stored weight has the layout
// of a convolution: channels before places.
Value merge(const Scope& s, Value patches, const Dim& rows, const Dim& columns, std::int64_t side) {
  const ModulePath at(patches, s.path());
  const std::int64_t width = *patches.dim(2).constant();
  const Scope m = s / "merging_layer";
  const Weight weight = m.weight("weight", {width, width * side * side}).reshape({width, width, side, side});
  const nn::Conv2d conv(m.path(), weight, {}, {.stride = {side, side}});
  const Value channels = op::permute(patches, {0, 2, 1});
  const Value image = op::reshape(channels, {patches.dim(0), width, rows, columns});
  return nn::image_to_tokens(conv(image));
}

}  // namespace

ImageSizes MergedPatchesOnnxConfig::image_sizes() const {
  ImageSizes sizes = MultimodalDecoderOnnxConfig::image_sizes();
  const std::int64_t side = config().unaccounted().integer("spatial_merge_size");
  sizes.smallest.height = sizes.smallest.width = sizes.smallest.height * side;
  sizes.step *= side;
  return sizes;
}

Value project_merged_patches(const Scope& s, const PretrainedConfig& whole, Value patches, Value images,
                             const MergedPatchesParameters& p) {
  const PretrainedConfig reader = whole.unaccounted(), text = reader.sub("text_config");
  const std::int64_t width = *patches.dim(2).constant(),
                     patch = divisor(reader.sub("vision_config"), "patch_size");
  const nn::RmsNorm norm(s / "norm", width, {.eps = text.real("rms_norm_eps")});
  const Value merged = merge(s / "patch_merger", norm(patches), images.dim(2).floor_div(patch),
                             images.dim(3).floor_div(patch), divisor(whole, "spatial_merge_size"));
  const TwoLayerProjector project(
      s, {.in = width, .out = text.integer("hidden_size"), .activation = p.activation, .bias = p.bias});
  return project(merged);
}

}  // namespace onnxport::models
