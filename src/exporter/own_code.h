/// Models whose repository brings its own code.
#pragma once

#include <string>
#include <vector>

#include "onnxport/config.h"
#include "onnxport/tasks_manager.h"

namespace onnxport::exporter {

/// A notice if `auto_map` names classes of the repository's own: the definition follows the official class.
std::vector<std::string> own_code_notices(const PretrainedConfig& config);

/// Complaints about keys that only other code reads, and that say that it computes something else:
/// `is_causal: false` in a decoder. Text generation is causal whatever they say, so they count for other
/// tasks only. Call it after the graphs were built: a key that the definition read is no complaint.
std::vector<std::string> contradictions(const PretrainedConfig& config, const ModelDefinition& definition,
                                        const std::string& task);

}  // namespace onnxport::exporter
