/// Networks of inverted residuals: MobileNet, MnasNet, EfficientNet and their relatives.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/timm/common/timm_config.h"
#include "onnxport/nn/conv_layer.h"

namespace onnxport::models {

/// The kinds of blocks.
enum class MobileBlock : std::uint8_t {
  depthwise,      ///< a convolution of each channel, then a linear one of all channels
  depthwise_act,  ///< the same, with an activation behind both, and never a residual
  inverted,       ///< channels become more, each is convolved, and they become fewer again (MBConv)
  edge,           ///< the first two steps are one convolution
  universal,      ///< like inverted, with a convolution of each channel before, inside, both or neither
  convolution,    ///< one convolution, with a residual only if MobileBlocks::residual says so
};

/// Blocks of a stage that are alike; the first one has the stride.
struct MobileBlocks {
  MobileBlock kind;
  std::int64_t count, kernel, stride;
  double expansion;       ///< of the channels, inside of a block
  std::int64_t channels;  ///< behind it
  double squeeze = 0;     ///< channels of the gates, relative to those of the block's input; 0: no gates
  const char* activation = "";  ///< empty: that of the network
  /// Whether a block is added to its input, where the shapes are equal.
  bool residual = true;
  std::int64_t before = 0;  ///< kernel in front of a universal block; that and `kernel` may be 0: none
};
using MobileStages = std::vector<std::vector<MobileBlocks>>;

/// How the width of gates is found, and what they compute with.
struct MobileGates {
  enum class Width : std::uint8_t {
    of_input,     ///< a share of the channels of the block's input
    of_inside,    ///< of those inside of the block
    in_steps,     ///< of those inside, as a multiple of 8
    in_steps_95,  ///< of those of the input, as a multiple of 8 that loses at most a twentieth
  } width = Width::of_input;
  const char* activation = "";  ///< empty: that of the block
  const char* gate = "sigmoid";
};

/// The arguments of an architecture.
struct MobileNet {
  MobileStages stages;
  double width = 1;  ///< multiplies channels
  double depth = 1;  ///< multiplies numbers of blocks
  std::int64_t stem = 32;
  std::int64_t top = 1280;  ///< channels of the last convolution; 0: none
  const char* activation = "relu";
  MobileGates gates = {};
  double least = 0.9;  ///< of its channels, that a layer must keep when they are rounded
  nn::ConvPadding padding = nn::ConvPadding::centered;
  double eps = 1e-5;
  enum class Scaled : std::uint8_t {
    all,           ///< everything is multiplied
    without_ends,  ///< not the channels of the stem, and not the depth of the first and the last stage
    without_stem,  ///< not the channels of the stem
  } scaled = Scaled::all;
  bool rounds_depth = false;  ///< to the nearest number of blocks, not up

  /// Channels for this width: a multiple of 8.
  std::int64_t channels(std::int64_t usual) const;
  /// With TensorFlow's padding and eps.
  MobileNet tensorflow() const;
};

/// The same with what model_args say. Throws ExportError(bad_config).
MobileNet with_arguments(MobileNet net, const TimmConfig& c);

/// The results of the stages before which the image shrinks, of the last one, and of the stem if the image
/// shrinks behind it; but at most `last` + 1 of them. Keys: conv_stem, bn1, blocks.
std::vector<Value> run_mobile_stages(const Scope& s, const TimmConfig& c, const MobileNet& net,
                                     Value pixel_values, std::int64_t last);

}  // namespace onnxport::models
