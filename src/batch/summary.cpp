#include "batch/summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>

#include "support/json.h"
#include "support/text.h"

namespace onnxport::batch {
namespace {

using nlohmann::json;

/// As the content of a cell.
std::string cell(const std::string& text) {
  std::string safe;
  for (const char c : text) {
    if (c == '|' || c == '<') safe += '\\';
    safe += c == '\n' ? ' ' : c;
  }
  return safe;
}

/// What the report of an export says.
struct Facts {
  std::string task;
  std::uint64_t bytes = 0;
  double worst = -1;  ///< the largest difference, as a part of its tolerance; -1: not validated
};

Facts facts_of(const ManyResult& result) {
  Facts facts;
  const json report = try_parse_json<json>(result.report);
  if (!report.is_object()) return facts;
  try {
    facts.task = report.value("task", "");
    for (const json& file : report.value("files", json::array()))
      facts.bytes += file.value("bytes", std::uint64_t{0});
    for (const json& file : report.value("validation", json::array())) {
      for (const json& one : file.value("cases", json::array())) {
        for (const json& output : one.value("outputs", json::array())) {
          const double tolerance = output.value("tolerance", 0.0);
          if (tolerance > 0)
            facts.worst = std::max(facts.worst, output.value("max_difference", 0.0) / tolerance);
        }
      }
    }
  } catch (const json::exception&) {  // of another version: its numbers are left out
  }
  return facts;
}

}  // namespace

std::string summary_page(const ManyReport& report) {
  std::string page = fmt::format(
      "# Exports\n\n{} models: {} ok, {} failed, {} open.\n\n"
      "| Model | Flags | Status | Task | Size | Error, of its tolerance | Time | Memory | Folder |\n"
      "|---|---|---|---|---:|---:|---:|---:|---|\n",
      report.results.size(), report.count("ok"), report.count("failed"), report.count("open"));
  for (const ManyResult& one : report.results) {
    const Facts facts = facts_of(one);
    page += fmt::format("| {} | {} | {} | {} | {} | {} | {} | {} | {} |\n", cell(one.model),
                        cell(text::join(one.flags, " ")), one.status, cell(facts.task),
                        facts.bytes == 0 ? "" : text::human_bytes(facts.bytes),
                        facts.worst < 0 ? "" : fmt::format("{:.1f} %", 100 * facts.worst),
                        one.status == "open" ? "" : fmt::format("{:.1f} s", one.seconds),
                        one.peak_memory == 0 ? "" : text::human_bytes(one.peak_memory), cell(one.folder));
  }
  if (report.count("failed") == 0) return page;
  page += "\n## Failed\n\n";
  for (const ManyResult& one : report.results) {
    if (one.status != "failed") continue;
    page += fmt::format("- `{}` {}: {} ([log](logs/{}.log))\n", one.model, text::join(one.flags, " "),
                        cell(one.error), one.folder);
  }
  return page;
}

}  // namespace onnxport::batch
