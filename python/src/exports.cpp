// Exporting and validating.
#include <utility>

#include "bind.h"
#include "handles.h"
#include "interrupt.h"
#include "onnxport/error.h"
#include "onnxport/export.h"
#include "onnxport/validate.h"
#include "options.h"

namespace onnxport::python {
namespace {

namespace fs = std::filesystem;
using Names = std::vector<std::string>;
using Configs = std::map<std::string, ConfigHandle>;

// Puts the interfaces of scripts in the place of those of the plan, by the stem of the file.
void customize(ExportPlan& plan, const Configs& configs, const ExportOptions& how) {
  for (const auto& [stem, handle] : configs) {
    bool found = false;
    for (Component& component : plan.components) {
      if (component.stem != stem) continue;
      found = true;
      plan.model = model_for(plan.model, *handle.config);
      component.interface = handle.config->interface(how.shapes, how.dynamic_axes);
    }
    if (found) continue;
    std::string stems;
    for (const Component& component : plan.components) stems += (stems.empty() ? "" : ", ") + component.stem;
    throw ExportError(ErrorCode::invalid_argument,
                      "custom_onnx_configs: the export has no file '" + stem + "'; it has " + stems);
  }
  if (configs.size() > 1 && plan.components.size() > 1) {
    for (const auto& [stem, handle] : configs) {
      if (&model_for(plan.model, *handle.config).definition() != &plan.model.definition())
        throw ExportError(ErrorCode::unsupported,
                          "custom_onnx_configs: the outputs of only one file may have other names");
    }
  }
}

nb::tuple main_export(const nb::dict& given, const Configs& configs) {
  const MainExportOptions options = export_options_from(given);
  const ExportReport report = run_interruptible([&] {
    ExportPlan plan = plan_export(options);
    customize(plan, configs, options.export_options);
    return run_plan(plan, {.validate = options.validate,
                           .atol = options.atol,
                           .reference = options.reference,
                           .non_finite = options.non_finite,
                           .export_options = options.export_options});
  });
  std::string text;
  for (const ValidationReport& one : report.validation) text += to_string(one);
  return nb::make_tuple(report.passed(), to_json(report), text);
}

nb::tuple main_validate(const nb::dict& given) {
  const MainValidateOptions options = validate_options_from(given);
  const std::vector<ValidationReport> reports =
      run_interruptible([&] { return onnxport::main_validate(options); });
  std::string text;
  bool passed = true;
  for (const ValidationReport& report : reports) {
    passed = passed && report.passed();
    text += to_string(report);
  }
  return nb::make_tuple(passed, to_json(reports), text);
}

// (file stem, folder, configuration) of each component would need the class; names are enough for scripts.
std::vector<nb::tuple> plan_components(const nb::dict& given) {
  const MainExportOptions options = export_options_from(given);
  const ExportPlan plan = run_interruptible([&] { return plan_export(options); });
  std::vector<nb::tuple> components;
  for (const Component& one : plan.components) {
    components.push_back(nb::make_tuple(one.name, one.stem, one.folder, one.task, one.part,
                                        one.interface.input_names(), one.interface.output_names()));
  }
  return components;
}

std::pair<Names, Names> export_onnx(const Model& model, const ConfigHandle& config, const fs::path& output,
                                    const nb::dict& given) {
  const MainExportOptions options = export_options_from(given);
  return run_interruptible([&] {
    return onnxport::export_onnx(model_for(model, *config.config), *config.config, output, options.opset,
                                 options.export_options);
  });
}

nb::tuple validate(const ConfigHandle& config, const Model& model, const fs::path& onnx_model,
                   const Names& outputs, std::optional<double> atol, const nb::dict& given) {
  const MainValidateOptions options = validate_options_from(given);
  const ValidationReport report = run_interruptible([&] {
    return compare_model_outputs(*config.config, model_for(model, *config.config), onnx_model, outputs, atol,
                                 options.validation);
  });
  return nb::make_tuple(report.passed(), to_json(std::vector{report}), to_string(report));
}

}  // namespace

void bind_exports(nb::module_& m) {
  m.def("main_export", main_export, nb::arg("options"), nb::arg("configs"),
        "Exports; returns whether validation passed, the report as JSON, and the report on validation.");
  m.def("main_validate", main_validate, nb::arg("options"), "The same for files that exist.");
  m.def("plan_components", plan_components, nb::arg("options"),
        "(name, stem, folder, task, part, inputs, outputs) of each component of an export.");
  m.def("export_onnx", export_onnx, nb::arg("model"), nb::arg("config"), nb::arg("output"),
        nb::arg("options"), "Writes one file; returns the names of its inputs and outputs.");
  m.def("validate", validate, nb::arg("config"), nb::arg("model"), nb::arg("onnx_model"), nb::arg("outputs"),
        nb::arg("atol").none(), nb::arg("options"), "Compares a file with its model, like main_validate.");
}

}  // namespace onnxport::python
