/// Names of tensors in GGUF files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "onnxport/gguf_info.h"

namespace onnxport::exporter {

/// `blk.12.attn_q.weight`: {"blk.{}.attn_q", ".weight", {"12"}}.
struct GgufName {
  std::string pattern, ending;
  std::vector<std::string> numbers;

  explicit GgufName(std::string_view name);
  /// `key` with `{}` replaced by the numbers, and a remaining one by `last`; then the ending.
  std::string fill(const std::string& key, std::int64_t last = 0) const;
  /// Whether it belongs to a layer behind the first `layers` ones.
  bool is_behind(std::int64_t layers) const;
};

std::size_t count_places(const std::string& pattern);

/// The number of layers in front of those that predict further tokens (which no task has), if the file has
/// such layers.
std::optional<std::int64_t> layers_before_predicting(const GgufInfo& info);

}  // namespace onnxport::exporter
