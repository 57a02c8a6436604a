/// Checks whether an exported file computes the same as the model.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "onnxport/export_macro.h"
#include "onnxport/interface.h"
#include "onnxport/model.h"
#include "onnxport/onnx_config.h"
#include "onnxport/proof.h"
#include "onnxport/tensor.h"

namespace onnxport {

/// One output on one set of inputs.
struct OutputComparison {
  std::string name;
  std::vector<std::int64_t> shape;            ///< of ONNX Runtime's result
  std::vector<std::int64_t> reference_shape;  ///< the expected one
  double max_difference = 0;                  ///< largest |difference|
  double tolerance = 0;                       ///< atol * max(1, max|reference|)
  bool passed = false;
  std::int64_t non_finite = 0;            ///< values of the result that are NaN or infinite
  std::int64_t reference_non_finite = 0;  ///< the same of the reference
};

/// What to do with values that are NaN or infinite. If only one side has them, they always fail.
enum class NonFinite {
  fail,   ///< every such value fails
  allow,  ///< passes where the reference has the same value
};

/// One set of inputs.
struct ValidationCase {
  std::string name;  ///< "batch_size 3, sequence_length 7, padded on the right"
  std::vector<OutputComparison> outputs;
};

/// How far an output of a quantized model is from that of the model as its definition computes it, over all
/// cases.
struct Drift {
  std::string output;
  double max_difference = 0;             ///< largest |difference|
  double mean_difference = 0;            ///< mean |difference|
  double cosine = 1;                     ///< of the angle between all values of both
  std::optional<double> agreement = {};  ///< of logits: the part of the rows whose largest value is the same
  double bound = 0;                      ///< the smallest cosine that passes
  bool passed() const { return cosine >= bound; }
};

struct ONNXPORT_API ValidationReport {
  std::filesystem::path file;
  double atol = 0;
  std::vector<std::string> problems;  ///< names of inputs or outputs that differ from the configuration's
  std::vector<ValidationCase> cases;
  std::vector<Drift> drift = {};  ///< of a quantized model, by output
  double seconds = 0;
  std::optional<Proof> proof;  ///< of the definition that made the reference; set by main_validate()
  bool passed() const;
};

struct ValidationOptions {
  DummyShapes shapes;
  bool dynamic_axes = true;
  /// Outputs recorded with the original model: a safetensors file with tensors `in/<input>` and
  /// `out/<output>`.
  std::optional<std::filesystem::path> reference = {};
  NonFinite non_finite = NonFinite::fail;
};

/// Compares outputs by the rule of docs/validation.md: |difference| <= atol * max(1, max|reference|). Values
/// of 1e6 or more (mask fills) must agree to within 1 % and do not count towards the maximum. Integers must
/// be equal. NaN and infinities fail; with NonFinite::allow, they pass where both sides have the same.
ONNXPORT_API OutputComparison compare_outputs(const std::string& name, const Tensor& got,
                                              const Tensor& reference, double atol,
                                              NonFinite non_finite = NonFinite::fail);

/// Tolerance of a configuration for its dtype: atol_for_validation(), but at least 1e-2 at fp16 and 5e-3 at
/// bf16 (run widened). `atol` replaces it.
ONNXPORT_API double validation_atol(const OnnxConfig& config, std::optional<double> atol = {});
/// The same for a component.
ONNXPORT_API double validation_atol(const Interface& interface, std::optional<double> atol = {});

/// Runs the file in ONNX Runtime and the model's graph in the double-precision interpreter, on several shapes
/// and paddings, and compares the results. Reports differences and does not throw for them. Throws
/// ExportError(runtime) if ONNX Runtime is missing or refuses the file.
ONNXPORT_API ValidationReport compare_model_outputs(const OnnxConfig& config, const Model& model,
                                                    const std::filesystem::path& onnx_model,
                                                    const std::vector<std::string>& onnx_named_outputs,
                                                    std::optional<double> atol = {},
                                                    const ValidationOptions& options = {});

/// The same, but throws ExportError(validation_failed) with the report if anything differs.
ONNXPORT_API ValidationReport validate_model_outputs(const OnnxConfig& config, const Model& model,
                                                     const std::filesystem::path& onnx_model,
                                                     const std::vector<std::string>& onnx_named_outputs,
                                                     std::optional<double> atol = {},
                                                     const ValidationOptions& options = {});

/// The report as text, in the format of Optimum: `-[✓] (2, 16, 384) matches (2, 16, 384)`.
ONNXPORT_API std::string to_string(const ValidationReport& report);

}  // namespace onnxport
