#include "cli/report.h"

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "cli/flag_groups.h"
#include "cli/output.h"

namespace onnxport::cli {

namespace fs = std::filesystem;

CLI::App* add_report(CLI::App& app, ReportFlags& flags) {
  CLI::App* report = app.add_subcommand(
      "report", "Write a page about exported files: bytes by module, inputs and outputs, exactness, graphs");
  report->add_option("onnx", flags.onnx, "Folder of an export, or an .onnx file of any producer")
      ->required()
      ->type_name("OUT|FILE.onnx");
  report
      ->add_option("-o,--output", flags.output,
                   "The page; default: report.html in the folder, or beside the file")
      ->type_name("PAGE.html");
  report
      ->add_option("--data", flags.data,
                   "Also show this output of `export onnx`, `validate` or `bench` with --json (repeatable)")
      ->type_name("FILE.json")
      ->allow_extra_args(false);
  add_voice(*report, flags.voice);
  report->footer(
      "Examples: onnxport report out/\n"
      "          onnxport validate model/ out/ --json > checks.json && onnxport report out/ --data "
      "checks.json\n"
      "`onnxport export onnx … --report PAGE` knows more: the graph as its definition builds it, and the\n"
      "tensors that weights are made of.");
  return report;
}

int run_report(const ReportFlags& flags) {
  const ReportContent content{.onnx = {flags.onnx}, .result_files = flags.data};
  std::error_code error;
  const fs::path folder = fs::is_directory(flags.onnx, error) ? flags.onnx : flags.onnx.parent_path();
  const fs::path page = flags.output.empty() ? folder / "report.html" : flags.output;
  write_page(content, page, flags.voice);
  if (flags.voice.json) print_json({{"ok", true}, {"page", page.string()}, {"bytes", fs::file_size(page)}});
  return 0;
}

void add_report_flag(CLI::App& app, fs::path& page) {
  app.add_option("--report", page,
                 "Also write a page about the result, which a browser shows without network")
      ->type_name("PAGE.html");
}

void write_page(const ReportContent& content, const fs::path& page, const Voice& voice) {
  write_report(content, page);
  if (voice.json || voice.quiet) return;
  note(fmt::format("wrote {}", page.string()));
}

}  // namespace onnxport::cli
