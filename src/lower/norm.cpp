// Forms of normalizations.
#include <optional>
#include <utility>
#include <vector>

#include "lower/forms.h"

namespace onnxport::lower {
namespace {

OnnxAttrs epsilon(const Node& node) { return {{"epsilon", static_cast<float>(node.attrs.real("eps"))}}; }

// Over the last axis, as ai.onnx has it.
Lowered last_axis(Emitter& e, const Node& node, const char* op_type, Names operands) {
  OnnxAttrs attrs = {{"axis", std::int64_t{-1}}};
  attrs.push_back(epsilon(node)[0]);
  return e.emit(op_type, std::move(operands), std::move(attrs));
}

std::optional<std::int64_t> width_of(const Node& node) { return node.outputs[0].shape.back().constant(); }

// The operator needs a weight. ONNX Runtime 1.17 crashes on one without a bias when it loads the file.
Lowered lower_layer_norm(Emitter& e, const Node& node) {
  Names operands = e.names_of(node.inputs);
  const std::optional<std::int64_t> width = width_of(node);
  const auto all = [&](double value, const char* name) {
    const std::vector<double> values(static_cast<std::size_t>(*width), value);
    return e.weight(Weight::from_doubles(node.outputs[0].dtype, {*width}, values, name));
  };
  if (operands[1].empty()) operands[1] = all(1, "ones");
  if (operands[2].empty() && width) operands[2] = all(0, "zeros");
  return last_axis(e, node, "LayerNormalization", std::move(operands));
}
Lowered lower_rms_norm(Emitter& e, const Node& node) {
  return last_axis(e, node, "RMSNormalization", e.names_of(node.inputs));
}

Lowered lower_group_norm(Emitter& e, const Node& node) {
  return e.emit("InstanceNormalization", e.names_of(node.inputs), epsilon(node));
}

// ONNX Runtime has no kernel for GroupNormalization, but one for InstanceNormalization (one group per
// channel) in float32.
bool is_instance_norm(const Node& node, const Target& /*target*/) {
  const Shape& shape = node.outputs[0].shape;
  return node.outputs[0].dtype == DType::f32 && shape.size() > 2 && node.inputs[1] && node.inputs[2] &&
         shape[1] == Dim(node.attrs.integer("groups"));
}

// The contrib operators take matrices and batches of matrices, and need a weight. Their fourth result is the
// sum; the two in between are not used. They are for half precision, which is for other devices than the CPU,
// and saves a kernel there. In float32, the CPU kernels of ONNX Runtime 1.31 are worse than what they
// replace: SkipLayerNormalization takes four times as long (BERT-base, 128 tokens), and
// SkipSimplifiedLayerNormalization sums squares one by one, which made the largest error of a Llama of 1.1B
// 2.4 times as large.
bool fits_skip_norm(const Node& node, const Target& target) {
  const std::size_t rank = node.outputs[0].shape.size();
  return target.runtime == Runtime::ort && node.outputs[0].dtype != DType::f32 && node.inputs[2] &&
         (rank == 2 || rank == 3);
}

Lowered skip_norm(Emitter& e, const Node& node, const char* op_type) {
  const Names made = e.emit_wanted(contrib(op_type), {true, false, false, e.is_used(node, 1)},
                                   e.names_of(node.inputs), epsilon(node));
  return Names{made[0], made[3]};
}
Lowered lower_skip_layer_norm(Emitter& e, const Node& node) {
  return skip_norm(e, node, "SkipLayerNormalization");
}
Lowered lower_skip_rms_norm(Emitter& e, const Node& node) {
  return skip_norm(e, node, "SkipSimplifiedLayerNormalization");
}

}  // namespace

std::span<const Form> forms_layer_norm() {
  static constexpr Form forms[] = {
      {.name = "LayerNormalization",
       .fits = [](const Node& node,
                  const Target& target) { return target.opset >= 17 && (node.inputs[1] || width_of(node)); },
       .lower = lower_layer_norm}};
  return forms;
}

std::span<const Form> forms_rms_norm() {
  static constexpr Form forms[] = {
      {.name = "RMSNormalization",
       .fits = [](const Node& node, const Target& target) { return target.opset >= 23 && node.inputs[1]; },
       .lower = lower_rms_norm}};
  return forms;
}

std::span<const Form> forms_group_norm() {
  static constexpr Form forms[] = {
      {.name = "InstanceNormalization", .fits = is_instance_norm, .lower = lower_group_norm}};
  return forms;
}

std::span<const Form> forms_add_layer_norm() {
  static constexpr Form forms[] = {{.name = "com.microsoft.SkipLayerNormalization",
                                    .fits = fits_skip_norm,
                                    .lower = lower_skip_layer_norm}};
  return forms;
}

std::span<const Form> forms_add_rms_norm() {
  static constexpr Form forms[] = {{.name = "com.microsoft.SkipSimplifiedLayerNormalization",
                                    .fits = fits_skip_norm,
                                    .lower = lower_skip_rms_norm}};
  return forms;
}

}  // namespace onnxport::lower
