/// Keys of config.json that transformers.js reads, and that files may leave to the defaults of their classes.
#pragma once

#include <nlohmann/json.hpp>

#include "onnxport/plan.h"

namespace onnxport::layout {

/// Completes `whole`, the model's config.json. The client has no classes with defaults. It reads the sizes of
/// caches, and the number of a vision encoder's outputs.
void complete_config(const ExportPlan& plan, nlohmann::ordered_json& whole);

}  // namespace onnxport::layout
