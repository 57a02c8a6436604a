#include "layout/refuse.h"

#include <fmt/format.h>

#include <vector>

#include "onnxport/error.h"

namespace onnxport::layout {

void refuse(const ExportPlan& plan, const std::string& reason) {
  throw ExportError(ErrorCode::unsupported,
                    fmt::format("layout {}: model type '{}', task '{}': {}", plan.layout.name,
                                plan.model.config().model_type(), plan.model.task(), reason));
}

void check_suffixes(const ExportPlan& plan) {
  const std::vector<Variant>& variants = plan.variants;
  for (std::size_t i = 0; i < variants.size(); ++i) {
    for (std::size_t k = 0; k < i; ++k) {
      if (variants[k].suffix != variants[i].suffix) continue;
      throw ExportError(
          ErrorCode::invalid_argument,
          fmt::format("--variants: layout {} has one file for '{}' and '{}'; list only one of them",
                      plan.layout.name, variants[k].name, variants[i].name));
    }
  }
}

}  // namespace onnxport::layout
