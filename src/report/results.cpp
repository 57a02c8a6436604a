#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "onnxport/error.h"
#include "report/data.h"
#include "support/json.h"

namespace onnxport::report {
namespace {

namespace fs = std::filesystem;

// The names that the page has for paths in results.
class Names {
 public:
  explicit Names(const std::vector<ModelFile>& files) : root_(common_folder(files)) {
    for (const ModelFile& file : files) {
      names_.emplace(file.path, file.name);
      const auto [it, is_new] = by_filename_.emplace(file.path.filename().string(), file.name);
      if (!is_new) it->second.clear();  // more than one
    }
  }

  std::string of(const std::string& path) const {
    const fs::path real = fs::weakly_canonical(path);
    if (const auto it = names_.find(real); it != names_.end()) return it->second;
    std::string relative = real.lexically_relative(root_).generic_string();
    if (!relative.empty() && !relative.starts_with("..")) return relative;
    // Files that were moved since then.
    const std::string filename = fs::path(path).filename().string();
    const auto it = by_filename_.find(filename);
    return it != by_filename_.end() && !it->second.empty() ? it->second : filename;
  }

 private:
  fs::path root_;
  std::map<fs::path, std::string> names_;
  std::map<std::string, std::string> by_filename_;
};

void rename(json& object, const char* key, const Names& names) {
  if (object.is_object() && object.contains(key) && object[key].is_string())
    object[key] = names.of(object[key].get<std::string>());
}

bool has_list(const json& one, const char* key) {
  return one.is_object() && one.contains(key) && one[key].is_array();
}
bool is_validation(const json& one) {
  return has_list(one, "cases") && has_list(one, "problems") && one.contains("file") &&
         one["file"].is_string();
}

}  // namespace

json sort_results(const std::vector<std::pair<std::string, std::string>>& results,
                  const std::vector<ModelFile>& files) {
  const Names names(files);
  json sorted = {{"export", nullptr}, {"validation", json::array()}, {"bench", nullptr}};
  // Later checks of a file replace earlier ones.
  const auto add_validation = [&](json list) {
    std::set<std::string> checked;
    for (json& one : list) {
      rename(one, "file", names);
      checked.insert(one["file"].get<std::string>());
    }
    json kept = json::array();
    for (json& one : sorted["validation"])
      if (!checked.contains(one["file"].get<std::string>())) kept.push_back(std::move(one));
    for (json& one : list) kept.push_back(std::move(one));
    sorted["validation"] = std::move(kept);
  };
  for (const auto& [origin, text] : results) {
    json result = try_parse_json<json>(text);
    const bool is_list = result.is_array() && !result.empty() && std::ranges::all_of(result, &is_validation);
    if (is_list) {
      add_validation(std::move(result));
    } else if (is_validation(result)) {
      add_validation(json::array({std::move(result)}));
    } else if (has_list(result, "validation") && has_list(result, "files") &&
               std::ranges::all_of(result["validation"], &is_validation)) {
      for (json& file : result["files"]) rename(file, "path", names);
      add_validation(std::move(result["validation"]));
      result.erase("validation");
      sorted["export"] = std::move(result);
    } else if (has_list(result, "files") && result.contains("provider")) {
      for (json& file : result["files"]) rename(file, "file", names);
      sorted["bench"] = std::move(result);
    } else {
      throw ExportError(
          ErrorCode::invalid_argument,
          fmt::format("{}: expected the output of `onnxport export onnx`, `validate` or `bench` "
                      "with --json, got {}",
                      origin, result.is_discarded() ? "no JSON" : "other JSON"));
    }
  }
  return sorted;
}

}  // namespace onnxport::report
