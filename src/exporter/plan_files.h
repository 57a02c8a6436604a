/// Which files each variant of a plan makes.
#pragma once

#include "onnxport/plan.h"

namespace onnxport::exporter {

/// If every variant names its files, those that none names get a variant in float32. Throws
/// ExportError(invalid_argument) for a file that the plan does not make.
void assign_files(ExportPlan& plan);

}  // namespace onnxport::exporter
