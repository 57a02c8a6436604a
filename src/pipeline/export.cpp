#include "onnxport/export.h"

#include <fmt/format.h>

#include <utility>

#include "exporter/adapters.h"
#include "layout/layout.h"
#include "onnxport/error.h"
#include "onnxport/tasks_manager.h"
#include "pipeline/prepare.h"

namespace onnxport {

namespace fs = std::filesystem;

std::pair<std::vector<std::string>, std::vector<std::string>> export_onnx(const Model& model,
                                                                          const OnnxConfig& config,
                                                                          const fs::path& output, int opset,
                                                                          const ExportOptions& options) {
  return export_onnx(model, config.component({}, options.shapes, options.dynamic_axes), output, opset,
                     options);
}

std::pair<std::vector<std::string>, std::vector<std::string>> export_onnx(const Model& model,
                                                                          const Component& component,
                                                                          const fs::path& output, int opset,
                                                                          const ExportOptions& options) {
  const Interface& interface = component.interface;
  if (opset == 0) opset = interface.opset;
  pipeline::check_options(options, opset, interface.float_dtype);
  std::vector<pipeline::Prepared> prepared;
  prepared.push_back({output, pipeline::lower_component(component, model.build(component), opset, options)});
  pipeline::check_accounting(model, options);
  pipeline::place_weights(prepared, options);
  pipeline::write(prepared, options);
  return {interface.input_names(), interface.output_names()};
}

ExportPlan plan_export(const MainExportOptions& options) {
  const ExportOptions& how = options.export_options;
  HubOptions hub = options.hub;
  if (!hub.on_notice) hub.on_notice = how.on_notice;
  const ModelSource source = get_model_source(options.model, options.adapters, hub);
  const std::string& tag = source.pipeline_tag.empty() ? options.pipeline_tag : source.pipeline_tag;
  Model model = TasksManager::instance().get_model_from_task(options.task, source.model,
                                                             {.library = options.library,
                                                              .weights_variant = hub.weights_variant,
                                                              .pipeline_tag = tag,
                                                              .adapters = source.adapters});
  for (const auto& [key, value] : options.config_values)
    model = model.with_config(model.config().with(key, value));
  ExportPlan plan = make_plan(model, {.dtype = options.dtype,
                                      .int_dtype = options.int_dtype,
                                      .variant = options.variant,
                                      .interface_options = options.interface_options,
                                      .opset = options.opset,
                                      .gelu = options.gelu,
                                      .split = options.split,
                                      .legacy = options.legacy,
                                      .shapes = how.shapes,
                                      .dynamic_axes = how.dynamic_axes,
                                      .output = options.output,
                                      .layout = options.layout,
                                      .recipe = options.recipe,
                                      .precisions = options.precisions});
  plan = layout::arrange(std::move(plan));
  for (const std::string& text : model.notices()) pipeline::say(how.on_notice, text);
  if (options.task == "auto")
    pipeline::say(how.on_notice, fmt::format("task: {} ({})", model.task(), model.task_reason()));
  return plan;
}

ExportReport main_export(const MainExportOptions& options) {
  return run_plan(plan_export(options), {.validate = options.validate,
                                         .atol = options.atol,
                                         .reference = options.reference,
                                         .non_finite = options.non_finite,
                                         .export_options = options.export_options});
}

}  // namespace onnxport
