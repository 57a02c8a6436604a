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

  void add(const Component& component, Graph graph);
  validate::Reference& reference(std::size_t component) { return references_[component]; }
  const Graph& graph(std::size_t component) const { return graphs_[component]; }
  const Component& component(std::size_t index) const { return components_[index]; }
  std::size_t size() const { return components_.size(); }

 private:
  std::function<void(const std::string&)> on_detail_;
  std::deque<Component> components_;  // none of them moves
  std::deque<Graph> graphs_;
  std::deque<validate::Reference> references_;
};

/// Compares the files of the components, then those of the merges, with the interpreter. `quantized`: the
/// graphs of a quantized variant, by component; else empty. Its files are compared with these graphs, and
/// their drift from the originals is measured.
std::vector<ValidationReport> validate_files(const ExportPlan& plan, const Variant& variant,
                                             Originals& originals, const std::deque<Graph>& quantized,
                                             const ValidateFilesOptions& options);

}  // namespace onnxport::pipeline
