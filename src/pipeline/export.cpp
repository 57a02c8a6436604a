#include "onnxport/export.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "lower/lower.h"
#include "onnxport/error.h"
#include "onnxport/tasks_manager.h"
#include "pipeline/companions.h"
#include "pipeline/lower_model.h"
#include "runtime/session.h"
#include "serialize/writer.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;

void check_opset(int opset, DType float_dtype) {
  if (opset < lower::oldest_opset || opset > runtime::newest_opset) {
    throw ExportError(ErrorCode::invalid_argument, fmt::format("--opset {}: expected {} to {}", opset, lower::oldest_opset,
                                                               runtime::newest_opset));
  }
  constexpr int kFirstWithBfloat16 = 13;
  if (float_dtype == DType::bf16 && opset < kFirstWithBfloat16) {
    throw ExportError(ErrorCode::invalid_argument,
                      fmt::format("--dtype bf16 needs --opset {} or newer, got {}", kFirstWithBfloat16, opset));
  }
}

serialize::ExternalData external_data(const std::string& text) {
  if (text == "auto") return serialize::ExternalData::automatic;
  if (text == "always") return serialize::ExternalData::always;
  if (text == "never") return serialize::ExternalData::never;
  throw ExportError(ErrorCode::invalid_argument, fmt::format("--external-data '{}': expected auto, always or never", text));
}

std::vector<serialize::WrittenFile> write(const Model& model, const OnnxConfig& config, const fs::path& output, int opset,
                                          const ExportOptions& options) {
  if (opset == 0) opset = config.default_onnx_opset();
  check_opset(opset, config.float_dtype());
  const serialize::ExternalData external = external_data(options.external_data);
  Graph graph = model.build(config, options.shapes, options.dynamic_axes);
  for (const std::string& ignored : model.check_accounting(options.ignore_unexpected)) {
    if (options.on_notice) options.on_notice(ignored);
  }
  const lower::OnnxGraph lowered = pipeline::lower_graph(std::move(graph), opset);
  return serialize::write_model(lowered, output, {.external_data = external, .on_progress = options.on_progress});
}

std::vector<std::string> keys(const AxesByName& axes) {
  std::vector<std::string> names;
  for (const auto& [name, symbols] : axes) names.push_back(name);
  return names;
}

}  // namespace

bool ExportReport::passed() const {
  return std::all_of(validation.begin(), validation.end(), [](const ValidationReport& report) { return report.passed(); });
}

std::pair<std::vector<std::string>, std::vector<std::string>> export_onnx(const Model& model, const OnnxConfig& config,
                                                                          const fs::path& output, int opset,
                                                                          const ExportOptions& options) {
  write(model, config, output, opset, options);
  return {keys(config.inputs()), keys(config.outputs())};
}

ExportReport main_export(const MainExportOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  const auto notice = [&](const std::string& text) {
    if (options.export_options.on_notice) options.export_options.on_notice(text);
  };
  const TasksManager& tasks = TasksManager::instance();
  const Model model = tasks.get_model_from_task(options.task, options.model, options.library);
  const OnnxConfigConstructor constructor = tasks.get_exporter_config_constructor(model);
  const std::shared_ptr<const OnnxConfig> config = constructor(
      model.config(), model.task(), {.float_dtype = options.dtype, .legacy = options.legacy, .variant = options.variant});
  const std::vector<std::string> variants = config->variants();
  if (std::find(variants.begin(), variants.end(), options.variant) == variants.end()) {
    throw ExportError(ErrorCode::invalid_argument, fmt::format("--variant '{}': {} has {}", options.variant,
                                                               model.config().model_type(), fmt::join(variants, ", ")));
  }
  if (options.task == "auto") notice("task: " + model.task() + " (inferred)");

  ExportReport report;
  report.model_type = model.config().model_type();
  report.task = model.task();
  report.library = model.definition().library;
  report.dtype = options.dtype;
  report.opset = options.opset == 0 ? config->default_onnx_opset() : options.opset;
  report.parameters = model.num_parameters();
  report.inputs = keys(config->inputs());
  report.outputs = keys(config->outputs());
  // Companions first: whoever sees model.onnx may rely on the rest being there.
  const fs::path file = options.output / "model.onnx";
  for (const fs::path& path : pipeline::copy_companions(options.model, options.output)) {
    report.files.push_back({path, fs::file_size(path)});
  }
  for (const serialize::WrittenFile& written : write(model, *config, file, report.opset, options.export_options)) {
    report.files.push_back({written.path, written.bytes});
  }
  report.export_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (options.validate) {
    report.validation.push_back(compare_model_outputs(
        *config, model, file, report.outputs, options.atol,
        {.shapes = options.export_options.shapes, .dynamic_axes = options.export_options.dynamic_axes, .reference = options.reference}));
  }
  return report;
}

}  // namespace onnxport
