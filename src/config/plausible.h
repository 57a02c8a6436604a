/// Plausible ranges of numbers, by the name of a key.
#pragma once

#include <cstdint>
#include <string_view>

namespace onnxport::config {

struct Range {
  std::int64_t least, most;
  bool contains(std::int64_t value) const { return least <= value && value <= most; }
};

/// Architectures divide by counts and sizes, and loop over them. All classes use similar names:
/// `num_attention_heads`, `encoder_layers`, `hidden_size`, `patch_size`. The range is wide, so every real
/// model is inside it.
Range plausible(std::string_view key);

}  // namespace onnxport::config
