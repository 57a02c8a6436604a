#include "onnxport/report.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "measure/peak_memory.h"
#include "onnxport/error.h"
#include "onnxport/version.h"
#include "report/data.h"
#include "report/page.h"
#include "support/atomic_file.h"
#include "support/file.h"
#include "support/json.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;
using report::json;

// For the inside of a script: no name can end it. In JSON, this character stands only in strings.
std::string escaped(const std::string& text) {
  std::string safe;
  safe.reserve(text.size());
  for (const char c : text) {
    if (c == '<') {
      safe += "\\u003c";
    } else {
      safe += c;
    }
  }
  return safe;
}

}  // namespace

std::string report_data(const ReportContent& content) {
  json data = {{"onnxport", kVersion}, {"model", content.model}};
  if (content.made_here) data["peak_memory_bytes"] = measure::peak_memory();
  std::vector<fs::path> paths;
  for (const fs::path& path : content.onnx) {
    for (fs::path& file : find_model_files(path)) paths.push_back(std::move(file));
  }
  const std::vector<report::ModelFile> files = report::read_files(paths);
  auto results = content.results;
  for (const fs::path& file : content.result_files) results.emplace_back(file.string(), read_text_file(file));
  data["results"] = report::sort_results(results, files);
  data["links"] = report::find_links(files);
  data["graphs"] = json::array();
  for (const std::string& graph : content.graphs) data["graphs"].push_back(parse_json<json>(graph));
  data["files"] = json::array();
  for (const report::ModelFile& file : files) data["files"].push_back(report::describe(file));
  return data.dump(-1, ' ', false, json::error_handler_t::replace);
}

void check_report_path(const fs::path& page) {
  std::error_code error;
  const fs::path parent = page.parent_path();
  const fs::path folder = parent.empty() ? fs::path(".") : parent;
  if (fs::is_directory(page, error)) {
    throw ExportError(ErrorCode::io, fmt::format("{}: is a folder, expected the name of a page: {}",
                                                 page.string(), (page / "report.html").string()));
  }
  if (!fs::is_directory(folder, error)) {
    throw ExportError(ErrorCode::io, fmt::format("{}: the page cannot be written: there is no folder {}",
                                                 page.string(), folder.string()));
  }
  if (::access(folder.c_str(), W_OK) != 0) {
    throw ExportError(ErrorCode::io,
                      fmt::format("{}: the page cannot be written: no permission to write to {}",
                                  page.string(), folder.string()));
  }
}

void write_report(const ReportContent& content, const fs::path& page) {
  check_report_path(page);
  const std::string data = escaped(report_data(content));
  AtomicFile file(page);
  file.append(report::page_head());
  file.append(data);
  file.append(report::page_tail());
  file.flush();
  file.commit();
}

}  // namespace onnxport
