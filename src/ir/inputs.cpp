#include "onnxport/inputs.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "onnxport/error.h"

namespace onnxport {

Value Inputs::get(std::string_view name) const {
  const auto it =
      std::find_if(values_.begin(), values_.end(), [&](const auto& input) { return input.first == name; });
  return it != values_.end() ? it->second : Value();
}

Value Inputs::operator[](std::string_view name) const {
  if (const Value value = get(name)) return value;
  std::string names;
  for (const auto& [other, value] : values_) names += (names.empty() ? "" : ", ") + other;
  throw ExportError(
      ErrorCode::internal,
      fmt::format("the definition asks for input '{}', but the configuration class lists: {}", name, names));
}

Inputs Inputs::with(std::string_view name, Value value) const {
  NamedValues values = values_;
  const auto it =
      std::find_if(values.begin(), values.end(), [&](const auto& input) { return input.first == name; });
  if (it != values.end()) {
    it->second = value;
  } else {
    values.emplace_back(name, value);
  }
  return Inputs(std::move(values));
}

}  // namespace onnxport
