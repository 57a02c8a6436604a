#include "cli/bench.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <charconv>

#include "cli/flag_groups.h"
#include "cli/output.h"
#include "cli/report.h"
#include "onnxport/error.h"
#include "support/text.h"

namespace onnxport::cli {
namespace {

namespace fs = std::filesystem;

void print(const BenchResult& one) {
  say(fmt::format("{}: {}", one.file.string(), text::human_bytes(one.bytes)));
  std::vector<std::string> sizes;
  for (const auto& [name, size] : one.sizes) sizes.push_back(fmt::format("{} {}", name, size));
  if (!sizes.empty()) say(fmt::format("  sizes      {}", fmt::join(sizes, ", ")));
  say(fmt::format("  load       {}, first run {}", time_text(one.load_seconds),
                  time_text(one.first_seconds)));
  const Latency& time = one.latency;
  say(fmt::format("  {:<4} runs  mean {}, p50 {}, p90 {}, p99 {}, {} to {}", one.runs, time_text(time.mean),
                  time_text(time.p50), time_text(time.p90), time_text(time.p99), time_text(time.least),
                  time_text(time.most)));
  if (one.tokens_per_second)
    say(fmt::format("  tokens     {:.1f} per second ({} in a run)", *one.tokens_per_second, one.tokens));
  say(fmt::format("  memory     {} at most", text::human_bytes(one.peak_memory)));
}

json describe(const BenchResult& one) {
  json report = {{"file", one.file.string()}, {"ok", one.error.empty()}};
  if (!one.error.empty()) {
    report["error"] = one.error;
    return report;
  }
  report["bytes"] = one.bytes;
  for (const auto& [name, type] : one.inputs) report["inputs"][name] = type;
  report["sizes"] = json::object();
  for (const auto& [name, size] : one.sizes) report["sizes"][name] = size;
  report["load_seconds"] = one.load_seconds;
  report["first_run_seconds"] = one.first_seconds;
  report["runs"] = one.runs;
  report["latency_seconds"] = {{"mean", one.latency.mean}, {"min", one.latency.least},
                               {"p50", one.latency.p50},   {"p90", one.latency.p90},
                               {"p99", one.latency.p99},   {"max", one.latency.most}};
  if (one.tokens_per_second) {
    report["tokens_per_run"] = one.tokens;
    report["tokens_per_second"] = *one.tokens_per_second;
  }
  report["peak_memory_bytes"] = one.peak_memory;
  return report;
}

}  // namespace

std::string time_text(double seconds) {
  if (seconds >= 1) return fmt::format("{:.2f} s", seconds);
  if (seconds >= 1e-3) return fmt::format("{:.2f} ms", seconds * 1e3);
  return fmt::format("{:.1f} us", seconds * 1e6);
}

void add_axis_sizes(CLI::App& app, SizeFlags& flags) {
  const char* group = "Sizes of inputs";
  for (const auto& [name, size] : default_axis_sizes()) {
    app.add_option_function<std::int64_t>(
           "--" + name, [&flags, name = name](std::int64_t value) { flags.sizes[name] = value; },
           fmt::format("Default: {}", size))
        ->check(CLI::NonNegativeNumber)
        ->type_name("N")
        ->group(group);
  }
  app.add_option("--size", flags.named, "Size of the axis that the file calls NAME (repeatable)")
      ->type_name("NAME=N")
      ->allow_extra_args(false)
      ->group(group);
}

AxisSizes sizes_of(const SizeFlags& flags) {
  AxisSizes sizes = flags.sizes;
  for (const std::string& text : flags.named) {
    const std::size_t sign = text.rfind('=');
    std::int64_t value = -1;
    if (sign != std::string::npos) {
      const char* end = text.data() + text.size();
      const auto parsed = std::from_chars(text.data() + sign + 1, end, value);
      if (parsed.ec != std::errc{} || parsed.ptr != end) value = -1;
    }
    if (value < 0 || sign == 0) {
      throw ExportError(ErrorCode::invalid_argument,
                        fmt::format("--size {}: expected the name of an axis and a number, as in "
                                    "--size sequence_length=128",
                                    text));
    }
    sizes[text.substr(0, sign)] = value;
  }
  return sizes;
}

CLI::App* add_bench(CLI::App& app, BenchFlags& flags) {
  CLI::App* bench = app.add_subcommand("bench", "Time .onnx files of any producer in ONNX Runtime");
  bench->add_option("paths", flags.paths, "Files, or folders whose .onnx files are meant")
      ->required()
      ->type_name("OUT|FILE.onnx");
  bench->add_option("--threads", flags.options.threads, "Threads that work on one operator; 0: all cores")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  bench
      ->add_option("--provider", flags.options.provider,
                   "Execution provider, such as cpu, cuda or openvino; the library must have it")
      ->capture_default_str();
  bench->add_option("--runs", flags.options.runs, "Timed runs of a file; 0: as many as --seconds allow")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  bench->add_option("--seconds", flags.options.seconds, "Time for the runs of a file; at least 5 are made")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  add_report_flag(*bench, flags.report);
  add_axis_sizes(*bench, flags.sizes);
  add_voice(*bench, flags.voice);
  bench->footer("Example: onnxport bench out/ --batch_size 1 --sequence_length 1 --past_sequence_length 512");
  return bench;
}

int run_bench(const BenchFlags& flags) {
  BenchOptions options = flags.options;
  options.sizes = sizes_of(flags.sizes);
  std::vector<fs::path> files;
  for (const fs::path& path : flags.paths) {
    for (fs::path& file : find_onnx_files(path)) files.push_back(std::move(file));
  }
  if (!flags.report.empty()) check_report_path(flags.report);
  const std::vector<BenchResult> results = bench_files(files, options);
  const bool ok = std::ranges::all_of(results, [](const BenchResult& one) { return one.error.empty(); });
  json report = {
      {"ok", ok}, {"provider", options.provider}, {"threads", options.threads}, {"files", json::array()}};
  for (const BenchResult& one : results) report["files"].push_back(describe(one));
  if (flags.voice.json) {
    print_json(report);
  } else if (!flags.voice.quiet) {
    for (const BenchResult& one : results) {
      if (one.error.empty()) print(one);
    }
  }
  for (const BenchResult& one : results) {
    const std::string name = one.file.string();
    if (!one.error.empty())
      note(fmt::format("error: not timed: {}{}", one.error.starts_with(name) ? "" : name + ": ", one.error));
  }
  if (!flags.report.empty()) {
    const std::string text = report.dump(-1, ' ', false, json::error_handler_t::replace);
    write_page({.onnx = files, .results = {{"bench", text}}}, flags.report, flags.voice);
  }
  return ok ? 0 : exit_status(ErrorCode::runtime);
}

}  // namespace onnxport::cli
