/// The commands `onnxruntime quantize` and `onnxruntime optimize`.
#pragma once

#include <filesystem>
#include <string>

#include "cli/commands.h"

namespace CLI {
class App;
}

namespace onnxport::cli {

/// With the flags of Optimum's commands of the same names.
struct OnnxruntimeFlags {
  std::filesystem::path onnx_model, output, config;
  std::string preset;  ///< of quantize: avx2, …; of optimize: 1, …
  bool per_channel = false;
  Voice voice;
};

/// The parsers of both commands; they must outlive parsing.
struct OnnxruntimeCommands {
  CLI::App *quantize = nullptr, *optimize = nullptr;
  OnnxruntimeFlags quantize_flags, optimize_flags;
};

/// Adds the commands to the table.
void add_onnxruntime(CLI::App& app, OnnxruntimeCommands& commands);

int run_quantize(const OnnxruntimeFlags& flags);
/// Always throws ExportError(unsupported), with the command that exports the optimized model.
int run_optimize(const OnnxruntimeFlags& flags);

}  // namespace onnxport::cli
