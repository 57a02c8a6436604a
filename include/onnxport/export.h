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
#include "onnxport/recipe.h"
#include "onnxport/validate.h"

namespace onnxport {

/// The target of lowering.
struct TargetOptions {
  /// "any": only operators of ai.onnx. "ort": also contrib operators of ONNX Runtime.
  std::string runtime = "any";
  /// For causal attention with "ort": "auto" (MultiHeadAttention if key heads are not shared, else operators
  /// of ai.onnx) or "gqa" (GroupQueryAttention).
  std::string attention = "auto";
};

/// How to write one file.
struct ExportOptions {
  TargetOptions target = {};
  DummyShapes shapes;  ///< extents of axes that are not dynamic
  bool dynamic_axes = true;
  bool ignore_unexpected = false;  ///< continue if tensors or config keys were left unread
  /// Where to store weights: auto (in a file beside the model if it exceeds 2 GB), always, never, shared,
  /// checkpoint; see docs/cli.md.
  std::string external_data = "auto";
  std::int64_t external_data_threshold = 1024;  ///< bytes; smaller tensors stay in the .onnx file
  /// Tensors in a data file begin at multiples of this, in bytes: a power of two up to 64 MiB. 0: 64, and
  /// 4096 for tensors of 1 MiB or more.
  std::int64_t external_data_alignment = 0;
  /// Called with the bytes of weights written so far and in total, from several threads but never
  /// concurrently.
  std::function<void(std::uint64_t done, std::uint64_t total)> on_progress = {};
  /// Called with a line for the user, such as keys that were ignored.
  std::function<void(const std::string&)> on_notice = {};
  /// Called with a line of details, such as the size of the graph.
  std::function<void(const std::string&)> on_detail = {};
  /// Called with the graph of each component as its definition builds it, in the first variant.
  std::function<void(const Component&, const Graph&)> on_graph = {};
};

/// Exports a model to one ONNX file and returns the names of its inputs and outputs. `opset` 0: the
/// configuration's default. The official checker checks the file before it gets its name. Throws ExportError
/// and then leaves no file.
ONNXPORT_API std::pair<std::vector<std::string>, std::vector<std::string>> export_onnx(
    const Model& model, const OnnxConfig& config, const std::filesystem::path& output, int opset = 0,
    const ExportOptions& options = {});

/// The same for one component of a plan.
ONNXPORT_API std::pair<std::vector<std::string>, std::vector<std::string>> export_onnx(
    const Model& model, const Component& component, const std::filesystem::path& output, int opset = 0,
    const ExportOptions& options = {});

/// The options of `onnxport export onnx`; docs/cli.md describes them.
struct MainExportOptions {
  /// A checkpoint folder, or the id of a Hub repository, perhaps of an adapter: see get_model_source().
  std::filesystem::path model;
  /// Folders or repositories of LoRA adapters, which are merged into the weights in this order.
  std::vector<std::filesystem::path> adapters = {};
  std::filesystem::path output;
  std::string task = "auto";
  int opset = 0;
  std::string dtype = "fp32";
  std::string int_dtype = "int64";  ///< of integer inputs
  std::string library;
  std::string variant = "default";
  InterfaceOptions interface_options = {};
  Gelu gelu = Gelu::as_defined;
  std::optional<double> atol;
  NonFinite non_finite = NonFinite::fail;  ///< in outputs, see compare_outputs()
  /// Keys of config.json to override, with values as JSON text: `{"pad_token_id", "0"}`.
  std::map<std::string, std::string> config_values;
  Split split = Split::merged;
  std::string layout = "optimum";          ///< names and side files for a client: Layout::name
  Recipe recipe = {};                      ///< how weights are quantized
  std::vector<Precision> precisions = {};  ///< several at once, instead of `dtype` and `recipe`
  bool legacy = false;
  bool validate = true;
  std::optional<std::filesystem::path> reference;
  ExportOptions export_options;
  /// If it has no on_notice, that of `export_options` is used.
  HubOptions hub = {};
  std::string pipeline_tag = {};  ///< of a model that find_model() found before
};

struct ExportedFile {
  std::filesystem::path path;
  std::uint64_t bytes = 0;
};

/// The weights that became codes in one variant, all components together; equal ones count once.
struct QuantizationReport {
  std::string variant;
  std::int64_t layers = 0;        ///< that read these weights
  std::int64_t tied = 0;          ///< layers that read the weight of another one
  std::int64_t parameters = 0;    ///< of these weights
  std::int64_t bytes_before = 0;  ///< as floats of the variant's dtype
  std::int64_t bytes_after = 0;   ///< codes, scales and zero points
};

struct ONNXPORT_API ExportReport {
  std::string model_type, task, library, dtype;
  int opset = 0;
  std::int64_t parameters = 0;
  std::vector<std::string> inputs, outputs;  ///< of an export with one component; else empty
  std::vector<ExportedFile> files;
  std::vector<QuantizationReport> quantization = {};  ///< one per quantized variant
  double export_seconds = 0;
  Proof proof;                               ///< of the definition
  std::vector<ValidationReport> validation;  ///< one per ONNX file; empty without validation
  bool passed() const;
};

/// How to make the files of a plan.
struct RunOptions {
  bool validate = true;
  std::optional<double> atol = {};
  std::optional<std::filesystem::path> reference = {};  ///< as in ValidationOptions
  NonFinite non_finite = NonFinite::fail;               ///< as in ValidationOptions
  ExportOptions export_options = {};                    ///< except shapes and axes, which come from the plan
};

/// Finds the model (and downloads missing files), opens the checkpoint, infers options that are `auto`, and
/// makes the plan of the export.
ONNXPORT_API ExportPlan plan_export(const MainExportOptions& options);

/// Makes every file of a plan: copies config, tokenizer and processor files, writes the files of the layout,
/// exports the components and their merges, and validates. The graph of a component is built once and
/// interpreted once, for all files that contain it. Does not throw if validation fails:
/// `ExportReport::passed` is then false, and the files stay.
ONNXPORT_API ExportReport run_plan(const ExportPlan& plan, const RunOptions& options = {});

/// plan_export() and run_plan().
ONNXPORT_API ExportReport main_export(const MainExportOptions& options);

/// The options of `onnxport validate`.
struct MainValidateOptions {
  std::filesystem::path model;                       ///< as in MainExportOptions
  std::vector<std::filesystem::path> adapters = {};  ///< the same
  std::filesystem::path onnx;                        ///< folder of an export, or one of its files
  std::string task = "auto";
  std::string dtype = "fp32";
  std::string int_dtype = "int64";
  std::string library;
  std::string variant = "default";
  InterfaceOptions interface_options = {};
  Gelu gelu = Gelu::as_defined;  ///< as in the export
  /// How the export was split; absent: the first of merged and monolith whose components all exist.
  std::optional<Split> split = {};
  std::string layout = "optimum";          ///< as in the export
  Recipe recipe = {};                      ///< as in the export
  std::vector<Precision> precisions = {};  ///< as in the export
  std::optional<double> atol = {};
  ValidationOptions validation = {};
  HubOptions hub = {};
  std::string pipeline_tag = {};  ///< of a model that find_model() found before
};

/// Validates the files of an export: those of its components and, if they exist, of its merges. Returns one
/// report per file, and two for a merge. Throws ExportError(io) if a file is missing, and
/// ExportError(invalid_argument) if the plan does not have the file.
ONNXPORT_API std::vector<ValidationReport> main_validate(const MainValidateOptions& options);

/// Reports as JSON text. One validation report gives an object, several give an array.
ONNXPORT_API std::string to_json(const ExportReport& report);
ONNXPORT_API std::string to_json(const Proof& proof);
ONNXPORT_API std::string to_json(const std::vector<ValidationReport>& reports);

}  // namespace onnxport
