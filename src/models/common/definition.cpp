#include "models/common/definition.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "onnxport/error.h"

namespace onnxport::models {

KeyNames tied(const char* table, const char* head) {
  return {.embeddings = {fmt::format("{}.weight", table)}, .head = fmt::format("{}.weight", head)};
}

void check_multiple(const PretrainedConfig& config, std::string_view width_key, std::int64_t width,
                    std::string_view parts_key, std::int64_t parts) {
  if (width > 0 && parts > 0 && width % parts == 0) return;
  throw ExportError(ErrorCode::bad_config, fmt::format("{}: {} {} is not a multiple of {} {}",
                                                       config.origin(), width_key, width, parts_key, parts));
}

void check_heads(const PretrainedConfig& config, std::int64_t hidden_size, std::int64_t heads) {
  check_multiple(config, "hidden_size", hidden_size, "num_attention_heads", heads);
}

std::vector<std::string> kinds_of_layers(const PretrainedConfig& config, const char* key) {
  std::vector<std::string> kinds = config.strings(key);
  const std::int64_t layers = config.integer("num_hidden_layers");
  if (static_cast<std::int64_t>(kinds.size()) == layers) return kinds;
  throw ExportError(ErrorCode::bad_config,
                    fmt::format("{}: {} has {} entries, expected one for each of {} layers", config.origin(),
                                key, kinds.size(), layers));
}

std::vector<std::string> kinds_of_layers(const PretrainedConfig& config, const char* key,
                                         std::initializer_list<std::string_view> known) {
  std::vector<std::string> kinds = kinds_of_layers(config, key);
  for (const std::string& kind : kinds) {
    if (std::find(known.begin(), known.end(), kind) != known.end()) continue;
    throw ExportError(ErrorCode::bad_config, fmt::format("{}: {} has '{}', expected one of {}",
                                                         config.origin(), key, kind, fmt::join(known, ", ")));
  }
  return kinds;
}

std::int64_t divisor(const PretrainedConfig& config, const char* key) {
  const std::int64_t value = config.integer(key);
  if (value >= 1) return value;
  throw ExportError(ErrorCode::bad_config,
                    fmt::format("{}: {} is {}, expected at least 1", config.origin(), key, value));
}

}  // namespace onnxport::models
