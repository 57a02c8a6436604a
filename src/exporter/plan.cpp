#include "onnxport/plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "exporter/plan_files.h"
#include "onnxport/error.h"
#include "onnxport/tasks_manager.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;

void check_variant(const OnnxConfig& config, const std::string& variant) {
  const std::vector<std::string> variants = config.variants();
  if (std::find(variants.begin(), variants.end(), variant) != variants.end()) return;
  throw ExportError(ErrorCode::invalid_argument,
                    fmt::format("--variant '{}': the variants of {} are {}", variant,
                                config.config().model_type(), fmt::join(variants, ", ")));
}

void check_layout(const std::string& layout) {
  for (const char* known : {"optimum", "genai", "transformers.js", "sentence-transformers", "sherpa"}) {
    if (layout == known) return;
  }
  throw ExportError(
      ErrorCode::invalid_argument,
      fmt::format("--layout '{}': expected optimum, genai, transformers.js, sentence-transformers or sherpa",
                  layout));
}

// The client finds files by the suffixes of precisions.
Precision only_precision(const PlanRequest& request) {
  if (!request.recipe) return get_precision(request.dtype);
  throw ExportError(
      ErrorCode::invalid_argument,
      "the files of layout transformers.js are named after precisions: list them as precisions, "
      "without a recipe of its own");
}

std::vector<Variant> variants_of(const OnnxConfig& config, const PlanRequest& request) {
  if (request.precisions.empty()) {
    check_recipe(request.recipe, config.float_dtype(), "--quantize");
    return {{.dtype = config.float_dtype(), .gelu = request.gelu, .recipe = request.recipe}};
  }
  std::vector<Variant> variants;
  for (const Precision& one : request.precisions) {
    check_recipe(one.recipe, one.dtype, "--variants " + one.name);
    for (const Variant& other : variants) {
      if (other.suffix == one.suffix)
        throw ExportError(ErrorCode::invalid_argument,
                          fmt::format("--variants: '{}' is listed twice", one.name));
    }
    variants.push_back({one.name, one.suffix, one.dtype, request.gelu, one.recipe, one.files});
  }
  return variants;
}

fs::path path_of(const Layout& layout, const std::string& folder, const std::string& stem,
                 const Variant& variant) {
  return layout.folder / folder / (stem + variant.suffix + ".onnx");
}

// The originals return the weights of attention only where they compute them.
Model eager(const Model& model) {
  const PretrainedConfig config = model.config().unaccounted();
  if (config.has("_attn_implementation") || config.has("attn_implementation")) return model;
  return model.with_config(model.config().with("_attn_implementation", R"("eager")"));
}

}  // namespace

fs::path Layout::path(const Component& component, const Variant& variant) const {
  return path_of(*this, component.folder, component.stem, variant);
}

fs::path Layout::path(const Merge& merge, const Variant& variant) const {
  return path_of(*this, merge.folder, merge.stem, variant);
}

bool ExportPlan::is_left_out(const Component& component) const {
  return layout.only_merged() && std::any_of(merges.begin(), merges.end(), [&](const Merge& merge) {
           return merge.without_past == component.name || merge.with_past == component.name;
         });
}

bool Layout::only_merged() const { return name == "transformers.js" || name == "sherpa"; }

bool Layout::float32_io() const {
  return name == "transformers.js" || name == "sentence-transformers" || name == "sherpa";
}

std::string Layout::shared_data_of(const Variant& variant) const {
  const fs::path file = shared_data;
  return file.stem().string() + variant.suffix + file.extension().string();
}

const Component& ExportPlan::component(std::string_view name) const {
  for (const Component& one : components) {
    if (one.name == name) return one;
  }
  throw ExportError(ErrorCode::internal, fmt::format("the plan has no component '{}'", name));
}

void OnnxConfig::describe(ExportPlan& plan, const PlanRequest& request) const {
  plan.components.push_back(component("model", request.shapes, request.dynamic_axes));
}

ExportPlan make_plan(const Model& of, const PlanRequest& given) {
  PlanRequest request = given;
  const Model model = request.interface_options.contains(InterfaceOption::attentions) ? eager(of) : of;
  if (request.layout == "transformers.js" && request.precisions.empty())
    request.precisions = {only_precision(request)};
  // Several precisions begin with float32: each changes the dtype of the components.
  const std::string float_dtype = request.precisions.empty() ? request.dtype : "fp32";
  const OnnxConfigConstructor constructor = TasksManager::instance().get_exporter_config_constructor(model);
  const std::shared_ptr<const OnnxConfig> config =
      constructor(model.config(), model.task(),
                  {.int_dtype = request.int_dtype,
                   .float_dtype = float_dtype,
                   .legacy = request.legacy,
                   .variant = request.variant,
                   .interface_options = request.interface_options});
  check_variant(*config, request.variant);
  check_layout(request.layout);
  ExportPlan plan{.model = model,
                  .opset = request.opset == 0 ? config->default_onnx_opset() : request.opset,
                  .variants = variants_of(*config, request),
                  .layout = {.name = request.layout, .folder = request.output}};
  config->describe(plan, request);
  exporter::assign_files(plan);
  return plan;
}

Component in_dtype(Component component, DType dtype, bool float32_io) {
  Interface& interface = component.interface;
  if (interface.float_dtype == dtype) return component;
  const auto change = [&](auto& specs) {
    for (auto& spec : specs) {
      if (is_float(spec.dtype)) spec.dtype = dtype;
    }
  };
  const auto is_state = [&](const TensorSpec& input) {
    return std::any_of(interface.states.begin(), interface.states.end(),
                       [&](const StateSpec& state) { return state.input == input.name; });
  };
  interface.float_dtype = dtype;
  for (TensorSpec& input : interface.inputs) {
    if (is_float(input.dtype) && (!float32_io || is_state(input))) input.dtype = dtype;
  }
  change(interface.states);
  if (interface.dummies) {
    auto dummies = std::make_shared<DummyInputs>(*interface.dummies);
    if (!float32_io) dummies->context.float_dtype = dtype;
    change(dummies->context.states);
    interface.dummies = std::move(dummies);
  }
  return component;
}

}  // namespace onnxport
