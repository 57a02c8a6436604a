/// Errors that several layouts report.
#pragma once

#include <string>

#include "onnxport/plan.h"

namespace onnxport::layout {

/// Throws ExportError(unsupported) that names the layout and the model, and gives the reason.
[[noreturn]] void refuse(const ExportPlan& plan, const std::string& reason);

/// Throws ExportError(invalid_argument) if two variants have the same suffix.
void check_suffixes(const ExportPlan& plan);

}  // namespace onnxport::layout
