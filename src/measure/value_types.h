/// Types of values as texts.
#pragma once

#include <string>
#include <string_view>

#include "onnxport/inspect.h"

namespace onnxport::measure {

/// "int64[batch_size, 16]"
std::string type_of(const ValueSummary& value);

/// Whether an extent is a number.
bool is_number(std::string_view extent);

/// Whether a client can take one for the other: the names of axes may differ.
bool same_to_clients(const ValueSummary& a, const ValueSummary& b);

}  // namespace onnxport::measure
