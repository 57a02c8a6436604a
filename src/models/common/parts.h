/// Types that are exported as several components.
#pragma once

#include <string>
#include <vector>

#include "onnxport/onnx_config.h"
#include "onnxport/plan.h"

namespace onnxport::models {

/// Adds a component for each of these parts to a plan. `whole` describes a part if its options name one.
void describe_parts(const OnnxConfig& whole, const std::vector<std::string>& parts, ExportPlan& plan,
                    const PlanRequest& request);

}  // namespace onnxport::models
