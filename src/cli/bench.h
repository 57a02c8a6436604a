/// The command `bench`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "onnxport/bench.h"

namespace CLI {
class App;
}

namespace onnxport::cli {

/// Flags of the commands that run files on inputs of their own.
struct SizeFlags {
  AxisSizes sizes;
  std::vector<std::string> named;  ///< NAME=N
};
/// --batch_size, …, --size
void add_axis_sizes(CLI::App& app, SizeFlags& flags);
/// All sizes. Throws ExportError(invalid_argument) for a --size that is not NAME=N.
AxisSizes sizes_of(const SizeFlags& flags);

struct BenchFlags {
  std::vector<std::filesystem::path> paths;
  BenchOptions options;
  SizeFlags sizes;
  std::filesystem::path report = {};  ///< a page to write; empty: none
  Voice voice;
};

/// Adds the command to the table. `flags` must outlive parsing.
CLI::App* add_bench(CLI::App& app, BenchFlags& flags);
int run_bench(const BenchFlags& flags);

/// "1.24 ms"
std::string time_text(double seconds);

}  // namespace onnxport::cli
