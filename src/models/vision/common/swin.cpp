#include "models/vision/common/swin.h"

#include <fmt/format.h>

#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/op.h"

namespace onnxport::models {

// The original assumes a square grid, and fails with most others.
Value reconstruct_image(const Scope& root, const PretrainedConfig& config, const SwinTokens& tokens) {
  const std::int64_t channels = config.integer("num_channels"), stride = config.integer("encoder_stride");
  if (channels < 1 || stride < 1) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: num_channels {} and encoder_stride {} must be positive",
                                  config.origin(), channels, stride));
  }
  const Scope s = root / "decoder" / 0;
  const std::int64_t out = channels * stride * stride;
  const Weight kernel = s.weight("weight", {out, tokens.channels, 1, 1});
  const nn::Linear decoder(s.path(), kernel.reshape({out, tokens.channels}), s.weight("bias", {out}));
  // torch.nn.PixelShuffle
  const nn::TokenGrid& grid = tokens.grid;
  const Value spread =
      op::reshape(decoder(tokens.rows), {grid.batch, grid.height, grid.width, channels, stride, stride});
  const Value image = op::permute(spread, {0, 3, 1, 4, 2, 5});
  return op::reshape(image, {grid.batch, channels, grid.height * stride, grid.width * stride});
}

}  // namespace onnxport::models
