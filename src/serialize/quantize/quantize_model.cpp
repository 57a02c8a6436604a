#include "serialize/quantize/quantize_model.h"

#include <algorithm>
#include <array>
#include <set>
#include <string_view>
#include <utility>

#include "onnx/onnx_graph.h"
#include "serialize/quantize/gemm.h"
#include "serialize/quantize/graph_quantizer.h"
#include "serialize/quantize/nodes.h"
#include "serialize/quantize/value_types.h"
#include "support/fail.h"

namespace onnxport::serialize {
namespace {

constexpr std::array kQuantizedTypes = {
    std::string_view("DequantizeLinear"),
    std::string_view("DynamicQuantizeLSTM"),
    std::string_view("DynamicQuantizeLinear"),
    std::string_view("DynamicQuantizeMatMul"),
    std::string_view("GatherBlockQuantized"),
    std::string_view("MatMulBnb4"),
    std::string_view("MatMulFpQ4"),
    std::string_view("MatMulIntegerToFloat"),
    std::string_view("MatMulNBits"),
    std::string_view("QAttention"),
    std::string_view("QEmbedLayerNormalization"),
    std::string_view("QGemm"),
    std::string_view("QMoE"),
    std::string_view("QuantizeLinear"),
};

bool is_quantized(const std::string& op_type) {
  return op_type.starts_with("QLinear") || op_type == "MatMulInteger" || op_type == "ConvInteger" ||
         std::ranges::find(kQuantizedTypes, op_type) != kQuantizedTypes.end();
}

void refuse_quantized(const onnx::GraphProto& graph, const std::string& file) {
  for (const onnx::NodeProto& node : graph.node()) {
    if (is_quantized(node.op_type())) {
      fail(ErrorCode::unsupported,
           "{} is quantized already (node '{}' is a {}): quantize the float32 file that it was made from, or "
           "name that one file instead of a folder",
           file, node.name(), node.op_type());
    }
    for_each_inner(node, [&](const onnx::GraphProto& inner) { refuse_quantized(inner, file); });
  }
}

void refuse_old_opset(const onnx::ModelProto& head, const std::string& file) {
  for (const onnx::OperatorSetIdProto& opset : head.opset_import()) {
    const bool standard = opset.domain().empty() || opset.domain() == "ai.onnx";
    if (!standard || opset.version() >= 11) continue;
    fail(ErrorCode::unsupported,
         "{} has opset {}, but DynamicQuantizeLinear needs opset 11 or later: export the model with --opset "
         "18",
         file, opset.version());
  }
}

bool has_contrib(const onnx::GraphProto& graph) {
  return std::ranges::any_of(graph.node(), [](const onnx::NodeProto& node) {
    bool inside = node.domain() == kMicrosoftDomain;
    for_each_inner(node, [&](const onnx::GraphProto& inner) { inside = inside || has_contrib(inner); });
    return inside;
  });
}

void set_head(onnx::ModelProto& head, const onnx::GraphProto& graph) {
  head.set_producer_name("onnxport");
  head.set_producer_version(ONNXPORT_VERSION);
  // Before IR version 4, every initializer is an input too.
  head.set_ir_version(std::max<std::int64_t>(head.ir_version(), 4));
  const bool imported = std::ranges::any_of(
      head.opset_import(), [](const auto& opset) { return opset.domain() == kMicrosoftDomain; });
  if (imported || !has_contrib(graph)) return;
  onnx::OperatorSetIdProto& opset = *head.add_opset_import();
  opset.set_domain(kMicrosoftDomain);
  opset.set_version(1);
}

}  // namespace

QuantizedNodes quantize_model(LazyModel& model, const DynamicQuantization& how) {
  const std::string file = model.path.string();
  refuse_quantized(model.graph, file);
  refuse_old_opset(model.head, file);
  replace_gemm(model);
  const onnx::GraphProto types = inferred_types(model);
  QuantizedModel shared{model, how};
  GraphQuantizer(shared, model.graph, types, nullptr).run();
  remove_unused(model.graph);
  if (const std::set<std::string> missing = free_names(model.graph); !missing.empty()) {
    fail(ErrorCode::io, "{}: nodes read '{}', but nothing gives it: the model is damaged", file,
         *missing.begin());
  }
  set_head(model.head, model.graph);
  return {std::move(shared.nodes), std::move(shared.names), std::move(shared.scales)};
}

}  // namespace onnxport::serialize
