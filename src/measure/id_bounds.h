/// How large the ids of a file may be.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "onnxport/inspect.h"

namespace onnxport::measure {

/// For each input that picks rows of a table of the file: the rows of the smallest such table.
std::map<std::string, std::int64_t> id_bounds(const GraphSummary& graph);

}  // namespace onnxport::measure
