/// The inputs of a graph, by name.
#pragma once

#include <string_view>
#include <utility>

#include "onnxport/export_macro.h"
#include "onnxport/graph.h"

namespace onnxport {

/// The inputs of a graph, by name.
class ONNXPORT_API Inputs {
 public:
  explicit Inputs(NamedValues values) : values_(std::move(values)) {}
  /// Throws ExportError(internal) if there is no such input.
  Value operator[](std::string_view name) const;
  /// The input, or an absent Value.
  Value get(std::string_view name) const;
  bool has(std::string_view name) const { return static_cast<bool>(get(name)); }
  const NamedValues& values() const { return values_; }
  /// A copy in which `name` has another value.
  Inputs with(std::string_view name, Value value) const;

 private:
  NamedValues values_;
};

}  // namespace onnxport
