/// Exporting: from a checkpoint folder to ONNX files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "onnxport/export_macro.h"
#include "onnxport/hub.h"
#include "onnxport/model.h"
#include "onnxport/onnx_config.h"
#include "onnxport/plan.h"
#include "onnxport/proof.h"
#include "onnxport/validate.h"

namespace onnxport {

/// What a graph is lowered for.
struct TargetOptions {
  /// "any": operators of ai.onnx alone. "ort": contrib operators of ONNX Runtime as well.
  std::string runtime = "any";
  /// Of grouped, causal attention for "ort": "auto" (MultiHeadAttention where heads are not shared, else
  /// operators of ai.onnx) or "gqa" (GroupQueryAttention).
  std::string attention = "auto";
};

/// How one file is written.
struct ExportOptions {
  TargetOptions target = {};
  DummyShapes shapes;  ///< extents of axes that are not dynamic
  bool dynamic_axes = true;
  bool ignore_unexpected = false;  ///< go on when tensors or config keys were not read
  /// Where weights lie: auto (in a file beside the model beyond 2 GB), always, never, shared, checkpoint.
  std::string external_data = "auto";
  std::int64_t external_data_threshold = 1024;  ///< smaller tensors stay in the .onnx file, bytes
  /// Tensors in a data file begin at multiples of this, a power of two of at most 64 MiB. 0: of 64, and from
  /// 1 MiB on of 4096.
  std::int64_t external_data_alignment = 0;
  /// Called with bytes of weights written and in all.
  std::function<void(std::uint64_t done, std::uint64_t total)> on_progress = {};
  /// Called with a line for the user: what was ignored, what had no effect.
  std::function<void(const std::string&)> on_notice = {};
  /// Called with a line of detail: how large the graph is.
  std::function<void(const std::string&)> on_detail = {};
};

/// Exports a model to one ONNX file. `opset` 0: the configuration's default. Returns the names of inputs and
/// outputs. The file is checked with the official checker before it takes its name; on failure nothing is
/// left. Throws ExportError.
ONNXPORT_API std::pair<std::vector<std::string>, std::vector<std::string>> export_onnx(
    const Model& model, const OnnxConfig& config, const std::filesystem::path& output, int opset = 0,
    const ExportOptions& options = {});

/// The same of one component of a plan.
ONNXPORT_API std::pair<std::vector<std::string>, std::vector<std::string>> export_onnx(
    const Model& model, const Component& component, const std::filesystem::path& output, int opset = 0,
    const ExportOptions& options = {});

/// What `onnxport export onnx` is given; docs/cli.md describes each.
struct MainExportOptions {
  /// A checkpoint folder, or the id of a repository of the hub: see get_model_folder().
  std::filesystem::path model;
  std::filesystem::path output;
  std::string task = "auto";
  int opset = 0;
  std::string dtype = "fp32";
  std::string int_dtype = "int64";  ///< of integer inputs
  std::string library;
  std::string variant = "default";
  bool approximate_gelu = false;  ///< every exact gelu becomes its approximation by tanh
  std::optional<double> atol;
  /// Keys of config.json that are to have another value, as JSON text: `{"pad_token_id", "0"}`.
  std::map<std::string, std::string> config_values;
  bool monolith = false;
  bool post_process = true;  ///< decoders with and without past also as one file
  bool legacy = false;
  bool validate = true;
  std::optional<std::filesystem::path> reference;
  ExportOptions export_options;
  /// Without an on_notice of its own, that of the export.
  HubOptions hub = {};
};

struct ExportedFile {
  std::filesystem::path path;
  std::uint64_t bytes = 0;
};

struct ONNXPORT_API ExportReport {
  std::string model_type, task, library, dtype;
  int opset = 0;
  std::int64_t parameters = 0;
  std::vector<std::string> inputs, outputs;  ///< of an export of one file
  std::vector<ExportedFile> files;
  double export_seconds = 0;
  Proof proof;                               ///< of the definition
  std::vector<ValidationReport> validation;  ///< one per ONNX file; empty without validation
  bool passed() const;
};

/// How the files of a plan are made.
struct RunOptions {
  bool validate = true;
  std::optional<double> atol = {};
  std::optional<std::filesystem::path> reference = {};  ///< as in ValidationOptions
  ExportOptions export_options = {};                    ///< but for its shapes and axes, which the plan has
};

/// Finds the model (downloading what is missing), opens the checkpoint, infers the values that are `auto`,
/// and makes the plan of the export.
ONNXPORT_API ExportPlan plan_export(const MainExportOptions& options);

/// Makes every file of a plan: copies config, tokenizer and processor files, exports the components and their
/// merges, and validates. The graph of a component is built once and interpreted once, for all files that it
/// is in. A failed validation is reported (`ExportReport::passed`), not thrown; the files stay.
ONNXPORT_API ExportReport run_plan(const ExportPlan& plan, const RunOptions& options = {});

/// plan_export() and run_plan().
ONNXPORT_API ExportReport main_export(const MainExportOptions& options);

/// What `onnxport validate` is given.
struct MainValidateOptions {
  std::filesystem::path model;  ///< as in MainExportOptions
  std::filesystem::path onnx;   ///< folder of an export, or one of its files
  std::string task = "auto";
  std::string dtype = "fp32";
  std::string int_dtype = "int64";
  std::string library;
  std::string variant = "default";
  bool approximate_gelu = false;  ///< it was exported so
  /// How the export was split; absent: the first of merged and monolith whose components are all there.
  std::optional<Split> split = {};
  std::optional<double> atol = {};
  ValidationOptions validation = {};
  HubOptions hub = {};
};

/// Validates the files of an export: those of its components and, where they are there, of its merges. One
/// report per file, two for a merge. Throws ExportError(io) for a file that is missing and
/// ExportError(invalid_argument) for one that the plan does not have.
ONNXPORT_API std::vector<ValidationReport> main_validate(const MainValidateOptions& options);

/// Reports as JSON text; one validation alone as an object, several as an array.
ONNXPORT_API std::string to_json(const ExportReport& report);
ONNXPORT_API std::string to_json(const Proof& proof);
ONNXPORT_API std::string to_json(const std::vector<ValidationReport>& reports);

}  // namespace onnxport
