/// Validation of the files of a plan.
#pragma once

#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "onnxport/plan.h"
#include "onnxport/validate.h"
#include "validate/reference.h"

namespace onnxport::pipeline {

struct ValidateFilesOptions {
  std::optional<double> atol = {};
  std::optional<std::filesystem::path> recorded = {};  ///< outputs of the original, for the components' files
  NonFinite non_finite = NonFinite::fail;
  /// The files to validate; all if it is empty.
  std::function<bool(const std::filesystem::path&)> wants = {};
};

/// The components of a plan in one dtype, as their definitions compute them. Each is interpreted once, for
/// all variants in that dtype.
class Originals {
 public:
  explicit Originals(std::function<void(const std::string&)> on_detail) : on_detail_(std::move(on_detail)) {}

  /// The graph of the component with this name; null if it was not added.
  const Graph* find(const std::string& component) const;
  void add(const Component& component, Graph graph);
  /// Throws std::out_of_range if it was not added.
  validate::Reference& reference(const std::string& component) { return *originals_.at(component).reference; }

 private:
  struct Original {
    Component component;
    Graph graph;
    std::optional<validate::Reference> reference;  // of the two above, which do not move
  };
  std::function<void(const std::string&)> on_detail_;
  std::map<std::string, Original> originals_;
};

/// Compares the files of the components, then those of the merges, with the interpreter. `plan` has one
/// variant. `quantized`: its graphs, by component, if it is quantized; else empty. Its files are compared
/// with these graphs, and their drift from the originals is measured.
std::vector<ValidationReport> validate_files(const ExportPlan& plan, Originals& originals,
                                             const std::deque<Graph>& quantized,
                                             const ValidateFilesOptions& options);

/// The graphs of a variant's files.
struct VariantGraphs {
  ExportPlan plan;  ///< of this variant alone
  Originals& originals;
  const std::deque<Graph>& quantized;  ///< as in validate_files()
};

/// Files of a plan that a client connects, each in its first variant, as check_composition() runs them.
/// Nothing for other plans, in bfloat16, and with activations of 8 bits.
std::optional<ValidationReport> validate_composition(const ExportPlan& plan,
                                                     const std::vector<VariantGraphs>& variants,
                                                     const ValidateFilesOptions& options);

}  // namespace onnxport::pipeline
