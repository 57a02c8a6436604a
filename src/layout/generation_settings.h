/// Settings for text generation that belong to a checkpoint.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string_view>
#include <vector>

#include "onnxport/config.h"
#include "onnxport/model.h"

namespace onnxport::layout {

/// The content of a JSON file beside config.json; an empty object if there is no such file, or no object in
/// it. Throws ExportError(bad_config) for broken JSON.
nlohmann::json read_object(const Model& model, const char* name);

/// Settings of generation_config.json, or else of config.json. Lookups do not count as reading a key of
/// config.json, because no graph depends on them.
class GenerationSettings {
 public:
  /// Throws ExportError(bad_config) if generation_config.json is not a JSON object.
  explicit GenerationSettings(const Model& model);

  std::optional<std::int64_t> integer(std::string_view key) const;
  std::optional<double> real(std::string_view key) const;
  bool flag(std::string_view key) const;
  /// A list, or a bare value as a list of one; empty if absent.
  std::vector<std::int64_t> integers(std::string_view key) const;

 private:
  const PretrainedConfig* source_of(std::string_view key) const;
  std::vector<PretrainedConfig> sources_;
};

/// The tokens that end a sequence: eos_token_id and, if it has another id, the eos_token of
/// tokenizer_config.json. A chat model ends its turn with that token, and config.json often knows only the
/// end of a text. Throws ExportError(bad_config) if no file has one, or if none is below `vocab_size`; ids
/// from `vocab_size` on are left out, because a model cannot predict them.
std::vector<std::int64_t> end_tokens(const Model& model, const GenerationSettings& settings,
                                     std::int64_t vocab_size);

}  // namespace onnxport::layout
