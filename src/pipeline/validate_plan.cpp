#include "pipeline/validate_plan.h"

#include <algorithm>
#include <utility>

#include "onnxport/config.h"
#include "onnxport/export.h"
#include "onnxport/placeholders.h"
#include "validate/compose.h"
#include "validate/reference.h"

namespace onnxport {
namespace fs = std::filesystem;

namespace pipeline {

const Graph* Originals::find(const std::string& component) const {
  const auto found = originals_.find(component);
  return found == originals_.end() ? nullptr : &found->second.graph;
}

void Originals::add(const Component& component, Graph graph) {
  const auto [added, is_new] =
      originals_.try_emplace(component.name, Original{component, std::move(graph), {}});
  Original& one = added->second;
  if (is_new) one.reference.emplace(one.component, one.graph, on_detail_);
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

std::vector<ValidationReport> validate_files(const ExportPlan& plan, Originals& originals,
                                             const std::deque<Graph>& quantized,
                                             const ValidateFilesOptions& options) {
  const Variant& variant = plan.variants.front();
  std::deque<validate::Reference> references;
  std::vector<ValidationReport> reports;
  const auto check = [&](std::size_t i, const fs::path& file, std::optional<bool> branch) {
    if (options.wants && !options.wants(file)) return;
    validate::Reference& original = originals.reference(plan.components[i].name);
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
  for (std::size_t i = 0; i < plan.components.size(); ++i) {
    const Component& component = originals.reference(plan.components[i].name).component();
    if (!quantized.empty()) references.emplace_back(component, quantized[i]);
    if (!plan.is_left_out(plan.components[i])) check(i, plan.layout.path(component, variant), {});
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

std::optional<ValidationReport> validate_composition(const ExportPlan& plan,
                                                     const std::vector<VariantGraphs>& variants,
                                                     const ValidateFilesOptions& options) {
  if (!validate::is_composed(plan.components)) return {};
  std::vector<validate::ComposedPart> parts;
  double atol = 0;
  for (const Component& component : plan.components) {
    const std::string& name = plan.variant_of(component).name;
    const auto made = std::find_if(variants.begin(), variants.end(), [&](const VariantGraphs& one) {
      return one.plan.variants.front().name == name;
    });
    if (made == variants.end()) return {};
    const Variant& variant = made->plan.variants.front();
    if (variant.dtype == DType::bf16 || variant.recipe.is_dynamic()) return {};
    const Component& in_dtype = made->originals.reference(component.name).component();
    const auto index =
        static_cast<std::size_t>(&made->plan.component(component.name) - made->plan.components.data());
    const Graph& graph =
        made->quantized.empty() ? *made->originals.find(component.name) : made->quantized[index];
    const double of_file = validation_atol(in_dtype.interface, options.atol);
    atol = std::max(
        atol, made->quantized.empty() || options.atol ? of_file : bounds_of(variant.recipe, of_file).atol);
    const std::string& output = in_dtype.interface.outputs.front().name;
    parts.push_back({in_dtype, graph, plan.layout.path(component, variant),
                     placeholder_id(plan.model.config(), output).value_or(0)});
  }
  return validate::check_composition(parts, atol, options.non_finite);
}

}  // namespace pipeline

}  // namespace onnxport
