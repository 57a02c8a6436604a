/// The definition of BEiT, for types with its modules.
#pragma once

#include "models/common/definition.h"

namespace onnxport::models {

/// `base_model`: the prefix of the keys.
ModelDefinition beit_definition(const char* model_type, const char* base_model);

}  // namespace onnxport::models
