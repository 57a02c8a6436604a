/// The command `diff`.
#pragma once

#include <filesystem>

#include "cli/bench.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "onnxport/diff.h"

namespace CLI {
class App;
}

namespace onnxport::cli {

struct DiffFlags {
  std::filesystem::path a, b;
  DiffOptions options;
  SizeFlags sizes;
  bool strict = false;
  Voice voice;
};

/// Adds the command to the table. `flags` must outlive parsing.
CLI::App* add_diff(CLI::App& app, DiffFlags& flags);
int run_diff(const DiffFlags& flags);

/// A comparison as text, and as JSON.
void print_diff(const FileDiff& diff, bool verbose);
json describe(const FileDiff& diff);
void print_nodes(const FileDiff& diff, bool verbose);
json describe(const NodesDiff& nodes);

}  // namespace onnxport::cli
