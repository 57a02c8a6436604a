#include "onnx/merge_decoders.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

namespace onnxport {
namespace {

constexpr const char* kSwitch = "use_cache_branch";

std::string inside(const std::string& branch, const std::string& name) {
  return fmt::format("{}/{}", branch, name);
}

// Moves graphs into branches of one graph, which holds their initializers.
class Merger {
 public:
  explicit Merger(OnnxGraph& whole) : whole_(whole) {
    for (const OnnxValueInfo& input : whole.inputs) taken_.insert(input.name);
    for (const OnnxValueInfo& output : whole.outputs) taken_.insert(output.name);
  }

  // The nodes of `graph`, with names that are unique in the file.
  std::shared_ptr<OnnxGraph> branch(const OnnxGraph& graph, const std::string& name) {
    Names renamed;
    for (const OnnxValueInfo& input : graph.inputs) renamed[input.name] = input.name;
    for (const OnnxInitializer& initializer : graph.initializers)
      renamed[initializer.name] = share(initializer);
    auto branch = std::make_shared<OnnxGraph>(copy(graph, name, renamed));
    branch->name = name;
    branch->opsets = graph.opsets;
    return branch;
  }

  // An initializer of the whole graph. Equal weights share one.
  std::string share(const OnnxInitializer& initializer) {
    std::string& name = shared_[fingerprint(initializer)];
    if (!name.empty()) return name;
    name = initializer.name;
    for (int i = 1; !taken_.insert(name).second; ++i) name = fmt::format("{}_{}", initializer.name, i);
    whole_.initializers.push_back({name, initializer.weight, initializer.packed});
    return name;
  }

 private:
  using Names = std::map<std::string, std::string>;

  // Nodes, values and outputs, with the graphs inside of them.
  OnnxGraph copy(const OnnxGraph& graph, const std::string& branch, Names& renamed) {
    OnnxGraph result;
    for (OnnxNode node : graph.nodes) {
      node.name = inside(branch, node.name);
      for (std::string& input : node.inputs) {
        if (!input.empty()) input = renamed.at(input);
      }
      for (auto& [name, value] : node.attrs) {
        if (auto* inner = std::get_if<std::shared_ptr<OnnxGraph>>(&value))
          *inner = body(**inner, branch, renamed);
      }
      for (std::string& output : node.outputs) {
        if (!output.empty()) output = renamed[output] = inside(branch, output);
      }
      result.nodes.push_back(std::move(node));
    }
    for (OnnxValueInfo value : graph.values) {
      value.name = renamed.at(value.name);
      result.values.push_back(std::move(value));
    }
    for (OnnxValueInfo output : graph.outputs) {
      output.name = renamed.at(output.name);
      result.outputs.push_back(std::move(output));
    }
    return result;
  }

  std::shared_ptr<OnnxGraph> body(const OnnxGraph& graph, const std::string& branch, Names& renamed) {
    std::vector<OnnxValueInfo> inputs = graph.inputs;
    for (OnnxValueInfo& input : inputs) input.name = renamed[input.name] = inside(branch, input.name);
    auto result = std::make_shared<OnnxGraph>(copy(graph, branch, renamed));
    result->name = graph.name;
    result->inputs = std::move(inputs);
    return result;
  }

  OnnxGraph& whole_;
  std::map<std::string, std::string> shared_;  // fingerprint -> name
  std::set<std::string> taken_;
};

// The shape of an empty tensor with the rank and the static extents of `type`: [0, heads, 1, head_dim].
std::vector<std::int64_t> empty_shape(const TensorType& type) {
  std::vector<std::int64_t> shape;
  for (const Dim& dim : type.shape) shape.push_back(dim.constant().value_or(1));
  shape.at(0) = 0;
  return shape;
}

// A value with the dynamic axes of both: one branch may fix what the other does not.
OnnxValueInfo with_axes_of(OnnxValueInfo value, const OnnxValueInfo& other) {
  for (std::size_t i = 0; i < value.type.shape.size() && i < other.type.shape.size(); ++i) {
    if (!value.type.shape[i].is_constant() || other.type.shape[i].is_constant()) continue;
    value.type.shape[i] = other.type.shape[i];
    const int axis = static_cast<int>(i);
    if (const auto name = other.axis_names.find(axis); name != other.axis_names.end())
      value.axis_names[axis] = name->second;
  }
  return value;
}

}  // namespace

OnnxGraph merge_decoders(const OnnxGraph& without, const OnnxGraph& with) {
  OnnxGraph whole;
  whole.opsets = with.opsets;
  whole.opsets.insert(without.opsets.begin(), without.opsets.end());
  whole.outputs = without.outputs;
  whole.inputs = with.inputs;
  for (const OnnxValueInfo& input : without.inputs) {
    const auto same = [&](const OnnxValueInfo& other) { return other.name == input.name; };
    const auto found = std::find_if(whole.inputs.begin(), whole.inputs.end(), same);
    if (found != whole.inputs.end()) {
      *found = with_axes_of(*found, input);
    } else {
      whole.inputs.push_back(input);
    }
  }
  whole.inputs.push_back({kSwitch, {DType::boolean, {1}}});

  Merger merger(whole);
  const std::shared_ptr<OnnxGraph> no_past = merger.branch(without, "no_past");
  const std::shared_ptr<OnnxGraph> past = merger.branch(with, "with_past");
  // The outputs of the branch with a past, in the order of the other branch.
  std::vector<OnnxValueInfo> outputs;
  for (OnnxValueInfo& output : whole.outputs) {
    const auto given = std::find_if(with.outputs.begin(), with.outputs.end(),
                                    [&](const OnnxValueInfo& other) { return other.name == output.name; });
    if (given != with.outputs.end()) {
      output = with_axes_of(*given, output);  // its axes cover a past of length 0 as well
      outputs.push_back(past->outputs[static_cast<std::size_t>(given - with.outputs.begin())]);
      continue;
    }
    // An empty tensor is computed, because some engines take no empty initializers.
    const std::string name = "with_past/" + output.name;
    const std::vector<std::int64_t> shape = empty_shape(output.type);
    const double zero = 0;
    const std::string value_of =
        merger.share({"zero", Weight::from_doubles(output.type.dtype, {}, {&zero, 1})});
    const std::string shape_of =
        merger.share({"no_keys", Weight::from_ints({static_cast<std::int64_t>(shape.size())}, shape)});
    past->nodes.push_back({"Expand", {}, name, {value_of, shape_of}, {name}, {}});
    TensorType type{output.type.dtype, {}};
    for (const std::int64_t extent : shape) type.shape.emplace_back(extent);
    OnnxValueInfo value{name, std::move(type)};
    outputs.push_back(std::move(value));
  }
  past->outputs = std::move(outputs);

  OnnxNode choice{"If", {}, "If", {kSwitch}, {}, {{"then_branch", past}, {"else_branch", no_past}}};
  for (const OnnxValueInfo& output : whole.outputs) choice.outputs.push_back(output.name);
  whole.nodes.push_back(std::move(choice));
  return whole;
}

}  // namespace onnxport
