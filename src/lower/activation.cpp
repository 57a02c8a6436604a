// Forms of activations.
#include "lower/forms.h"

namespace onnxport::lower {
namespace {

bool is_ort(const Node& /*node*/, const Target& target) { return target.runtime == Runtime::ort; }

bool is_exact(const Node& node) { return node.attrs.get<std::string>("approximate") == "none"; }
bool exact_in_ort(const Node& node, const Target& target) { return is_ort(node, target) && is_exact(node); }

Lowered lower_gelu(Emitter& e, const Node& node) {
  return e.emit("Gelu", e.names_of(node.inputs),
                {{"approximate", node.attrs.get<std::string>("approximate")}});
}

Lowered lower_contrib_gelu(Emitter& e, const Node& node) {
  return e.emit(contrib("Gelu"), e.names_of(node.inputs));
}
// With and without bias.
Lowered lower_fast_gelu(Emitter& e, const Node& node) {
  return e.emit(contrib("FastGelu"), e.names_of(node.inputs));
}
Lowered lower_bias_gelu(Emitter& e, const Node& node) {
  return e.emit(contrib("BiasGelu"), e.names_of(node.inputs));
}

Lowered emit_quick_gelu(Emitter& e, const Node& node, float alpha) {
  return e.emit(contrib("QuickGelu"), e.names_of(node.inputs), {{"alpha", alpha}});
}
Lowered lower_quick_gelu(Emitter& e, const Node& node) { return emit_quick_gelu(e, node, 1.702F); }
Lowered lower_silu(Emitter& e, const Node& node) { return emit_quick_gelu(e, node, 1.0F); }

Lowered lower_mish(Emitter& e, const Node& node) { return e.emit("Mish", e.names_of(node.inputs)); }

}  // namespace

// With the attribute `slope` (pass::leaky_relu): for bfloat16, LeakyRelu exists since opset 16.
Lowered lower_relu(Emitter& e, const Node& node) {
  const std::string x = e.name_of(node.inputs[0]);
  if (!node.attrs.has("slope")) return e.emit("Relu", {x});
  const double slope = node.attrs.real("slope");
  const DType dtype = node.outputs[0].dtype;
  if (dtype != DType::bf16 || e.opset() >= 16)
    return e.emit("LeakyRelu", {x}, {{"alpha", static_cast<float>(slope)}});
  const std::string small = e.emit("Mul", {x, e.scalar(slope, dtype)});
  return e.emit("Max", {x, small});
}

std::span<const Form> forms_gelu() {
  static constexpr Form forms[] = {
      {.name = "com.microsoft.Gelu", .fits = exact_in_ort, .lower = lower_contrib_gelu},
      {.name = "com.microsoft.FastGelu", .fits = is_ort, .lower = lower_fast_gelu},
      {.name = "Gelu",
       .fits = [](const Node& /*node*/, const Target& target) { return target.opset >= 20; },
       .lower = lower_gelu},
  };
  return forms;
}

std::span<const Form> forms_bias_gelu() {
  static constexpr Form forms[] = {
      {.name = "com.microsoft.BiasGelu", .fits = exact_in_ort, .lower = lower_bias_gelu},
      {.name = "com.microsoft.FastGelu", .fits = is_ort, .lower = lower_fast_gelu},
  };
  return forms;
}

std::span<const Form> forms_quick_gelu() {
  static constexpr Form forms[] = {
      {.name = "com.microsoft.QuickGelu", .fits = is_ort, .lower = lower_quick_gelu}};
  return forms;
}

// Opset 24 has Swish, but ONNX Runtime 1.31 has no kernel for it.
std::span<const Form> forms_silu() {
  static constexpr Form forms[] = {{.name = "com.microsoft.QuickGelu", .fits = is_ort, .lower = lower_silu}};
  return forms;
}

std::span<const Form> forms_mish() {
  static constexpr Form forms[] = {
      {.name = "Mish",
       .fits = [](const Node& /*node*/, const Target& target) { return target.opset >= 18; },
       .lower = lower_mish}};
  return forms;
}

}  // namespace onnxport::lower
