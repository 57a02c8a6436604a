#include "cli/commands.h"

#include <fmt/format.h>
#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <utility>

#include "cli/output.h"
#include "cli/report.h"
#include "onnxport/error.h"
#include "onnxport/family.h"
#include "onnxport/inspect.h"
#include "onnxport/proof.h"
#include "onnxport/tasks_manager.h"
#include "support/progress.h"
#include "support/text.h"

namespace onnxport::cli {
namespace {

namespace fs = std::filesystem;

// Flags of Optimum's exporter: a notice explains each flag without effect; flags that are not built are
// refused.
void explain_flags(const ExportFlags& flags, const std::function<void(const std::string&)>& notice) {
  const auto refuse = [](bool given, const char* flag, const char* instead) {
    if (given)
      throw ExportError(ErrorCode::unsupported, fmt::format("{} is not built yet: {}", flag, instead));
  };
  refuse(flags.slim, "--slim", "graphs have no redundant nodes anyway; leave the flag out");
  refuse(flags.options.legacy, "--legacy", "onnxport does not write the old file layout; leave the flag out");

  if (flags.device != "cpu")
    notice("--device " + flags.device + " has no effect: exporting runs no model on a device");
  if (flags.trust_remote_code) notice("--trust-remote-code has no effect: no Python is run");
  if (flags.no_constant_folding)
    notice("--no-constant-folding has no effect: only arithmetic on weights is folded");
  if (flags.dynamo) notice("--dynamo has no effect: nothing is traced");
  if (flags.framework_given) notice("--framework has no effect: weights are read, not traced");
}

// Optimum's levels. O1 leaves the graph as it is, O2 uses the contrib operators of ONNX Runtime, O3 also
// approximates gelu, O4 is O2 in half precision.
void apply_level(const std::string& level, TargetOptions& target, Gelu& gelu, std::string& dtype) {
  if (level.empty()) return;
  if (level == "O1" && target.runtime != "any") {
    throw ExportError(ErrorCode::invalid_argument,
                      fmt::format("--optimize O1 needs --target any, got --target {}", target.runtime));
  }
  target.runtime = level == "O1" ? "any" : "ort";
  gelu = level == "O3" ? Gelu::tanh : Gelu::as_defined;
  if (level != "O4") return;
  if (dtype == "bf16")
    throw ExportError(ErrorCode::invalid_argument, "--optimize O4 exports in fp16, got --dtype bf16");
  dtype = "fp16";
}

// The values of --model-kwargs and --pad_token_id, as keys of config.json.
// `output_attentions` is an option of the interface instead.
std::map<std::string, std::string> config_values(const ExportFlags& flags, InterfaceOptions& options) {
  std::map<std::string, std::string> values;
  if (flags.pad_token_id) values["pad_token_id"] = fmt::format("{}", *flags.pad_token_id);
  if (flags.model_kwargs.empty()) return values;
  const json kwargs = json::parse(flags.model_kwargs, nullptr, false);
  if (!kwargs.is_object())
    throw ExportError(ErrorCode::invalid_argument,
                      fmt::format("--model-kwargs: expected a JSON object, got {}", flags.model_kwargs));
  for (const auto& [key, value] : kwargs.items()) {
    if (key == "output_attentions" && value.is_boolean()) {
      if (value == true) options.insert(InterfaceOption::cross_attentions);
      continue;
    }
    if (key == "vocoder" && value.is_string()) {
      values[key] = json(fs::absolute(value.get<std::string>()).string()).dump();
      continue;
    }
    const bool known =
        key == "attn_implementation" && value.is_string() && (value == "eager" || value == "sdpa");
    if (!known) {
      throw ExportError(ErrorCode::unsupported, fmt::format("--model-kwargs: '{}': {} is not built; known: "
                                                            "\"attn_implementation\": \"eager\" or \"sdpa\", "
                                                            "\"output_attentions\": true, \"vocoder\": "
                                                            "a folder",
                                                            key, value.dump()));
    }
    values["_attn_implementation"] = value.dump();
  }
  return values;
}

// `options`: of an export or a validation.
void apply_precisions(const QuantizeFlags& flags, auto& options) {
  ChosenPrecisions chosen = chosen_precisions(flags, options.layout, options.dtype);
  options.recipe = std::move(chosen.recipe);
  options.precisions = std::move(chosen.precisions);
}

std::string describe(const QuantizationReport& report) {
  const auto bytes = [](std::int64_t count) { return text::human_bytes(static_cast<std::uint64_t>(count)); };
  return fmt::format(
      "quantized{}: {} layers with {} parameters, {} instead of {}{}",
      report.variant == "default" ? "" : " " + report.variant, report.layers,
      with_thousands(report.parameters), bytes(report.bytes_after), bytes(report.bytes_before),
      report.tied == 0 ? "" : fmt::format("; {} of them share a weight with another", report.tied));
}

// Validation takes and frees buffers as large as the weights. If each went back to the system, and the next
// came cleared from there, a large model would take half as long again, and a fifth more memory.
void keep_freed_memory() {
  constexpr int kept = 256 << 20;  // bytes at the end of the heap
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, kept);
}

}  // namespace

// Shows a progress line during a download.
ModelSource find_source(const fs::path& model, const std::vector<fs::path>& adapters, HubOptions& hub,
                        const Voice& voice) {
  HubOptions from = std::exchange(hub, {.weights_variant = hub.weights_variant});
  Progress progress("downloading", Progress::Unit::bytes, !voice.quiet);
  from.on_progress = [&](std::uint64_t done, std::uint64_t total) { progress.update(done, total); };
  if (!voice.quiet) from.on_notice = note;
  return get_model_source(model, adapters, from);
}

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
  MainExportOptions& options = flags.options;
  if (options.validate) keep_freed_memory();
  apply_level(flags.optimize, options.export_options.target, options.gelu, options.dtype);
  apply_precisions(flags.quantize, options);
  const std::string called = options.model.string();
  ModelSource source = find_source(options.model, options.adapters, options.hub, voice);
  options.model = std::move(source.model);
  options.adapters = std::move(source.adapters);
  options.pipeline_tag = std::move(source.pipeline_tag);
  options.config_values = config_values(flags, options.interface_options);
  if (flags.no_post_process) options.split = Split::apart;
  if (flags.monolith) options.split = Split::monolith;
  options.export_options.on_notice = notice;
  if (voice.verbose) options.export_options.on_detail = note;
  ReportContent page{.model = called, .made_here = true};
  if (!flags.report.empty()) {
    // The folder of the export need not exist yet.
    const fs::path inside = fs::absolute(options.output / flags.report.filename()).lexically_normal();
    if (fs::absolute(flags.report).lexically_normal() != inside) check_report_path(flags.report);
    options.export_options.on_graph = [&](const Component& component, const Graph& graph) {
      page.graphs.push_back(graph_to_json(component, graph));
    };
  }
  ExportReport report;
  {
    Progress progress("writing weights", Progress::Unit::bytes, !voice.quiet);
    options.export_options.on_progress = [&](std::uint64_t done, std::uint64_t total) {
      progress.update(done, total);
    };
    report = main_export(options);
  }
  if (!flags.report.empty()) {
    for (const ExportedFile& file : report.files)
      if (file.path.extension() == ".onnx") page.onnx.push_back(file.path);
    page.results.emplace_back("the export", to_json(report));
    write_page(page, flags.report, voice);
  }
  if (voice.json) {
    say(to_json(report));
  } else if (!voice.quiet) {
    say(fmt::format("{} for {} ({}, opset {}, {}): {} parameters", report.model_type, report.task,
                    report.library, report.opset, report.dtype, with_thousands(report.parameters)));
    for (const ExportedFile& file : report.files)
      say(fmt::format("  {}  {}", file.path.string(), text::human_bytes(file.bytes)));
    for (const QuantizationReport& one : report.quantization) say(describe(one));
    say(fmt::format("exported in {:.3f} s", report.export_seconds));
    for (const ValidationReport& one : report.validation) say(to_string(one));
    say(to_string(report.proof));
  }
  if (!report.passed()) {
    note("error: validation failed; the files were written, but do not rely on them");
    return exit_status(ErrorCode::validation_failed);
  }
  return 0;
}

int run_validate(ValidateFlags flags) {
  keep_freed_memory();
  TargetOptions target;
  MainValidateOptions& options = flags.options;
  apply_level(flags.optimize, target, options.gelu, options.dtype);
  apply_precisions(flags.quantize, options);
  ModelSource source = find_source(options.model, options.adapters, options.hub, flags.voice);
  options.model = std::move(source.model);
  options.adapters = std::move(source.adapters);
  options.pipeline_tag = std::move(source.pipeline_tag);
  if (flags.monolith) options.split = Split::monolith;
  const std::vector<ValidationReport> reports = main_validate(options);
  if (flags.voice.json) {
    say(to_json(reports));
  } else if (!flags.voice.quiet) {
    for (const ValidationReport& report : reports) say(to_string(report));
    if (!reports.empty() && reports.front().proof) say(to_string(*reports.front().proof));
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
    if (auto names = architectures_of(*definition); !names.empty()) report.back()["architectures"] = names;
    if (definition->library == "diffusers") report.back()["classes"] = definition->modules;
    if (!voice.json) {
      say(fmt::format("{:<22} {:<{}}  {}", definition->library, definition->model_type, width,
                      fmt::join(definition->tasks, ", ")));
    }
  }
  if (voice.json) print_json(report);
  return 0;
}

}  // namespace onnxport::cli
