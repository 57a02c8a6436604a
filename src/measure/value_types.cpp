#include "measure/value_types.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>

namespace onnxport::measure {

std::string type_of(const ValueSummary& value) {
  return fmt::format("{}[{}]", value.type, fmt::join(value.shape, ", "));
}

bool is_number(std::string_view extent) {
  return !extent.empty() && std::ranges::all_of(extent, [](unsigned char c) { return std::isdigit(c) != 0; });
}

bool same_to_clients(const ValueSummary& a, const ValueSummary& b) {
  if (a.type != b.type || a.shape.size() != b.shape.size()) return false;
  for (std::size_t axis = 0; axis < a.shape.size(); ++axis) {
    const bool fixed = is_number(a.shape[axis]) || is_number(b.shape[axis]);
    if (fixed && a.shape[axis] != b.shape[axis]) return false;
  }
  return true;
}

}  // namespace onnxport::measure
