/// Commands on .onnx files of any producer, without their checkpoints.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "onnxport/dynamic_quantization.h"
#include "onnxport/export_macro.h"

namespace onnxport {

/// The presets of Optimum's AutoQuantizationConfig for dynamic quantization: "arm64", "avx2", "avx512",
/// "avx512_vnni", "ppc64le". Throws ExportError(unsupported) for "tensorrt", which is static, and
/// (invalid_argument) for other names.
ONNXPORT_API DynamicQuantization quantization_preset(std::string_view name);

/// The options of `onnxport onnxruntime quantize`.
struct QuantizeOptions {
  std::filesystem::path onnx_model;  ///< a folder, whose *.onnx files are quantized, or one file
  std::filesystem::path output;      ///< another folder
  DynamicQuantization quantization;
  bool external_data = false;  ///< weights beside the model, whatever its size; else only beyond 2 GB
  /// Called with the bytes of weights written so far and in total, from several threads but never
  /// concurrently.
  std::function<void(std::uint64_t done, std::uint64_t total)> on_progress = {};
  /// Called with a line for the user.
  std::function<void(const std::string&)> on_notice = {};
};

/// The options that an ort_config.json of Optimum (or the folder that holds it) asks for: `quantization` and
/// `external_data`. Throws ExportError(bad_config) for settings that do not exist, and (unsupported) for
/// static quantization.
ONNXPORT_API QuantizeOptions read_ort_config(const std::filesystem::path& config);

/// A file and the quantized one made of it.
struct QuantizedModelFile {
  std::filesystem::path source;
  std::filesystem::path path;
  std::uint64_t source_bytes = 0;               ///< with its external data
  std::uint64_t bytes = 0;                      ///< with its external data
  std::map<std::string, std::int64_t> nodes{};  ///< quantized nodes by type
};

/// Writes `<stem>_quantized.onnx` for each file, ort_config.json, and copies of config.json and the files of
/// tokenizers and processors. Integers and names are those of Optimum's ORTQuantizer with onnxruntime 1.31.1.
/// Weights are streamed, so memory does not depend on their size. No model is written if one fails. Throws
/// ExportError(invalid_argument | io | unsupported | bad_checkpoint).
ONNXPORT_API std::vector<QuantizedModelFile> quantize_onnx_files(const QuantizeOptions& options);

/// "O1" to "O4": the level that is nearest to the `optimization` of an ort_config.json (or the folder that
/// holds it). Throws ExportError(bad_config) if it has none.
ONNXPORT_API std::string optimization_level(const std::filesystem::path& config);

/// The command that exports, from its checkpoint, an optimized form of the model in a folder of .onnx files
/// (or of one file). The checkpoint is `_name_or_path` of config.json, or MODEL. Throws
/// ExportError(io | bad_config).
ONNXPORT_API std::string optimizing_export_command(const std::filesystem::path& onnx_model,
                                                   const std::filesystem::path& output,
                                                   const std::string& level);

}  // namespace onnxport
