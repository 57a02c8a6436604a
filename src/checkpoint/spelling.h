/// Old spellings of keys.
#pragma once

#include <string_view>

#include "checkpoint/checkpoint.h"

namespace onnxport {

/// The tensor of this name, or of the other spelling of its ending (`gamma` for `weight`; see scope.h), or
/// null.
const TensorView* find_spelled(const Checkpoint& checkpoint, std::string_view key);

}  // namespace onnxport
