/// The expected outputs of a component, and the comparison of a file with them.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "onnxport/graph.h"
#include "onnxport/interface.h"
#include "onnxport/tensor.h"
#include "onnxport/validate.h"
#include "reference/interpreter.h"
#include "validate/cases.h"

namespace onnxport::validate {

/// The results of the interpreter under the names of the graph's outputs. bfloat16 becomes float32, as in the
/// answers of a file whose bfloat16 was widened.
NamedTensors named_outputs(const Graph& graph, std::vector<reference::HostTensor> results);

/// The outputs of one component for its cases, computed by the double-precision interpreter on first use.
/// They serve every file that contains the component. Component and graph must outlive this object.
class Reference {
 public:
  /// `on_detail` is called before the interpretation.
  Reference(const Component& component, const Graph& graph,
            std::function<void(const std::string&)> on_detail = {})
      : component_(component), graph_(graph), on_detail_(std::move(on_detail)) {}

  const Component& component() const { return component_; }
  const Graph& graph() const { return graph_; }
  const std::vector<InputCase>& cases();
  /// The outputs of each case.
  const std::vector<NamedTensors>& outputs();

 private:
  const Component& component_;
  const Graph& graph_;
  std::function<void(const std::string&)> on_detail_;
  std::vector<InputCase> cases_;
  std::vector<NamedTensors> outputs_;
};

/// How to compare one file.
struct FileOptions {
  std::optional<double> atol = {};
  /// Outputs recorded with the original model, as in ValidationOptions.
  std::optional<std::filesystem::path> recorded = {};
  /// The file is a merged decoder, and the component is this branch: `use_cache_branch`.
  std::optional<bool> branch = {};
  NonFinite non_finite = NonFinite::fail;
  /// For a quantized file: the component as its definition computes it, and the smallest cosine that passes.
  Reference* original = nullptr;
  double smallest_cosine = 0;
};

/// Runs a file and compares. Throws ExportError(runtime) if ONNX Runtime is missing or refuses the file.
ValidationReport check_file(Reference& reference, const std::filesystem::path& file,
                            const std::vector<std::string>& outputs, const FileOptions& options);

}  // namespace onnxport::validate
