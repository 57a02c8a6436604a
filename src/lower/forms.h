/// Forms: the ways to write a semantic op for a target.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "lower/emitter.h"
#include "lower/target.h"
#include "onnxport/graph.h"

namespace onnxport::lower {

/// One way to write an op. It either emits ONNX nodes (`lower`), or returns smaller ops that replace the node
/// before lowering (`expand`).
struct Form {
  std::string_view name;
  /// Whether the form is exact for this node, and the target has everything that it needs.
  bool (*fits)(const Node& node, const Target& target);
  Lowered (*lower)(Emitter& e, const Node& node) = nullptr;
  std::vector<Value> (*expand)(const Node& node) = nullptr;
};

/// The forms of an op, in the order of preference: the first that fits is used. If no form of a composite op
/// fits, the op is decomposed.
std::span<const Form> forms_of(Op op);

/// The form of a node. Composite ops always have one, because their decomposition fits every target.
const Form& form_of(const Node& node, const Target& target);

/// Whether the node becomes ONNX nodes directly, without expansion.
bool has_native_form(const Node& node, const Target& target);

#define ONNXPORT_COMPOSITE(name) std::span<const Form> forms_##name();
#include "onnxport/ops.def"

}  // namespace onnxport::lower
