#include "models/common/definition.h"

#include <fmt/format.h>

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

}  // namespace onnxport::models
