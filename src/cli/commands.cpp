#include "cli/commands.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "onnxport/error.h"
#include "onnxport/inspect.h"
#include "onnxport/tasks_manager.h"
#include "support/progress.h"
#include "support/text.h"

namespace onnxport::cli {
namespace {

namespace fs = std::filesystem;
using json = nlohmann::ordered_json;

void say(const std::string& line) { std::fprintf(stdout, "%s\n", line.c_str()); }
void note(const std::string& line) { std::fprintf(stderr, "onnxport: %s\n", line.c_str()); }
void print_json(const json& report) { say(report.dump(2, ' ', false, json::error_handler_t::replace)); }

// Flags of the field's exporter: what has no effect is said in one line, what is not built is refused by
// name.
void explain_flags(const ExportFlags& flags, const std::function<void(const std::string&)>& notice) {
  const auto refuse = [](bool given, const char* flag, const char* instead) {
    if (given)
      throw ExportError(ErrorCode::unsupported, fmt::format("{} is not built yet: {}", flag, instead));
  };
  refuse(flags.slim, "--slim", "graphs are written without redundant nodes; leave the flag out");
  refuse(flags.options.legacy, "--legacy", "the old file layout concerns decoders; leave the flag out");

  if (flags.device != "cpu")
    notice("--device " + flags.device + " has no effect: exporting runs no model on a device");
  if (flags.trust_remote_code) notice("--trust-remote-code has no effect: no Python is run");
  if (flags.no_constant_folding)
    notice("--no-constant-folding has no effect: only arithmetic on weights is folded");
  if (flags.dynamo) notice("--dynamo has no effect: nothing is traced");
  if (flags.framework_given) notice("--framework has no effect: weights are read, not traced");
}

// The levels of the field's exporter: O1 is the graph as it is, O2 has the contrib operators of ONNX Runtime,
// O3 an approximate gelu as well, O4 is O2 in half precision.
void apply_level(const std::string& level, TargetOptions& target, bool& approximate_gelu,
                 std::string& dtype) {
  if (level.empty()) return;
  if (level == "O1" && target.runtime != "any") {
    throw ExportError(
        ErrorCode::invalid_argument,
        fmt::format("--optimize O1 is the graph of --target any, got --target {}", target.runtime));
  }
  target.runtime = level == "O1" ? "any" : "ort";
  approximate_gelu = level == "O3";
  if (level != "O4") return;
  if (dtype == "bf16")
    throw ExportError(ErrorCode::invalid_argument, "--optimize O4 is in fp16, got --dtype bf16");
  dtype = "fp16";
}

// The folder of a model, with a progress line while it is downloaded.
fs::path model_folder(const fs::path& model, HubOptions hub, const Voice& voice) {
  Progress progress("downloading", Progress::Unit::bytes, !voice.quiet);
  hub.on_progress = [&](std::uint64_t done, std::uint64_t total) { progress.update(done, total); };
  if (!voice.quiet) hub.on_notice = note;
  return get_model_folder(model, hub);
}

// What --model-kwargs and --pad_token_id say, as keys of config.json.
std::map<std::string, std::string> config_values(const ExportFlags& flags) {
  std::map<std::string, std::string> values;
  if (flags.pad_token_id) values["pad_token_id"] = fmt::format("{}", *flags.pad_token_id);
  if (flags.model_kwargs.empty()) return values;
  const json kwargs = json::parse(flags.model_kwargs, nullptr, false);
  if (!kwargs.is_object())
    throw ExportError(ErrorCode::invalid_argument,
                      fmt::format("--model-kwargs: expected a JSON object, got {}", flags.model_kwargs));
  for (const auto& [key, value] : kwargs.items()) {
    const bool known =
        key == "attn_implementation" && value.is_string() && (value == "eager" || value == "sdpa");
    if (!known) {
      throw ExportError(ErrorCode::unsupported, fmt::format("--model-kwargs: '{}': {} is not built; known: "
                                                            "\"attn_implementation\": \"eager\" or \"sdpa\"",
                                                            key, value.dump()));
    }
    values["_attn_implementation"] = value.dump();
  }
  return values;
}

std::string with_thousands(std::int64_t number) {
  std::string digits = std::to_string(number);
  for (std::ptrdiff_t at = std::ssize(digits) - 3; at > 0; at -= 3)
    digits.insert(static_cast<std::size_t>(at), ",");
  return digits;
}

}  // namespace

int exit_status(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument:
      return 2;
    case ErrorCode::bad_config:
      return 3;
    case ErrorCode::bad_checkpoint:
      return 4;
    case ErrorCode::unsupported:
      return 5;
    case ErrorCode::shape:
      return 6;
    case ErrorCode::io:
      return 7;
    case ErrorCode::validation_failed:
      return 8;
    case ErrorCode::runtime:
      return 9;
    case ErrorCode::internal:
      return 10;
  }
  return 10;
}

int run_export(ExportFlags flags) {
  const Voice& voice = flags.voice;
  const auto notice = [&](const std::string& text) {
    if (!voice.quiet) note(text);
  };
  explain_flags(flags, notice);
  apply_level(flags.optimize, flags.options.export_options.target, flags.options.approximate_gelu,
              flags.options.dtype);
  MainExportOptions& options = flags.options;
  options.model = model_folder(options.model, std::exchange(options.hub, {}), voice);
  options.config_values = config_values(flags);
  options.post_process = !flags.no_post_process;
  options.export_options.on_notice = notice;
  if (voice.verbose) options.export_options.on_detail = note;
  ExportReport report;
  {
    Progress progress("writing weights", Progress::Unit::bytes, !voice.quiet);
    options.export_options.on_progress = [&](std::uint64_t done, std::uint64_t total) {
      progress.update(done, total);
    };
    report = main_export(options);
  }
  if (voice.json) {
    say(to_json(report));
  } else if (!voice.quiet) {
    say(fmt::format("{} for {} ({}, opset {}, {}): {} parameters", report.model_type, report.task,
                    report.library, report.opset, report.dtype, with_thousands(report.parameters)));
    for (const ExportedFile& file : report.files)
      say(fmt::format("  {}  {}", file.path.string(), text::human_bytes(file.bytes)));
    say(fmt::format("exported in {:.3f} s", report.export_seconds));
    for (const ValidationReport& one : report.validation) say(to_string(one));
  }
  if (!report.passed()) {
    note("error: validation failed; the files were written, but do not rely on them");
    return exit_status(ErrorCode::validation_failed);
  }
  return 0;
}

int run_validate(ValidateFlags flags) {
  TargetOptions target;
  apply_level(flags.optimize, target, flags.options.approximate_gelu, flags.options.dtype);
  MainValidateOptions& options = flags.options;
  options.model = model_folder(options.model, std::exchange(options.hub, {}), flags.voice);
  if (flags.monolith) options.split = Split::monolith;
  const std::vector<ValidationReport> reports = main_validate(options);
  if (flags.voice.json) {
    say(to_json(reports));
  } else if (!flags.voice.quiet) {
    for (const ValidationReport& report : reports) say(to_string(report));
  }
  const bool passed =
      std::all_of(reports.begin(), reports.end(), [](const auto& report) { return report.passed(); });
  return passed ? 0 : exit_status(ErrorCode::validation_failed);
}

int run_list(const Voice& voice) {
  json report = json::array();
  std::size_t width = 0;
  auto definitions = TasksManager::instance().definitions();
  std::erase_if(definitions, [](const auto& one) { return one->tasks.empty(); });  // parts of other models
  for (const auto& definition : definitions) width = std::max(width, definition->model_type.size());
  for (const auto& definition : definitions) {
    report.push_back({{"library", definition->library},
                      {"model_type", definition->model_type},
                      {"tasks", definition->tasks}});
    if (!voice.json) {
      say(fmt::format("{:<22} {:<{}}  {}", definition->library, definition->model_type, width,
                      fmt::join(definition->tasks, ", ")));
    }
  }
  if (voice.json) print_json(report);
  return 0;
}

namespace {

using Counts = std::map<std::string, std::size_t>;

// Nodes by op, with those in branches and bodies.
std::size_t count_nodes(const GraphSummary& graph, Counts& op_types) {
  std::size_t count = graph.nodes.size();
  for (const NodeSummary& node : graph.nodes) {
    ++op_types[node.op_type];
    for (const auto& [name, inner] : node.graphs) count += count_nodes(inner, op_types);
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
      say("    " + node.op_type);
    }
  }
}

void inspect_folder(const InspectFlags& flags) {
  const Model model = TasksManager::instance().get_model_from_task(flags.task, flags.path);
  const ExportPlan plan = make_plan(model);
  std::vector<std::pair<std::string, Graph>> graphs;
  for (const Component& component : plan.components)
    graphs.emplace_back(component.name, model.build(component));
  const std::vector<std::string> left = model.check_accounting(true);
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
    return print_json(report);
  }
  say(fmt::format("{}: {} ({}), {} parameters, {}", flags.path.string(), model.config().model_type(),
                  model.definition().library, with_thousands(model.num_parameters()),
                  text::human_bytes(model.checkpoint_bytes())));
  say(fmt::format("tasks: {}", fmt::join(model.definition().tasks, ", ")));
  say(fmt::format("task: {}", model.task()));
  for (const auto& [name, graph] : graphs) {
    if (graphs.size() > 1) say(fmt::format("component {}", name));
    for (const auto& [input, value] : graph.inputs())
      say(fmt::format("  input {} : {}", input, to_string(value.type())));
    for (const auto& [output, value] : graph.outputs())
      say(fmt::format("  output {} : {}", output, to_string(value.type())));
  }
  for (const std::string& line : left) say("unread: " + line);
  for (const auto& [name, graph] : graphs) {
    if (flags.nodes) say(print(graph));
  }
}

}  // namespace

int run_inspect(InspectFlags flags) {
  if (flags.path.extension() != ".onnx") flags.path = model_folder(flags.path, flags.hub, flags.voice);
  if (fs::is_directory(flags.path) || flags.path.extension() == ".gguf") {
    inspect_folder(flags);
  } else {
    inspect_file(flags);
  }
  return 0;
}

}  // namespace onnxport::cli
