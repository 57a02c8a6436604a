#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>
#include <utility>
#include <vector>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/quantized_nodes.h"
#include "onnxport/inspect.h"
#include "onnxport/proof.h"
#include "onnxport/tasks_manager.h"
#include "support/text.h"

namespace onnxport::cli {
namespace {

namespace fs = std::filesystem;

using Counts = std::map<std::string, std::size_t>;

// Nodes by op, with those in branches and bodies.
std::size_t count_nodes(const GraphSummary& graph, Counts& op_types) {
  std::size_t count = graph.nodes.size();
  for (const NodeSummary& node : graph.nodes) {
    ++op_types[node.op_type];
    for (const SubgraphSummary& inner : node.graphs) count += count_nodes(inner.graph, op_types);
  }
  return count;
}

void inspect_file(const InspectFlags& flags) {
  const ModelSummary model = summarize(flags.path);
  const GraphSummary& graph = model.graph;
  Counts op_types;
  const std::size_t nodes = count_nodes(graph, op_types);
  std::uint64_t bytes = 0;
  std::int64_t elements = 0;
  for (const InitializerSummary& initializer : graph.initializers) {
    bytes += initializer.bytes;
    std::int64_t count = 1;
    for (const std::int64_t extent : initializer.shape) count *= extent;
    elements += count;
  }
  const std::vector<QuantizedNode> quantized = quantized_nodes(graph);
  std::map<std::string, std::string> weights_of;  // by node
  for (const QuantizedNode& node : quantized) weights_of[node.name] = "  " + describe(node);
  const auto type_of = [](const ValueSummary& value) {
    return fmt::format("{}[{}]", value.type, fmt::join(value.shape, ", "));
  };
  if (flags.voice.json) {
    json report = {
        {"file", flags.path.string()}, {"producer", model.producer}, {"ir_version", model.ir_version}};
    for (const auto& [domain, version] : model.opsets)
      report["opsets"][domain.empty() ? "ai.onnx" : domain] = version;
    for (const ValueSummary& value : graph.inputs) report["inputs"][value.name] = type_of(value);
    for (const ValueSummary& value : graph.outputs) report["outputs"][value.name] = type_of(value);
    report["nodes"] = nodes;
    report["op_types"] = op_types;
    report["initializers"] = graph.initializers.size();
    report["elements"] = elements;
    report["bytes"] = bytes;
    for (const QuantizedNode& node : quantized) {
      report["quantized"].push_back({{"name", node.name},
                                     {"op_type", node.op_type},
                                     {"bits", node.bits},
                                     {"block_size", node.block_size},
                                     {"bytes", node.bytes}});
    }
    if (flags.nodes) {
      for (const NodeSummary& node : graph.nodes) {
        report["graph"].push_back({{"name", node.name},
                                   {"op_type", node.op_type},
                                   {"inputs", node.inputs},
                                   {"outputs", node.outputs}});
      }
    }
    return print_json(report);
  }
  std::vector<std::string> opsets;
  for (const auto& [domain, version] : model.opsets)
    opsets.push_back(fmt::format("{} {}", domain.empty() ? "ai.onnx" : domain, version));
  say(fmt::format("{}: ONNX IR {}, {}, by {}", flags.path.string(), model.ir_version, fmt::join(opsets, ", "),
                  model.producer));
  say("inputs");
  for (const ValueSummary& value : graph.inputs) say(fmt::format("  {} : {}", value.name, type_of(value)));
  say("outputs");
  for (const ValueSummary& value : graph.outputs) say(fmt::format("  {} : {}", value.name, type_of(value)));
  say(fmt::format("{} initializers, {} elements, {}", graph.initializers.size(), with_thousands(elements),
                  text::human_bytes(bytes)));
  for (const std::string& line : describe(quantized)) say("  " + line);
  say(fmt::format("{} nodes", nodes));
  std::vector<std::pair<std::string, std::size_t>> by_count(op_types.begin(), op_types.end());
  std::stable_sort(by_count.begin(), by_count.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  for (const auto& [op_type, count] : by_count) say(fmt::format("  {:5} {}", count, op_type));
  // The listing by module: a heading when the module changes, so that a layer reads as one block.
  std::string module;
  for (const NodeSummary& node : graph.nodes) {
    const std::size_t slash = node.name.rfind('/');
    const std::string path = slash == std::string::npos ? "" : node.name.substr(0, slash);
    if (path != module) {
      module = path;
      say(module.empty() ? "(top)" : module);
    }
    if (flags.nodes) {
      say(fmt::format("    {} = {}({})", fmt::join(node.outputs, ", "), node.op_type,
                      fmt::join(node.inputs, ", ")));
    } else {
      const auto weights = weights_of.find(node.name);
      say(weights == weights_of.end() ? "    " + node.op_type : "  " + weights->second);
    }
  }
}

void inspect_folder(const InspectFlags& flags, const ModelSource& source) {
  const Model model =
      TasksManager::instance().get_model_from_task(flags.task, source.model,
                                                   {.weights_variant = flags.hub.weights_variant,
                                                    .pipeline_tag = source.pipeline_tag,
                                                    .adapters = source.adapters});
  const ExportPlan plan = make_plan(model);
  std::vector<std::pair<std::string, Graph>> graphs;
  for (const Component& component : plan.components)
    graphs.emplace_back(component.name, model.build(component));
  const std::vector<std::string> left = model.check_accounting(true);
  const Proof proof = get_proof(model);
  if (flags.voice.json) {
    const auto described = [](const NamedValues& values) {
      json object = json::object();
      for (const auto& [name, value] : values) object[name] = to_string(value.type());
      return object;
    };
    json report = {{"folder", flags.path.string()},         {"model_type", model.config().model_type()},
                   {"library", model.definition().library}, {"task", model.task()},
                   {"tasks", model.definition().tasks},     {"parameters", model.num_parameters()},
                   {"bytes", model.checkpoint_bytes()}};
    for (const auto& [name, graph] : graphs) {
      json& one = graphs.size() == 1 ? report : report["components"][name];
      one["inputs"] = described(graph.inputs());
      one["outputs"] = described(graph.outputs());
    }
    report["unread"] = left;
    report["proof"] = json::parse(to_json(proof));
    return print_json(report);
  }
  say(fmt::format("{}: {} ({}), {} parameters, {}", flags.path.string(), model.config().model_type(),
                  model.definition().library, with_thousands(model.num_parameters()),
                  text::human_bytes(model.checkpoint_bytes())));
  say(fmt::format("tasks: {}", fmt::join(model.definition().tasks, ", ")));
  say(fmt::format("task: {}{}", model.task(),
                  model.task_reason().empty() ? "" : fmt::format(" ({})", model.task_reason())));
  for (const auto& [name, graph] : graphs) {
    if (graphs.size() > 1) say(fmt::format("component {}", name));
    for (const auto& [input, value] : graph.inputs())
      say(fmt::format("  input {} : {}", input, to_string(value.type())));
    for (const auto& [output, value] : graph.outputs())
      say(fmt::format("  output {} : {}", output, to_string(value.type())));
  }
  for (const std::string& line : left) say("unread: " + line);
  say(to_string(proof));
  for (const auto& [name, graph] : graphs) {
    if (flags.nodes) say(print(graph));
  }
}

}  // namespace

int run_inspect(InspectFlags flags) {
  ModelSource source{flags.path};
  if (flags.path.extension() != ".onnx")
    source = find_source(flags.path, flags.adapters, flags.hub, flags.voice);
  flags.path = source.model;
  if (fs::is_directory(flags.path) || flags.path.extension() == ".gguf") {
    inspect_folder(flags, source);
  } else {
    inspect_file(flags);
  }
  return 0;
}

}  // namespace onnxport::cli
