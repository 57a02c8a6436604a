/// The command `report`, and the flag --report of other commands.
#pragma once

#include <filesystem>
#include <vector>

#include "cli/commands.h"
#include "onnxport/report.h"

namespace CLI {
class App;
}

namespace onnxport::cli {

struct ReportFlags {
  std::filesystem::path onnx;
  std::filesystem::path output;
  std::vector<std::filesystem::path> data;
  Voice voice;
};

/// Adds the command to the table. `flags` must outlive parsing.
CLI::App* add_report(CLI::App& app, ReportFlags& flags);
int run_report(const ReportFlags& flags);

/// --report PAGE
void add_report_flag(CLI::App& app, std::filesystem::path& page);
/// Writes the page and says so.
void write_page(const ReportContent& content, const std::filesystem::path& page, const Voice& voice);

}  // namespace onnxport::cli
