#include "exporter/plan_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "onnxport/error.h"

namespace onnxport {
namespace {

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::vector<std::string> names_of(const ExportPlan& plan) {
  std::vector<std::string> names;
  for (const Component& component : plan.components)
    if (!plan.is_left_out(component)) names.push_back(component.name);
  for (const Merge& merge : plan.merges) names.push_back(merge.name);
  return names;
}

// Whether a variant is for the component or merge with this name.
bool makes(const Variant& variant, const std::string& name) {
  return variant.files.empty() || contains(variant.files, name);
}

// The same of a component, which a merge may bring.
bool makes(const std::vector<Merge>& merges, const Variant& variant, const Component& component) {
  return makes(variant, component.name) || std::any_of(merges.begin(), merges.end(), [&](const Merge& merge) {
           const bool has = merge.without_past == component.name || merge.with_past == component.name;
           return has && makes(variant, merge.name);
         });
}

}  // namespace

ExportPlan ExportPlan::part(const Variant& variant) const {
  ExportPlan part = *this;
  part.variants = {variant};
  std::erase_if(part.merges, [&](const Merge& merge) { return !makes(variant, merge.name); });
  std::erase_if(part.components, [&](const Component& one) { return !makes(merges, variant, one); });
  return part;
}

const Variant& ExportPlan::variant_of(const Component& component) const {
  const auto found = std::find_if(variants.begin(), variants.end(),
                                  [&](const Variant& variant) { return makes(merges, variant, component); });
  return found == variants.end() ? variants.front() : *found;
}

namespace exporter {

void assign_files(ExportPlan& plan) {
  const std::vector<std::string> names = names_of(plan);
  std::vector<std::string> made;
  for (const Variant& variant : plan.variants) {
    for (const std::string& file : variant.files) {
      if (contains(names, file)) continue;
      throw ExportError(ErrorCode::invalid_argument,
                        fmt::format("--variants {}={}: the files of this export are {}", file, variant.name,
                                    fmt::join(names, ", ")));
    }
    if (variant.files.empty()) return;
    const ExportPlan part = plan.part(variant);
    const std::vector<std::string> of_part = names_of(part);
    made.insert(made.end(), of_part.begin(), of_part.end());
  }
  std::vector<std::string> others;
  for (const std::string& name : names)
    if (!contains(made, name)) others.push_back(name);
  if (others.empty()) return;
  const auto plain = std::find_if(plan.variants.begin(), plan.variants.end(),
                                  [](const Variant& variant) { return variant.name == "fp32"; });
  if (plain != plan.variants.end()) {
    plain->files.insert(plain->files.end(), others.begin(), others.end());
  } else {
    plan.variants.push_back({.name = "fp32", .gelu = plan.variants.front().gelu, .files = others});
  }
}

}  // namespace exporter
}  // namespace onnxport
