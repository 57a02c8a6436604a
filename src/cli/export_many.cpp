#include "cli/export_many.h"

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <csignal>
#include <string>
#include <utility>
#include <vector>

#include "cli/many_engine.h"
#include "cli/output.h"
#include "onnxport/error.h"
#include "support/text.h"

namespace onnxport::cli {
namespace {

constexpr int kSomeFailed = 1;

volatile std::sig_atomic_t interrupts = 0;  // how often the user asked to stop

void count_interrupt(int /*signal*/) { interrupts = interrupts + 1; }

ManyEngine& many_engine() {
  static ManyEngine engine;
  return engine;
}

std::vector<std::string>& own_command() {
  static std::vector<std::string> command;
  return command;
}

std::string facts(const ManyResult& one) {
  if (one.status == "open") return "open";
  const std::string numbers = fmt::format("{:.1f} s, {}", one.seconds, text::human_bytes(one.peak_memory));
  return one.status == "ok" ? numbers : fmt::format("{}: {}", numbers, one.error);
}

json describe(const ManyResult& one) {
  json result = {{"model", one.model},
                 {"flags", one.flags},
                 {"status", one.status},
                 {"folder", one.folder},
                 {"skipped", one.skipped}};
  if (one.status != "open") {
    result["seconds"] = one.seconds;
    result["peak_memory_bytes"] = one.peak_memory;
  }
  if (!one.error.empty()) result["error"] = one.error;
  return result;
}

void print_table(const ManyReport& report) {
  std::size_t width = 0;
  for (const ManyResult& one : report.results) width = std::max(width, one.folder.size());
  for (const ManyResult& one : report.results) {
    say(fmt::format("{:<6} {:<{}}  {}{}", one.status, one.folder, width,
                    one.status == "open" ? "" : facts(one), one.skipped ? " (earlier)" : ""));
  }
}

}  // namespace

void set_many_engine(ManyEngine engine) { many_engine() = std::move(engine); }
void set_own_command(std::vector<std::string> command) { own_command() = std::move(command); }

CLI::App* add_export_many(CLI::App& app, ExportManyFlags& flags) {
  ManyOptions& o = flags.options;
  CLI::App* many = app.add_subcommand("export-many", "Export the models of a list, each in its own process");
  many->add_option("list", o.list, "File with a model and its flags in each line; -: standard input")
      ->required()
      ->type_name("LIST");
  many->add_option("output", o.output, "Folder for all exports")->required()->type_name("OUT");
  many->add_option("--jobs", o.jobs, "Exports at a time")->check(CLI::PositiveNumber)->capture_default_str();
  many->add_option("--max-memory", o.max_memory, "Memory of all exports together, such as 12GB")
      ->transform(CLI::AsSizeValue(true))
      ->type_name("SIZE");
  many->add_option("--min-free-disk", o.min_free_disk, "Stop before less than this is free, such as 20GB")
      ->transform(CLI::AsSizeValue(true))
      ->type_name("SIZE");
  many->add_flag("--retry", o.retry, "Export again what failed in an earlier run");
  many->add_flag("-q,--quiet", flags.voice.quiet, "Print errors only");
  many->add_flag("--json", flags.voice.json, "Print a machine-readable report on standard output");
  many->allow_extras();
  many->footer(
      "Other flags are passed on to every export: onnxport export-many list.txt out/ --jobs 2 --dtype fp16");
  return many;
}

int run_export_many(ExportManyFlags flags, const CLI::App& command) {
  ManyOptions& options = flags.options;
  options.flags = command.remaining();
  options.command = own_command();
  if (options.command.empty()) options.command = {std::filesystem::read_symlink("/proc/self/exe").string()};
  options.engine = many_engine();
  if (options.engine && command.count("--jobs") == 0) options.jobs = options.engine.jobs;
  options.interrupts = [] { return static_cast<int>(interrupts); };
  if (!flags.voice.quiet) {
    options.on_notice = note;
    options.on_result = [](const ManyResult& one, std::size_t done, std::size_t total) {
      note(fmt::format("[{}/{}] {} {}: {}", done, total, one.status, one.folder, facts(one)));
    };
  }
  std::signal(SIGINT, count_interrupt);
  std::signal(SIGTERM, count_interrupt);
  const ManyReport report = export_many(options);
  const bool ok = report.count("ok") == report.results.size();
  if (flags.voice.json) {
    json results = json::array();
    for (const ManyResult& one : report.results) results.push_back(describe(one));
    print_json({{"ok", ok},
                {"done", report.count("ok")},
                {"failed", report.count("failed")},
                {"open", report.count("open")},
                {"results", results}});
  } else if (!flags.voice.quiet) {
    print_table(report);
    say(fmt::format("{} ok, {} failed, {} open; see {}", report.count("ok"), report.count("failed"),
                    report.count("open"), (options.output / "summary.md").string()));
  }
  if (report.interrupted) return kInterrupted;
  if (report.disk_full) {
    note(fmt::format(
        "error: less than {} is free in {} (--min-free-disk): free some, and run the command again",
        text::human_bytes(options.min_free_disk), options.output.string()));
    return exit_status(ErrorCode::io);
  }
  return ok ? 0 : kSomeFailed;
}

}  // namespace onnxport::cli
