#include "cli/diff.h"

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <algorithm>

#include "cli/flag_groups.h"
#include "cli/output.h"
#include "onnxport/error.h"

namespace onnxport::cli {
namespace {

namespace fs = std::filesystem;
constexpr int kDifferent = 1;

/// The files to compare, and those without a partner.
struct Pairs {
  std::vector<std::pair<fs::path, fs::path>> both;
  std::vector<fs::path> only_a, only_b;
};

Pairs find_pairs(const fs::path& a, const fs::path& b) {
  for (const fs::path& path : {a, b}) {
    std::error_code error;
    if (!fs::exists(path, error)) {
      throw ExportError(ErrorCode::io,
                        fmt::format("there is no {}: expected an .onnx file or a folder", path.string()));
    }
  }
  if (fs::is_directory(a) != fs::is_directory(b)) {
    throw ExportError(
        ErrorCode::invalid_argument,
        fmt::format("{} and {}: expected two .onnx files or two folders", a.string(), b.string()));
  }
  Pairs pairs;
  if (!fs::is_directory(a)) {
    pairs.both.emplace_back(a, b);
    return pairs;
  }
  const FolderDiff folders = pair_files(a, b);
  for (const fs::path& path : folders.both) pairs.both.emplace_back(a / path, b / path);
  for (const fs::path& path : folders.only_a) pairs.only_a.push_back(a / path);
  for (const fs::path& path : folders.only_b) pairs.only_b.push_back(b / path);
  return pairs;
}

}  // namespace

CLI::App* add_diff(CLI::App& app, DiffFlags& flags) {
  CLI::App* diff = app.add_subcommand("diff", "Compare .onnx files of any producers");
  diff->add_option("a", flags.a, "File, or folder")->required()->type_name("A.onnx");
  diff->add_option("b", flags.b, "The other file, or a folder with files of the same names")
      ->required()
      ->type_name("B.onnx");
  DiffOptions& o = flags.options;
  diff->add_option("--atol", o.atol,
                   "Tolerance of outputs; default: 1e-5, 1e-2 with float16, 5e-3 with bfloat16")
      ->check(CLI::NonNegativeNumber);
  diff->add_flag("!--no-run", o.run, "Do not compare outputs: then the values of weights decide");
  diff->add_flag_callback(
      "--nodes", [&o] { o.node_values = NodeValues::always; },
      "Compare the values inside, of nodes with the same name; default: if outputs differ");
  diff->add_flag_callback(
      "--no-nodes", [&o] { o.node_values = NodeValues::never; }, "Do not compare the values inside");
  diff->add_flag("--time", o.time, "Also compare latencies");
  diff->add_flag("--strict", flags.strict,
                 "Opsets, operators, and names and forms of weights must be the same too");
  diff->add_option("--threads", o.threads, "Threads that work on one operator; 0: all cores")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  diff->add_option("--seconds", o.seconds, "Time for the timed runs of each file")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  add_axis_sizes(*diff, flags.sizes);
  add_voice(*diff, flags.voice);
  diff->footer("Exit status: 0 the same, 1 different, 9 a file cannot be run");
  return diff;
}

int run_diff(const DiffFlags& flags) {
  DiffOptions options = flags.options;
  options.sizes = sizes_of(flags.sizes);
  const Pairs pairs = find_pairs(flags.a, flags.b);
  bool same = pairs.only_a.empty() && pairs.only_b.empty(), failed = false;
  json files = json::array();
  for (const auto& [a, b] : pairs.both) {
    const FileDiff diff = diff_files(a, b, options);
    failed = failed || !diff.run_error.empty();
    const bool equal = flags.strict ? diff.identical() : diff.interchangeable();
    same = same && equal;
    if (flags.voice.json) {
      files.push_back(describe(diff));
      continue;
    }
    if (!flags.voice.quiet) print_diff(diff, flags.voice.verbose);
    if (!diff.run_error.empty()) note("error: not compared: " + diff.run_error);
  }
  const auto paths = [](const std::vector<fs::path>& list) {
    json names = json::array();
    for (const fs::path& path : list) names.push_back(path.string());
    return names;
  };
  if (flags.voice.json) {
    print_json(
        {{"same", same}, {"files", files}, {"only_a", paths(pairs.only_a)}, {"only_b", paths(pairs.only_b)}});
  } else if (!flags.voice.quiet) {
    for (const fs::path& path : pairs.only_a) say(fmt::format("only in A: {}", path.string()));
    for (const fs::path& path : pairs.only_b) say(fmt::format("only in B: {}", path.string()));
    say(same ? "same" : failed ? "not compared" : "different");
  }
  if (failed) return exit_status(ErrorCode::runtime);
  return same ? 0 : kDifferent;
}

}  // namespace onnxport::cli
