#include "pipeline/validate_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "exporter/diffusers_definition.h"
#include "exporter/task_name.h"
#include "layout/layout.h"
#include "onnxport/error.h"
#include "onnxport/export.h"
#include "onnxport/tasks_manager.h"
#include "pass/rebuild.h"
#include "pipeline/prepare.h"
#include "validate/reference.h"

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
  if (options.split || exporter::has_past(model.task())) return plans;
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

}  // namespace

namespace pipeline {

void Originals::add(const Component& component, Graph graph) {
  components_.push_back(component);
  graphs_.push_back(std::move(graph));
  references_.emplace_back(components_.back(), graphs_.back(), on_detail_);
}

namespace {

// How far a file may be from its own graph, and its results from the original.
struct Bounds {
  double atol = 0;
  double smallest_cosine = 0;
};

// Kernels of quantized products add the parts of a sum in another order than others, and a network with
// rounded weights may amplify the last bits more than the original does: 4 times its tolerance. With
// activations of 8 bits, a value next to the middle between two codes may become either, depending on the
// last bits of the sums before it.
Bounds bounds_of(const Recipe& recipe, double atol) {
  constexpr double kOtherSums = 4;
  constexpr double kRoundedActivations = 0.05;
  if (recipe.is_dynamic()) return {std::max(atol, kRoundedActivations), 0.95};
  constexpr int kActivationsOf8Bits = 4;
  if (const auto* kept = std::get_if<KeepRecipe>(&recipe.scheme)) {
    if (kept->accuracy_level == kActivationsOf8Bits) return {std::max(atol, kRoundedActivations), 0.99};
    return {kOtherSums * atol, recipe.overrides.empty() ? 0.9999 : 0.9};
  }
  const auto* blocks = std::get_if<BlockRecipe>(&recipe.scheme);
  if (blocks == nullptr) return {kOtherSums * atol, 0.9};
  const bool rounded = blocks->accuracy_level == kActivationsOf8Bits;
  const double cosine = blocks->bits == 2 ? 0.2 : blocks->bits == 4 ? 0.9 : 0.99;
  return {rounded ? std::max(atol, kRoundedActivations) : kOtherSums * atol, cosine};
}

}  // namespace

std::vector<ValidationReport> validate_files(const ExportPlan& plan, const Variant& variant,
                                             Originals& originals, const std::deque<Graph>& quantized,
                                             const ValidateFilesOptions& options) {
  std::deque<validate::Reference> references;
  std::vector<ValidationReport> reports;
  const auto check = [&](std::size_t i, const fs::path& file, std::optional<bool> branch) {
    if (options.wants && !options.wants(file)) return;
    validate::Reference& original = originals.reference(i);
    const Interface& interface = original.component().interface;
    validate::FileOptions how{.atol = options.atol, .branch = branch, .non_finite = options.non_finite};
    if (!branch && !variant.recipe) how.recorded = options.recorded;
    if (!quantized.empty()) {
      const Bounds bounds = bounds_of(variant.recipe, validation_atol(interface));
      if (!how.atol) how.atol = bounds.atol;
      how.original = &original;
      how.smallest_cosine = bounds.smallest_cosine;
    }
    validate::Reference& reference = quantized.empty() ? original : references[i];
    reports.push_back(validate::check_file(reference, file, interface.output_names(), how));
  };
  for (std::size_t i = 0; i < originals.size(); ++i) {
    if (!quantized.empty()) references.emplace_back(originals.component(i), quantized[i]);
    if (!plan.is_left_out(plan.components[i]))
      check(i, plan.layout.path(originals.component(i), variant), {});
  }
  for (const Merge& merge : plan.merges) {
    for (const bool with_past : {false, true}) {
      const Component& branch = plan.component(with_past ? merge.with_past : merge.without_past);
      check(static_cast<std::size_t>(&branch - plan.components.data()), plan.layout.path(merge, variant),
            with_past);
    }
  }
  return reports;
}

}  // namespace pipeline

std::vector<ValidationReport> main_validate(const MainValidateOptions& options) {
  if (options.precisions.size() > 1) {
    std::vector<ValidationReport> reports;
    MainValidateOptions single = options;
    for (const Precision& one : options.precisions) {
      single.precisions = {one};
      for (ValidationReport& report : main_validate(single)) reports.push_back(std::move(report));
    }
    return reports;
  }
  const ModelSource source = get_model_source(options.model, options.adapters, options.hub);
  const std::string& tag = source.pipeline_tag.empty() ? options.pipeline_tag : source.pipeline_tag;
  const Model model =
      TasksManager::instance().get_model_from_task(options.task, source.model,
                                                   {.library = options.library,
                                                    .weights_variant = options.hub.weights_variant,
                                                    .pipeline_tag = tag,
                                                    .adapters = source.adapters});
  std::vector<ExportPlan> plans = possible_plans(model, options);
  const bool whole = fs::is_directory(options.onnx);
  const ExportPlan plan =
      whole ? plan_of_folder(std::move(plans)) : plan_of_file(std::move(plans), options.onnx);
  const auto wants = [&](const fs::path& file) { return whole || file == options.onnx; };
  const Variant& variant = plan.variants.front();
  pipeline::Originals originals({});
  std::deque<Graph> quantized;
  transform::QuantizeSummary summary;
  for (const Component& one : plan.components) {
    const Component component = in_dtype(one, variant.dtype, plan.layout.float32_io());
    const fs::path file = path_of(plan, component);
    if (!plan.is_left_out(one) && wants(file) && !fs::exists(file)) {
      throw ExportError(ErrorCode::io,
                        fmt::format("there is no '{}': export the model first", file.string()));
    }
    Graph graph = pipeline::build_component(model, component, variant, plan.layout);
    if (variant.recipe) {
      quantized.push_back(pipeline::quantize_component(pass::copy(graph), variant.recipe, summary));
    }
    originals.add(component, std::move(graph));
  }
  std::vector<ValidationReport> reports =
      pipeline::validate_files(plan, variant, originals, quantized,
                               {.atol = options.atol,
                                .recorded = options.validation.reference,
                                .non_finite = options.validation.non_finite,
                                .wants = wants});
  const Proof proof = get_proof(model);
  for (ValidationReport& report : reports) report.proof = proof;
  return reports;
}

}  // namespace onnxport
