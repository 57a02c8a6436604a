/// The include for an architecture's file, besides the modules that it uses.
#pragma once

#include <string_view>

#include "onnxport/middle_end.h"
#include "onnxport/model.h"
#include "onnxport/op.h"
#include "onnxport/tasks_manager.h"

namespace onnxport::models {

/// The table of tokens and the output layer that may be tied to it, by their key paths.
KeyNames tied(const char* table, const char* head);

/// Throws ExportError(bad_config) that names both keys unless `width` is a positive multiple of `parts`.
void check_multiple(const PretrainedConfig& config, std::string_view width_key, std::int64_t width,
                    std::string_view parts_key, std::int64_t parts);
/// The same for hidden_size and num_attention_heads.
void check_heads(const PretrainedConfig& config, std::int64_t hidden_size, std::int64_t heads);

}  // namespace onnxport::models
