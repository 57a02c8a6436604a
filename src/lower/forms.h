/// Forms: the ways to write a semantic op for a target.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "lower/emitter.h"
#include "lower/target.h"
#include "onnxport/graph.h"

namespace onnxport::lower {

/// One way to write an op. It either emits ONNX nodes (`lower`), or gives smaller ops that take the place of
/// the node before lowering (`expand`).
struct Form {
  std::string_view name;
  /// Is the form exact for this node, and has the target what it needs?
  bool (*fits)(const Node& node, const Target& target);
  Lowered (*lower)(Emitter& e, const Node& node) = nullptr;
  std::vector<Value> (*expand)(const Node& node) = nullptr;
};

/// The forms of an op in the order of preference: the first that fits is taken. A composite op whose forms do
/// not fit is decomposed.
std::span<const Form> forms_of(Op op);

/// The form of a node. Composite ops always have one, because their decomposition fits every target.
const Form& form_of(const Node& node, const Target& target);

/// Does the node become ONNX nodes as it is, without being expanded first?
bool has_native_form(const Node& node, const Target& target);

#define ONNXPORT_COMPOSITE(name) std::span<const Form> forms_##name();
#include "onnxport/ops.def"

}  // namespace onnxport::lower
