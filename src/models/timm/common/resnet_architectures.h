/// The residual networks of timm.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace onnxport::models {

/// Gates of channels in a block: none, from all channels through a sixteenth or a quarter of them (SE), or
/// from neighbours (ECA).
enum class TimmResNetGate : std::uint8_t { none, sixteenth, quarter, neighbours };

/// The arguments of an architecture.
struct TimmResNet {
  std::vector<std::int64_t> layers;
  bool basic = false;  ///< two 3x3 convolutions per block, not a bottleneck
  std::int64_t groups = 1, base_width = 64;
  std::string stem = {};         ///< "deep", "deep_tiered": three 3x3 convolutions; else one of 7x7
  std::int64_t stem_width = 64;  ///< of a deep stem
  bool average_down = false;     ///< shortcuts shrink images by means
  TimmResNetGate gate = TimmResNetGate::none;
  bool conv_pool = false;         ///< a convolution instead of the pooling after the stem
  std::int64_t reduce_first = 1;  ///< divides the width of a block's first convolution
  std::int64_t down_kernel = 1;   ///< of shortcuts that shrink images
};

/// All of them, by name.
const std::map<std::string, TimmResNet, std::less<>>& resnet_architectures();

}  // namespace onnxport::models
