/// Old spellings of keys.
#pragma once

#include <string>
#include <string_view>

#include "checkpoint/checkpoint.h"

namespace onnxport {

/// The other spelling of a key, or nothing.
std::string other_spelling(std::string_view key);
/// The tensor of this name, or of the other spelling of its ending (`gamma` for `weight`; see scope.h), or
/// null.
const TensorView* find_spelled(const Checkpoint& checkpoint, std::string_view key);

}  // namespace onnxport
