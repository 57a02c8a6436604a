#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "onnxport/bench.h"
#include "onnxport/recipe.h"
#include "onnxport/report.h"
#include "report/data.h"

namespace onnxport {

namespace fs = std::filesystem;

std::vector<fs::path> find_model_files(const fs::path& path) {
  std::error_code error;
  std::vector<fs::path> folders;
  if (fs::is_directory(path, error)) {
    for (const fs::directory_entry& entry : fs::directory_iterator(path))
      if (entry.is_directory()) folders.push_back(entry.path());
    std::ranges::sort(folders);
  }
  const auto has_models = [&](const fs::path& folder) {
    if (!fs::is_directory(folder, error)) return false;
    return std::ranges::any_of(fs::directory_iterator(folder), [](const fs::directory_entry& entry) {
      return entry.is_regular_file() && entry.path().extension() == ".onnx";
    });
  };
  // A pipeline has a folder for each of its models.
  std::vector<fs::path> files;
  if (!has_models(path) && !has_models(path / "onnx")) {
    for (const fs::path& folder : folders) {
      if (!has_models(folder)) continue;
      for (fs::path& file : find_onnx_files(folder)) files.push_back(std::move(file));
    }
  }
  return files.empty() ? find_onnx_files(path) : files;
}

namespace report {
namespace {

std::string type_of(const std::string& type, const auto& shape) {
  return fmt::format("{}[{}]", type, fmt::join(shape, ", "));
}

json describe(const std::vector<ValueSummary>& values) {
  json described = json::array();
  for (const ValueSummary& value : values)
    described.push_back({{"name", value.name}, {"dtype", value.type}, {"shape", value.shape}});
  return described;
}

json describe(const GraphSummary& graph) {
  json nodes = json::array();
  for (const NodeSummary& node : graph.nodes) {
    json one = {{"op", node.op_type}, {"name", node.name}, {"in", node.inputs}, {"out", node.outputs}};
    if (!node.domain.empty()) one["domain"] = node.domain;
    for (const auto& [name, value] : node.integers) one["attrs"][name] = value;
    for (const SubgraphSummary& inner : node.graphs) one["graphs"][inner.attribute] = describe(inner.graph);
    nodes.push_back(std::move(one));
  }
  json initializers = json::array();
  for (const InitializerSummary& tensor : graph.initializers) {
    initializers.push_back(
        {{"name", tensor.name}, {"dtype", tensor.type}, {"shape", tensor.shape}, {"bytes", tensor.bytes}});
    if (!tensor.file.empty()) initializers.back()["file"] = tensor.file;
  }
  json types = json::object();  // of the results of nodes
  for (const auto* values : {&graph.values, &graph.outputs}) {
    for (const ValueSummary& value : *values) types[value.name] = type_of(value.type, value.shape);
  }
  return {{"inputs", describe(graph.inputs)},
          {"outputs", describe(graph.outputs)},
          {"initializers", std::move(initializers)},
          {"nodes", std::move(nodes)},
          {"types", std::move(types)}};
}

// Suffixes of precisions, the longest first: "_q4f16" before "_q4".
std::vector<std::string> suffixes() {
  std::vector<std::string> all = {"_qint8_quantized", "_quint8_quantized"};
  for (const std::string& name : precision_names()) {
    if (std::string suffix = get_precision(name).suffix; !suffix.empty()) all.push_back(std::move(suffix));
  }
  std::ranges::sort(all, [](const std::string& a, const std::string& b) {
    return std::pair(b.size(), a) < std::pair(a.size(), b);
  });
  return all;
}

}  // namespace

fs::path common_folder(const std::vector<ModelFile>& files) {
  if (files.empty()) return {};
  fs::path common = files.front().path.parent_path();
  for (const ModelFile& file : files) {
    while (file.path.lexically_relative(common).string().starts_with("..") && common != common.parent_path())
      common = common.parent_path();
  }
  return common;
}

std::vector<ModelFile> read_files(const std::vector<fs::path>& paths) {
  std::vector<ModelFile> files;
  std::set<fs::path> seen;
  for (const fs::path& path : paths) {
    fs::path real = fs::weakly_canonical(path);
    if (seen.insert(real).second) files.emplace_back().path = std::move(real);
  }
  const fs::path common = common_folder(files);
  const std::vector<std::string> known = suffixes();
  for (ModelFile& file : files) {
    file.name = file.path.lexically_relative(common).generic_string();
    fs::path component = fs::path(file.name).replace_extension();
    std::string stem = component.filename().string();
    for (const std::string& suffix : known) {
      if (!stem.ends_with(suffix) || stem.size() == suffix.size()) continue;
      file.variant = suffix.substr(1);
      stem.resize(stem.size() - suffix.size());
      break;
    }
    file.component = component.replace_filename(stem).generic_string();
    if (file.component.starts_with("onnx/")) file.component.erase(0, 5);
    file.model = summarize_with_types(file.path);
  }
  return files;
}

json describe(const ModelFile& file) {
  json described = {{"file", file.name}, {"component", file.component}, {"variant", file.variant}};
  std::error_code error;
  const auto size_of_file = [&](const fs::path& path) {
    const std::uintmax_t size = fs::file_size(path, error);
    return error ? std::uintmax_t{0} : size;
  };
  described["bytes"] = size_of_file(file.path);
  std::set<std::string> data;
  for (const InitializerSummary& tensor : file.model.graph.initializers)
    if (!tensor.file.empty()) data.insert(tensor.file);
  described["data"] = json::array();
  for (const std::string& name : data)
    described["data"].push_back({{"file", name}, {"bytes", size_of_file(file.path.parent_path() / name)}});
  described["producer"] = file.model.producer;
  described["ir_version"] = file.model.ir_version;
  described["opsets"] = json::object();
  for (const auto& [domain, version] : file.model.opsets)
    described["opsets"][domain.empty() ? "ai.onnx" : domain] = version;
  described["graph"] = describe(file.model.graph);
  return described;
}

}  // namespace report
}  // namespace onnxport
