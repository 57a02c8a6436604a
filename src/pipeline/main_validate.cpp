#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <utility>

#include "exporter/diffusers_definition.h"
#include "exporter/task_name.h"
#include "layout/layout.h"
#include "onnxport/error.h"
#include "onnxport/export.h"
#include "onnxport/tasks_manager.h"
#include "pass/rebuild.h"
#include "pipeline/prepare.h"
#include "pipeline/validate_plan.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;

// The folder of an export, of which a client names the folder or a file. The models of a pipeline have
// folders of their own in it.
fs::path folder_of(const Model& model, const fs::path& onnx) {
  if (fs::is_directory(onnx)) return onnx;
  const fs::path beside = onnx.parent_path();
  return exporter::is_pipeline_folder(model.folder()) ? beside.parent_path() : beside;
}

// The plans by which an export may have been made, the most likely first.
std::vector<ExportPlan> possible_plans(const Model& model, const MainValidateOptions& options) {
  PlanRequest request{.dtype = options.dtype,
                      .int_dtype = options.int_dtype,
                      .variant = options.variant,
                      .interface_options = options.interface_options,
                      .gelu = options.gelu,
                      .split = options.split.value_or(Split::merged),
                      .shapes = options.validation.shapes,
                      .dynamic_axes = options.validation.dynamic_axes,
                      .output = folder_of(model, options.onnx),
                      .layout = options.layout,
                      .recipe = options.recipe,
                      .precisions = options.precisions};
  std::vector<ExportPlan> plans = {layout::arrange(make_plan(model, request))};
  const bool names_files = std::any_of(request.precisions.begin(), request.precisions.end(),
                                       [](const Precision& one) { return !one.files.empty(); });
  if (options.split || names_files || exporter::has_past(model.task())) return plans;
  request.split = Split::monolith;
  try {
    plans.push_back(layout::arrange(make_plan(model, request)));
  } catch (const ExportError& error) {
    if (error.code() != ErrorCode::unsupported) throw;  // a type whose parts cannot be in one file
  }
  return plans;
}

fs::path path_of(const ExportPlan& plan, const auto& one) {
  return plan.layout.path(one, plan.variants.front());
}

// For folders: the first plan whose components all exist, with those of its merges that exist.
ExportPlan plan_of_folder(std::vector<ExportPlan> plans) {
  const auto is_there = [](const ExportPlan& plan) {
    return std::all_of(plan.components.begin(), plan.components.end(), [&](const Component& one) {
      return plan.is_left_out(one) || fs::exists(path_of(plan, one));
    });
  };
  const auto found = std::find_if(plans.begin(), plans.end(), is_there);
  ExportPlan plan = std::move(found == plans.end() ? plans.front() : *found);
  std::erase_if(plan.merges, [&](const Merge& merge) { return !fs::exists(path_of(plan, merge)); });
  return plan;
}

// For single files: the first plan that has the file, reduced to that file. The file of a single component
// may have any name.
ExportPlan plan_of_file(std::vector<ExportPlan> plans, const fs::path& file) {
  for (ExportPlan& plan : plans) {
    const auto is_other = [&](const auto& one) { return path_of(plan, one) != file; };
    std::erase_if(plan.merges, is_other);
    const bool merged = !plan.merges.empty();
    if (!merged && plan.components.size() == 1 && &plan == &plans.front())
      plan.components.front().stem = file.stem().string();
    if (!merged) std::erase_if(plan.components, is_other);
    if (!plan.components.empty()) return std::move(plan);
  }
  throw ExportError(ErrorCode::invalid_argument, fmt::format("'{}' is not a file of task '{}'", file.string(),
                                                             plans.front().model.task()));
}

// The graphs of one variant, made again.
struct Rebuilt {
  ExportPlan plan;
  pipeline::Originals originals = pipeline::Originals({});
  std::deque<Graph> quantized = {};
};

// `plans`: the possible ones, reduced to one variant.
void rebuild(std::vector<ExportPlan> plans, const MainValidateOptions& options,
             const std::function<bool(const fs::path&)>& wants, std::deque<Rebuilt>& variants) {
  Rebuilt& made = variants.emplace_back(Rebuilt{fs::is_directory(options.onnx)
                                                    ? plan_of_folder(std::move(plans))
                                                    : plan_of_file(std::move(plans), options.onnx)});
  const ExportPlan& plan = made.plan;
  const Variant& variant = plan.variants.front();
  transform::QuantizeSummary summary;
  for (const Component& one : plan.components) {
    const Component component = in_dtype(one, variant.dtype, plan.layout.float32_io());
    const fs::path file = path_of(plan, component);
    if (!plan.is_left_out(one) && wants(file) && !fs::exists(file)) {
      throw ExportError(ErrorCode::io,
                        fmt::format("there is no '{}': export the model first", file.string()));
    }
    Graph graph = pipeline::build_component(plan.model, component, variant, plan.layout);
    if (variant.recipe) {
      made.quantized.push_back(pipeline::quantize_component(pass::copy(graph), variant.recipe, summary));
    }
    made.originals.add(component, std::move(graph));
  }
}

}  // namespace

std::vector<ValidationReport> main_validate(const MainValidateOptions& options) {
  const ModelSource source = get_model_source(options.model, options.adapters, options.hub);
  const std::string& tag = source.pipeline_tag.empty() ? options.pipeline_tag : source.pipeline_tag;
  const Model model =
      TasksManager::instance().get_model_from_task(options.task, source.model,
                                                   {.library = options.library,
                                                    .weights_variant = options.hub.weights_variant,
                                                    .pipeline_tag = tag,
                                                    .adapters = source.adapters});
  const std::vector<ExportPlan> plans = possible_plans(model, options);
  const bool whole = fs::is_directory(options.onnx);
  const pipeline::ValidateFilesOptions how{
      .atol = options.atol,
      .recorded = options.validation.reference,
      .non_finite = options.validation.non_finite,
      .wants = [&](const fs::path& file) { return whole || file == options.onnx; }};
  std::vector<ValidationReport> reports;
  std::deque<Rebuilt> variants;
  std::vector<pipeline::VariantGraphs> graphs;
  for (std::size_t i = 0; i < plans.front().variants.size(); ++i) {
    std::vector<ExportPlan> parts;
    for (const ExportPlan& plan : plans) parts.push_back(plan.part(plan.variants[i]));
    rebuild(std::move(parts), options, how.wants, variants);
    Rebuilt& made = variants.back();
    for (ValidationReport& report : pipeline::validate_files(made.plan, made.originals, made.quantized, how))
      reports.push_back(std::move(report));
    graphs.push_back({made.plan, made.originals, made.quantized});
  }
  if (whole) {
    if (auto composed = pipeline::validate_composition(plans.front(), graphs, how))
      reports.push_back(*std::move(composed));
  }
  const Proof proof = get_proof(model);
  for (ValidationReport& report : reports) report.proof = proof;
  return reports;
}

}  // namespace onnxport
