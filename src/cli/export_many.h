/// The command `export-many`.
#pragma once

#include "cli/commands.h"
#include "onnxport/export_many.h"

namespace CLI {
class App;
}

namespace onnxport::cli {

struct ExportManyFlags {
  ManyOptions options;
  Voice voice;
};

inline constexpr int kInterrupted = 130;  ///< exit status after Ctrl-C, as shells have it

/// Adds the command to the table. `flags` must outlive parsing.
CLI::App* add_export_many(CLI::App& app, ExportManyFlags& flags);
/// `command`: as parsed, with the flags that are passed on.
int run_export_many(ExportManyFlags flags, const CLI::App& command);

}  // namespace onnxport::cli
