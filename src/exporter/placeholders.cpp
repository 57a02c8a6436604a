#include "onnxport/placeholders.h"

#include <string>

namespace onnxport {

std::optional<std::int64_t> placeholder_id(const PretrainedConfig& whole, std::string_view features) {
  const std::string kind(features.substr(0, features.find('_')));
  const std::string part = kind == "image" ? "vision_config" : kind + "_config";
  const auto id_in = [&](const PretrainedConfig& config) {
    const auto index = config.maybe_integer(kind + "_token_index");
    return index ? index : config.maybe_integer(kind + "_token_id");
  };
  const PretrainedConfig reader = whole.unaccounted();
  if (const auto id = id_in(reader)) return id;
  return reader.has(part) ? id_in(reader.sub(part)) : std::nullopt;
}

}  // namespace onnxport
