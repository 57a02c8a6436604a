// Finds the folder of a model that a user names, and the files of a repository that an export needs.
#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/gguf.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/shards.h"
#include "exporter/adapter_config.h"
#include "hub/names.h"
#include "hub/repo.h"
#include "onnxport/config.h"
#include "onnxport/hub.h"
#include "onnxport/tasks_manager.h"
#include "pipeline/companions.h"
#include "pipeline/model_folder.h"
#include "support/fail.h"
#include "support/file.h"
#include "support/text.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;

/// Ids have at most one slash, and none at either end.
bool looks_like_path(const std::string& text) {
  return text.starts_with('.') || text.starts_with('/') || text.starts_with('~') || text.ends_with('/') ||
         std::count(text.begin(), text.end(), '/') > 1;
}

fs::path below(const fs::path& folder, const std::string& subfolder) {
  return subfolder.empty() ? folder : folder / subfolder;
}

[[noreturn]] void fail_no_adapter(const std::string& name) {
  fail(ErrorCode::bad_config, "--adapter: {} has no {}, expected the folder or repository of an adapter",
       name, exporter::kAdapterConfig);
}

/// The model's part of a repository.
class RemoteModel {
 public:
  RemoteModel(hub::Repo& repo, const std::string& subfolder)
      : repo_(repo), top_(subfolder.empty() ? "" : subfolder + "/") {
    for (const std::string& file : repo.files()) {
      if (file.starts_with(top_)) files_.insert(file.substr(top_.size()));
    }
  }

  bool has_adapter() const { return files_.contains(exporter::kAdapterConfig); }

  /// The configuration, which tells whether the method is supported, then the weights and the tokenizer.
  void fetch_adapter() {
    get({exporter::kAdapterConfig});
    exporter::read_adapter_config(repo_.folder() / top_);
    std::vector<std::string> wanted;
    for (const std::string& file : files_) {
      if (file.find('/') == file.npos && file != "config.json" && pipeline::is_companion(file))
        wanted.push_back(file);
    }
    const std::string weights(
        exporter::kAdapterWeights[files_.contains(exporter::kAdapterWeights[0]) ? 0 : 1]);
    if (files_.contains(weights)) wanted.push_back(weights);
    get(wanted);
  }

  void fetch() {
    const std::vector<std::string> gguf = gguf_files();
    if (!files_.contains("config.json") && gguf.empty()) {
      fail(ErrorCode::bad_config, "{} has no {}config.json, which describes the model; {}", repo_.name(),
           top_, top_.empty() ? "is it in a --subfolder?" : "check --subfolder");
    }
    std::vector<std::string> companions;
    std::set<std::string> folders = {""};  // that may hold weights
    for (const std::string& file : files_) {
      const std::size_t slash = file.find('/');
      const bool in_module = slash != file.npos && pipeline::is_module_folder(file.substr(0, slash));
      if (in_module) folders.insert(file.substr(0, slash + 1));
      // Weights of a module are copied along too, but one format is enough.
      if (pipeline::is_companion(file) && (!in_module || file.ends_with(".json"))) companions.push_back(file);
    }
    get(companions);
    if (!gguf.empty()) return get(gguf);
    check_type();

    std::vector<std::string> weights, shards;
    for (const std::string& folder : folders) {
      if (const std::string file = weights_in(folder); !file.empty()) weights.push_back(file);
    }
    if (weights_in("").empty()) {
      const auto names = Checkpoint::file_names();
      fail(ErrorCode::bad_checkpoint, "{} has no readable weights: looked for {}, *.gguf", repo_.name(),
           text::join(std::vector<std::string>(names.begin(), names.end())));
    }
    get(weights);
    for (const std::string& file : weights) {
      if (!file.ends_with(".index.json")) continue;
      const std::string folder = file.substr(0, file.rfind('/') + 1);
      const std::string index = read_text_file(repo_.folder() / (top_ + file), safetensors::kMaxHeader);
      for (const auto& [key, shard] : safetensors::parse_index(index, file)) shards.push_back(folder + shard);
    }
    std::sort(shards.begin(), shards.end());
    shards.erase(std::unique(shards.begin(), shards.end()), shards.end());
    get(shards);
  }

 private:
  /// Refuses an unknown type before gigabytes of weights are downloaded.
  void check_type() const {
    const std::string type = PretrainedConfig::from_pretrained(repo_.folder() / top_).model_type();
    const TasksManager& tasks = TasksManager::instance();
    const auto known = tasks.definitions();
    const bool is_known = std::any_of(known.begin(), known.end(),
                                      [&](const auto& definition) { return definition->model_type == type; });
    if (!is_known) tasks.get_definition(type);  // throws
  }

  /// The file that Checkpoint::open() will choose there; empty if there is none.
  std::string weights_in(const std::string& folder) const {
    for (const std::string_view name : Checkpoint::file_names()) {
      if (std::string file = folder + std::string(name); files_.contains(file)) return file;
    }
    return "";
  }

  /// The GGUF files of the model, if there are no files that Checkpoint::open() prefers.
  std::vector<std::string> gguf_files() const {
    if (!weights_in("").empty()) return {};
    std::vector<std::string> names;
    for (const std::string& file : files_) {
      if (file.find('/') == file.npos) names.push_back(file);
    }
    return gguf::choose(names, repo_.name(), "download one of them and give its path");
  }

  void get(std::vector<std::string> files) {
    for (std::string& file : files) file.insert(0, top_);
    repo_.fetch(files);
  }

  hub::Repo& repo_;
  std::string top_;              // "" or "folder/"
  std::set<std::string> files_;  // below it
};

}  // namespace

namespace pipeline {

FoundFolder find_folder(const fs::path& model, const HubOptions& options, Holds holds) {
  std::error_code ignored;
  if (fs::exists(model, ignored)) {
    if (options.on_notice && (!options.revision.empty() || options.force_download)) {
      options.on_notice(fmt::format("{} has no effect: '{}' is a local folder",
                                    options.revision.empty() ? "--force_download" : "--revision",
                                    model.string()));
    }
    const fs::path folder = below(model, options.subfolder);
    const bool adapter = holds != Holds::model && exporter::has_adapter(folder);
    if (holds == Holds::adapter && !adapter) fail_no_adapter(folder.string());
    return {folder, adapter};
  }
  if (looks_like_path(model.string())) {
    if (holds == Holds::adapter) fail_no_adapter(model.string());
    fail(ErrorCode::bad_config,
         "{}: no such folder; give a local checkpoint folder that holds config.json and the weights, or the "
         "id of a Hub repository (ORG/NAME)",
         model.string());
  }
  std::string subfolder = options.subfolder;
  while (subfolder.ends_with('/')) subfolder.pop_back();
  if (!subfolder.empty() && !hub::is_safe_path(subfolder)) {
    fail(ErrorCode::invalid_argument, "--subfolder '{}': expected the path of a folder inside the repository",
         options.subfolder);
  }
  hub::Repo repo(model.string(), options);
  RemoteModel remote(repo, subfolder);
  const bool adapter = holds != Holds::model && remote.has_adapter();
  if (holds == Holds::adapter && !adapter) fail_no_adapter(repo.name());
  if (adapter) {
    remote.fetch_adapter();
  } else {
    remote.fetch();
  }
  repo.publish();
  return {below(repo.folder(), subfolder), adapter};
}

}  // namespace pipeline

fs::path get_model_folder(const fs::path& model, const HubOptions& options) {
  return pipeline::find_folder(model, options, pipeline::Holds::model).path;
}

}  // namespace onnxport
