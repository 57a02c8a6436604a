/// Validation of the files of a plan.
#pragma once

#include <deque>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "onnxport/plan.h"
#include "onnxport/validate.h"

namespace onnxport::pipeline {

struct ValidateFilesOptions {
  std::optional<double> atol = {};
  std::optional<std::filesystem::path> recorded = {};  ///< outputs of the original, for the components' files
  NonFinite non_finite = NonFinite::fail;
  std::function<void(const std::string&)> on_detail = {};
  /// The files to validate; all if it is empty.
  std::function<bool(const std::filesystem::path&)> wants = {};
};

/// Compares the files of the components, then those of the merges, with the interpreter, which runs the graph
/// of each component once. `graphs` belong to `components`.
std::vector<ValidationReport> validate_files(const ExportPlan& plan, const Variant& variant,
                                             const std::vector<Component>& components,
                                             const std::deque<Graph>& graphs,
                                             const ValidateFilesOptions& options);

}  // namespace onnxport::pipeline
