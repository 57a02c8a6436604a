#include "models/common/parts.h"

namespace onnxport::models {

void describe_parts(const OnnxConfig& whole, const std::vector<std::string>& parts, ExportPlan& plan,
                    const PlanRequest& request) {
  for (const std::string& part : parts) {
    OnnxConfigOptions of_part = whole.options();
    of_part.part = part;
    const auto described = of_part.make(whole.config(), whole.task(), of_part);
    plan.components.push_back(described->component(part, request.shapes, request.dynamic_axes));
  }
}

}  // namespace onnxport::models
