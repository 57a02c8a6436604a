/// The include for an architecture's file, besides the modules that it uses.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

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

/// The list of strings with this key, one for each of num_hidden_layers. Throws ExportError(bad_config) for
/// another number.
std::vector<std::string> kinds_of_layers(const PretrainedConfig& config, const char* key);
/// The same, where each must be one of these kinds.
std::vector<std::string> kinds_of_layers(const PretrainedConfig& config, const char* key,
                                         std::initializer_list<std::string_view> known);

/// A number that divides others. Throws ExportError(bad_config) for less than 1.
std::int64_t divisor(const PretrainedConfig& config, const char* key);

}  // namespace onnxport::models
