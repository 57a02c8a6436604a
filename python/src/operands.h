/// Operands of ops and modules.
#pragma once

#include "bind.h"
#include "onnxport/graph.h"

namespace onnxport::python {

/// None stands for an absent operand.
using MaybeValue = std::optional<Value>;
inline Value absent_if_none(const MaybeValue& value) { return value.value_or(Value()); }
inline MaybeValue none_if_absent(const Value& value) { return value ? MaybeValue(value) : std::nullopt; }

}  // namespace onnxport::python
