/// The content of a GGUF file, the format of llama.cpp.
/// https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "onnxport/export_macro.h"
#include "onnxport/weight.h"

namespace onnxport {

using GgufScalar = std::variant<bool, std::int64_t, double, std::string>;
/// An array. The elements of a long array (the tokens of a vocabulary) are counted but not kept.
struct GgufArray {
  std::uint64_t size = 0;
  std::vector<GgufScalar> values;
};
using GgufValue = std::variant<bool, std::int64_t, double, std::string, GgufArray>;

/// The content of a file. Weights are read lazily.
struct ONNXPORT_API GgufInfo {
  std::string file;  ///< its path, for messages
  std::map<std::string, GgufValue, std::less<>> metadata;
  /// By name, with the axes in the order of a checkpoint: elements along the last axis are adjacent.
  std::map<std::string, Weight, std::less<>> tensors;

  bool has_tensor(std::string_view name) const;
  /// Null if the key does not exist.
  const GgufValue* find(std::string_view key) const;
  /// Nothing if the key does not exist or has another type. An array of one element counts as that element.
  std::optional<std::int64_t> integer(std::string_view key) const;
  std::optional<double> real(std::string_view key) const;
  std::optional<std::string> text(std::string_view key) const;
  /// general.architecture, or empty.
  std::string architecture() const { return text("general.architecture").value_or(""); }
};

}  // namespace onnxport
