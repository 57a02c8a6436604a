/// Which numbers make sense, by the name of a key.
#pragma once

#include <cstdint>
#include <string_view>

namespace onnxport::config {

struct Range {
  std::int64_t least, most;
  bool contains(std::int64_t value) const { return least <= value && value <= most; }
};

/// Counts and sizes are what architectures divide by and make loops of. Names are alike in all classes:
/// `num_attention_heads`, `encoder_layers`, `hidden_size`, `patch_size`; the range is wide, so that no real
/// model is outside of it.
Range plausible(std::string_view key);

}  // namespace onnxport::config
