#include "pipeline/stale_data.h"

#include <algorithm>
#include <set>
#include <string_view>

#include "onnxport/error.h"
#include "onnxport/inspect.h"
#include "support/file.h"

namespace onnxport::pipeline {
namespace {

namespace fs = std::filesystem;

void collect_data_files(const GraphSummary& graph, std::set<fs::path>& files) {
  for (const InitializerSummary& initializer : graph.initializers) {
    if (!initializer.file.empty()) files.insert(fs::path(initializer.file).lexically_normal());
  }
  for (const NodeSummary& node : graph.nodes) {
    for (const SubgraphSummary& inner : node.graphs) collect_data_files(inner.graph, files);
  }
}

/// `*.onnx_data`, `*.onnx.data`, and either with the number of a further file behind it.
bool is_data_file(std::string_view name) {
  const std::size_t number = name.find_last_not_of("0123456789");
  if (number != std::string_view::npos && number + 1 < name.size() && name[number] == '_')
    name = name.substr(0, number);
  return name.ends_with(".onnx_data") || name.ends_with(".onnx.data");
}

}  // namespace

std::vector<fs::path> remove_stale_data(const fs::path& folder) {
  std::vector<fs::path> data, models;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    if (!entry.is_regular_file(error)) continue;
    if (is_data_file(entry.path().filename().string())) data.push_back(entry.path());
    if (entry.path().extension() == ".onnx") models.push_back(entry.path());
  }
  if (data.empty()) return {};
  std::set<fs::path> used;
  try {
    for (const fs::path& model : models) collect_data_files(summarize(model).graph, used);
  } catch (const ExportError&) {
    return {};  // a file that is not ONNX may be anything
  }
  std::erase_if(data, [&](const fs::path& file) { return used.contains(file.filename()); });
  std::sort(data.begin(), data.end());
  for (const fs::path& file : data) {
    fs::remove(file, error);
    if (error) throw io_error("remove", file, error.value());
  }
  return data;
}

}  // namespace onnxport::pipeline
