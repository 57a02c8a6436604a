#include "lower/forms.h"

#include "onnxport/op.h"
#include "onnxport/ops.h"

namespace onnxport::lower {
namespace {

bool always(const Node& /*node*/, const Target& /*target*/) { return true; }

constexpr Form kLeaf{.name = "leaf", .fits = always};  // made by the graph itself
constexpr Form kDecomposition{.name = "decomposition", .fits = always, .expand = op::detail::decompose};

}  // namespace

std::span<const Form> forms_of(Op op) {
  switch (op) {
#define ONNXPORT_LEAF(name) \
  case Op::name:            \
    return {&kLeaf, 1};
#define ONNXPORT_COMPOSITE(name) \
  case Op::name:                 \
    return forms_##name();
#define ONNXPORT_PRIMITIVE(name)                             \
  case Op::name: {                                           \
    static constexpr Form form{#name, always, lower_##name}; \
    return {&form, 1};                                       \
  }
#include "onnxport/ops.def"
  }
  return {};
}

const Form& form_of(const Node& node, const Target& target) {
  for (const Form& form : forms_of(node.op)) {
    if (form.fits(node, target)) return form;
  }
  return kDecomposition;
}

bool has_native_form(const Node& node, const Target& target) {
  return form_of(node, target).lower != nullptr;
}

}  // namespace onnxport::lower
