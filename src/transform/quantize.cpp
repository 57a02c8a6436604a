#include "transform/quantize.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "ir/weight_coded.h"
#include "ir/weight_kept.h"
#include "ir/weight_origin.h"
#include "ir/weight_steps.h"
#include "onnxport/op.h"
#include "onnxport/ops.h"
#include "op/quantized.h"
#include "pass/rebuild.h"
#include "transform/coded_layer.h"
#include "transform/module_region.h"
#include "transform/roles.h"

namespace onnxport::transform {
namespace {

constexpr std::int64_t kFewestOutputs = 16;
constexpr std::int64_t kFewestValues = 1024;  // of a convolution

const Weight* weight_of(const Value& value) {
  return value && value.node()->op == Op::weight ? &value.node()->weight : nullptr;
}

// The values before they were cast to the dtype of the graph.
Weight stored(const Weight& weight) {
  const Weight before = cast_of(weight);
  return before && is_float(before.dtype()) ? before : weight;
}

BlockParameters parameters_of(const BlockRecipe& recipe, int bits) {
  const bool k_quant = recipe.algorithm != "rtn" && bits != 2;
  return {.bits = bits,
          .block_size = recipe.block_size,
          .symmetric = recipe.symmetric,
          .algorithm = k_quant ? BlockAlgorithm::k_quant : BlockAlgorithm::rtn};
}

std::string describe(const BlockParameters& p) {
  return fmt::format("{} bits in blocks of {}{}", p.bits, p.block_size,
                     p.has_zero_points() ? " with zero points" : "");
}

class Quantizer {
 public:
  Quantizer(const Graph& graph, const Recipe& recipe, QuantizeSummary& summary)
      : graph_(graph), recipe_(recipe), summary_(summary), routers_(routers_of(graph)) {
    const auto* blocks = std::get_if<BlockRecipe>(&recipe.scheme);
    if (blocks != nullptr && blocks->algorithm == "k_quant_mixed") mixed_ = mixed_layers_of(graph);
  }

  std::vector<Value> operator()(Graph& result, const Node& node) {
    switch (node.op) {
      case Op::linear:
        return linear(result, node);
      case Op::matmul:
        return matmul(result, node);
      case Op::embedding:
        return embedding(result, node);
      case Op::conv:
        return conv(result, node);
      case Op::mixture_of_experts:
        return experts(result, node);
      default:
        return {};
    }
  }

 private:
  // The last override that matches a path.
  const RecipeOverride* override_of(const std::string& path) {
    const RecipeOverride* found = nullptr;
    for (const RecipeOverride& one : recipe_.overrides) {
      if (!module_at(path, one.modules)) continue;
      summary_.matched.insert(one.modules);
      found = &one;
    }
    return found;
  }

  // The blocks for a layer; nothing if it has none. `by_default`: without an override.
  std::optional<BlockParameters> blocks_for(const Node& node, bool by_default) {
    const auto* recipe = std::get_if<BlockRecipe>(&recipe_.scheme);
    const RecipeOverride* other = override_of(node.path);
    if (other != nullptr) {
      if (other->precision == "none") return {};
      const int bits = other->precision[1] - '0';
      return parameters_of(recipe != nullptr ? *recipe : BlockRecipe{}, bits);
    }
    if (recipe == nullptr || !by_default) return {};
    const bool more = !mixed_.empty() && mixed_[node.id];
    return parameters_of(*recipe, more ? 8 : recipe->bits);
  }

  bool stays(const Node& node) {
    const RecipeOverride* other = override_of(node.path);
    return other != nullptr && other->precision == "none";
  }

  Value placed(Graph& result, const Node& node, const Weight& before, Codes codes, DType dtype,
               const std::string& precision, std::vector<std::int64_t> shape = {}) {
    summary_.layers.push_back(
        {node.path, before.name(), precision, before.numel(), stored_bytes(codes, dtype)});
    const Weight values = coded(std::move(codes));
    return result.weight_as_is((shape.empty() ? values : values.reshape(std::move(shape))).cast(dtype));
  }

  // Matrices [..., N, K] with codes in blocks; absent if they are too small for them.
  Value blocks(Graph& result, const Node& node, const Weight& given, const BlockParameters& p) {
    const std::vector<std::int64_t>& shape = given.shape();
    const std::int64_t columns = shape.back(), rows = given.numel() / std::max<std::int64_t>(columns, 1);
    if (shape[shape.size() - 2] < kFewestOutputs || columns < p.block_size) return {};
    const Weight weight = shape.size() == 2 ? stored(given) : stored(given).reshape({rows, columns});
    return placed(result, node, weight, BlockCodes{quantize_blocks(weight, p), p, columns}, given.dtype(),
                  describe(p), shape.size() == 2 ? std::vector<std::int64_t>() : shape);
  }

  // A matrix [N, K] with the codes of its recipe; absent if it stays. The other operands may have to change.
  Value matrix(Graph& result, const Node& node, const Weight& given, CodedLayer& layer,
               bool by_default = true) {
    const Weight weight = stored(given);
    const std::int64_t outputs = weight.shape()[0], inputs = weight.shape()[1];
    if (recipe_.keeps() && override_of(node.path) == nullptr) return kept(result, node, given, layer);
    if (outputs < kFewestOutputs) return {};
    if (const auto p = blocks_for(node, by_default)) return blocks(result, node, given, *p);
    if (stays(node) || !by_default || recipe_.keeps()) return {};
    if (const auto* bnb = std::get_if<Bnb4Recipe>(&recipe_.scheme)) {
      if (inputs < bnb->block_size) return {};
      const bool nf4 = bnb->type == "nf4";
      return placed(result, node, weight,
                    Bnb4Codes{quantize_bnb4(weight, nf4, bnb->block_size),
                              nf4 ? Bnb4Type::nf4 : Bnb4Type::fp4, bnb->block_size, inputs},
                    given.dtype(), fmt::format("{} in blocks of {}", bnb->type, bnb->block_size));
    }
    const Value codes = integers(result, node, weight);
    if (codes && node.op != Op::embedding) layer.x = op::dynamic_quantize(layer.x);
    return codes;
  }

  // The codes of the checkpoint, perhaps with the inputs in another order.
  Value kept(Graph& result, const Node& node, const Weight& given, CodedLayer& layer) {
    const auto packed = packed_parts_of(given);
    if (packed.empty()) return rounded(result, node, given);
    const auto lose = [&](const std::string& reason) {
      summary_.lost[reason].insert(given.name());
      return Value();
    };
    KeptWeight weight = keep_codes(packed, stored(given).name());
    if (!weight.codes) return lose(weight.reason);
    const auto* blocks = std::get_if<BlockCodes>(&*weight.codes);
    const bool is_layer = node.op == Op::linear || node.op == Op::matmul;
    if (blocks == nullptr && !is_layer) return lose("NF4 or FP4 in embeddings and experts");
    if (blocks == nullptr && given.dtype() != DType::f32) {
      return lose(
          fmt::format("NF4 and FP4, whose kernel takes only float32, in {}", to_string(given.dtype())));
    }
    if (!weight.order.empty()) {
      if (!is_layer) return lose("inputs in the order of their groups in embeddings and experts");
      const auto count = static_cast<std::int64_t>(weight.order.size());
      layer.x = op::index_select(layer.x, result.weight(Weight::from_ints({count}, weight.order)));
    }
    if (weight.offsets) {
      if (node.op == Op::mixture_of_experts) return lose("offsets of blocks in experts");
      layer.offsets = result.weight_as_is(weight.offsets.cast(given.dtype()));
      layer.group_size = weight.group_size;
    }
    ++summary_.kept;
    const std::string precision = blocks != nullptr ? describe(blocks->parameters) : "NF4 or FP4, as stored";
    return placed(result, node, stored(given), *std::move(weight.codes), given.dtype(), precision,
                  given.shape());
  }

  // Values that the checkpoint has in 8 bits or less, but not as integers in blocks: they are rounded once.
  Value rounded(Graph& result, const Node& node, const Weight& given) {
    constexpr int kBits = 8;
    const Weight weight = stored(given);
    const double bits = stored_bits(weight);
    if (bits == 0 || bits > kBits + 1) return {};
    const Value codes = blocks(result, node, given, {.bits = kBits});
    if (codes) summary_.rounded.insert(weight.name());
    return codes;
  }

  // A matrix with 8-bit codes.
  Value integers(Graph& result, const Node& node, const Weight& weight) {
    const auto& recipe = std::get<DynamicRecipe>(recipe_.scheme);
    if (weight.shape()[1] < kFewestOutputs) return {};
    TensorParameters p{.dtype = recipe.weights,
                       .symmetric = recipe.weights == DType::i8,
                       .reduce_range = recipe.reduce_range};
    if (recipe.per_channel) p.axis = 0;
    return placed(result, node, weight, TensorCodes{quantize_tensor(weight, p), p.axis}, DType::f32,
                  fmt::format("{}{}", to_string(p.dtype), recipe.per_channel ? " per output" : ""));
  }

  std::vector<Value> linear(Graph& result, const Node& node) {
    const Weight* weight = weight_of(node.inputs[1]);
    if (weight == nullptr || routers_[node.id]) return {};
    CodedLayer layer{node.inputs[0], node.inputs[2]};
    const Value codes = matrix(result, node, *weight, layer);
    if (!codes) return {};
    return {product(layer, codes)};
  }

  // A product with a constant matrix [K, N] is a linear layer.
  std::vector<Value> matmul(Graph& result, const Node& node) {
    const Weight* weight = weight_of(node.inputs[1]);
    if (weight == nullptr || weight->shape().size() != 2 || routers_[node.id]) return {};
    CodedLayer layer{node.inputs[0]};
    const Value codes = matrix(result, node, weight->permute({1, 0}), layer);
    if (!codes) return {};
    return {product(layer, codes)};
  }

  // The layer whose weight is the table of an embedding; null if there is none.
  const Node* tied_layer(const Node& embedding) const {
    const Value table = graph_.nodes()[embedding.id].inputs[0];
    for (const Node& node : graph_.nodes()) {
      if (node.op == Op::linear && node.inputs[1] == table && !routers_[node.id]) return &node;
    }
    return nullptr;
  }

  std::vector<Value> embedding(Graph& result, const Node& node) {
    const Weight* weight = weight_of(node.inputs[0]);
    if (weight == nullptr || weight->shape().size() != 2 || !is_float(weight->dtype())) return {};
    // A table that is also a layer's weight gets the codes of that layer, and is stored once.
    const Node* layer = override_of(node.path) == nullptr ? tied_layer(node) : nullptr;
    const auto shared = layer != nullptr ? blocks_for(*layer, true) : std::nullopt;
    CodedLayer table{node.inputs[1]};
    const Value codes = shared ? blocks(result, node, *weight, *shared)
                               : matrix(result, node, *weight, table, recipe_.is_dynamic());
    if (!codes) return {};
    return {rows(table, codes)};
  }

  std::vector<Value> conv(Graph& result, const Node& node) {
    const Weight* weight = weight_of(node.inputs[1]);
    if (weight == nullptr || !recipe_.is_dynamic() || weight->numel() < kFewestValues || stays(node))
      return {};
    const bool reduce_range = std::get<DynamicRecipe>(recipe_.scheme).reduce_range;
    const TensorParameters p{.dtype = DType::u8, .symmetric = false, .reduce_range = reduce_range};
    const Weight before = stored(*weight);
    const Value codes =
        placed(result, node, before, TensorCodes{quantize_tensor(before, p)}, DType::f32, "uint8");
    const Value x = op::dynamic_quantize(node.inputs[0]);
    return {op::detail::make(result, Op::conv, {x, codes, node.inputs[2]}, node.attrs).out()};
  }

  // Experts take blocks of 8 bits from a dynamic recipe: each step of their loop has other activations.
  std::vector<Value> experts(Graph& result, const Node& node) {
    std::vector<Value> operands = node.inputs;
    auto parameters = blocks_for(node, true);
    if (!parameters && recipe_.is_dynamic() && !stays(node)) parameters = BlockParameters{.bits = 8};
    const bool keeps = recipe_.keeps() && !parameters && !stays(node);
    if (!parameters && !keeps) return {};
    bool any = false;
    for (const std::size_t i : {2, 3, 4}) {
      const Weight* given = weight_of(operands[i]);
      if (given == nullptr) continue;
      CodedLayer none;
      const Value codes =
          keeps ? kept(result, node, *given, none) : blocks(result, node, *given, *parameters);
      if (codes) operands[i] = codes;
      any = any || codes;
    }
    if (!any) return {};
    return {op::detail::make(result, node.op, std::move(operands), node.attrs).out()};
  }

  const Graph& graph_;
  const Recipe& recipe_;
  QuantizeSummary& summary_;
  std::vector<bool> routers_;
  std::vector<bool> mixed_;  // empty: no layer
};

}  // namespace

Graph quantize(Graph graph, const Recipe& recipe, QuantizeSummary& summary) {
  Quantizer quantizer(graph, recipe, summary);
  return pass::rebuild(std::as_const(graph),
                       [&](Graph& made, const Node& node) { return quantizer(made, node); });
}

}  // namespace onnxport::transform
