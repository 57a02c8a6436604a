// Finds the folder of a model that a user names, and the files of a repository that an export needs.
#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "checkpoint/gguf.h"
#include "checkpoint/pipeline_lora.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/shards.h"
#include "checkpoint/weight_files.h"
#include "exporter/adapter_config.h"
#include "exporter/diffusers_definition.h"
#include "exporter/sentence_definition.h"
#include "exporter/timm_definition.h"
#include "hub/names.h"
#include "hub/repo.h"
#include "onnxport/config.h"
#include "onnxport/diffusers.h"
#include "onnxport/hub.h"
#include "onnxport/modules.h"
#include "onnxport/tasks_manager.h"
#include "pipeline/companions.h"
#include "pipeline/model_card.h"
#include "pipeline/model_folder.h"
#include "pipeline/pipeline_files.h"
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
  RemoteModel(hub::Repo& repo, const std::string& subfolder, std::string variant)
      : repo_(repo), top_(subfolder.empty() ? "" : subfolder + "/"), variant_(std::move(variant)) {
    for (const std::string& file : repo.files()) {
      if (file.starts_with(top_)) files_.insert(file.substr(top_.size()));
    }
  }

  bool has_adapter() const { return files_.contains(exporter::kAdapterConfig) || has_pipeline_adapter(); }

  /// The configuration, which tells whether the method is supported, then the weights and the tokenizer.
  void fetch_adapter() {
    if (has_pipeline_adapter()) return get({kPipelineLora});
    get({exporter::kAdapterConfig});
    exporter::read_adapter_config(repo_.folder() / top_);
    std::vector<std::string> wanted;
    for (const std::string& file : files_) {
      if (file.find('/') == file.npos && file != "config.json" && companions_.includes(file))
        wanted.push_back(file);
    }
    const std::string weights(
        exporter::kAdapterWeights[files_.contains(exporter::kAdapterWeights[0]) ? 0 : 1]);
    if (files_.contains(weights)) wanted.push_back(weights);
    get(wanted);
  }

  void fetch() {
    if (files_.contains(exporter::kModelIndex)) return fetch_pipeline();
    if (files_.contains("modules.json")) read_modules();
    const std::string config = in_model("config.json");
    const std::vector<std::string> gguf = gguf_files();
    if (!files_.contains(config) && gguf.empty()) {
      fail(ErrorCode::bad_config, "{} has no {}{}, which describes the model; {}", repo_.name(), top_, config,
           top_.empty() ? "is it in a --subfolder?" : "check --subfolder");
    }
    std::vector<std::string> companions, weights;
    for (const std::string& file : files_) {
      // Weights of a module are copied along too, but one format is enough.
      const std::string_view name = std::string_view(file).substr(file.rfind('/') + 1);
      const bool holds_weights = name == "model.safetensors" || name == "pytorch_model.bin";
      if (companions_.includes(file) && !holds_weights) companions.push_back(file);
    }
    get(companions);
    if (!gguf.empty()) return get(gguf);
    check_config();

    for (const std::string& folder : companions_.module_folders()) {
      if (const std::string file = weights_in(folder, ""); !file.empty()) weights.push_back(file);
    }
    weights.push_back(weights_in(companions_.model_folder(), variant_));
    if (weights.back().empty()) fail_without_weights(std::vector<std::string>(files_.begin(), files_.end()));
    get_weights(weights);
  }

 private:
  bool has_pipeline_adapter() const {
    return files_.contains(kPipelineLora) && !files_.contains(exporter::kAdapterConfig) &&
           !files_.contains(exporter::kModelIndex);
  }

  /// Configurations first, which tell whether all components are supported.
  void fetch_pipeline() {
    std::vector<std::string> small, weights;
    for (const std::string& file : files_) {
      const bool of_component =
          file.ends_with("/config.json") && std::count(file.begin(), file.end(), '/') == 1;
      if (of_component || pipeline::is_pipeline_companion(file)) small.push_back(file);
    }
    get(small);
    const TasksManager& tasks = TasksManager::instance();
    const auto config = exporter::read_diffusers_config(repo_.folder() / top_);
    exporter::diffusers_definition(tasks, config);
    const std::vector<std::string> components = components_of(config);
    const bool any = std::any_of(components.begin(), components.end(), [&](const std::string& component) {
      return !weights_in(component, variant_).empty();
    });
    for (const std::string& component : components) {
      get_component(tasks, config, component);
      weights.push_back(weights_in(component, variant_));
      if (weights.back().empty() && any) weights.back() = weights_in(component, "");
      if (weights.back().empty()) fail_without_weights(files_in(component));
    }
    get_weights(weights);
  }

  /// The files, and the shards of those that are an index.
  void get_weights(const std::vector<std::string>& weights) {
    std::vector<std::string> shards;
    get(weights);
    for (const std::string& file : weights) {
      if (!file.ends_with(".json")) continue;
      const std::string folder = file.substr(0, file.rfind('/') + 1);
      const std::string index = read_text_file(repo_.folder() / (top_ + file), safetensors::kMaxHeader);
      for (const auto& [key, shard] : safetensors::parse_index(index, file)) shards.push_back(folder + shard);
    }
    std::sort(shards.begin(), shards.end());
    shards.erase(std::unique(shards.begin(), shards.end()), shards.end());
    get(shards);
  }

  std::vector<std::string> files_in(const std::string& folder) const {
    std::vector<std::string> files;
    for (const std::string& file : files_) {
      if (file.starts_with(folder + "/")) files.push_back(file.substr(folder.size() + 1));
    }
    return files;
  }

  /// Learns from modules.json where the modules are. Refuses unknown ones before anything large is
  /// downloaded.
  void read_modules() {
    get({"modules.json"});
    const std::vector<SentenceModule> modules = onnxport::read_modules(repo_.folder() / top_);
    exporter::definition_of(TasksManager::instance(), modules, top_ + "modules.json");
    companions_ = pipeline::Companions(modules);
  }

  /// The path of a file in the folder of the model's configuration and weights.
  std::string in_model(const std::string& name) const {
    const std::string& folder = companions_.model_folder();
    return folder.empty() ? name : folder + "/" + name;
  }

  [[noreturn]] void fail_without_weights(const std::vector<std::string>& files) const {
    const std::string instead = instead_of_weights(files);
    fail(ErrorCode::bad_checkpoint, "{} has no readable weights: looked for {}{}{}{}", repo_.name(),
         text::join(weight_file_names(variant_)), variant_.empty() ? ", *.gguf" : "",
         instead.empty() ? "" : "; ", instead);
  }

  /// Refuses an unknown type before gigabytes of weights are downloaded. Without `architectures`, the task
  /// may stand in the model card, which is then needed without the network too.
  void check_config() {
    const fs::path folder = repo_.folder() / top_ / companions_.model_folder();
    if (exporter::is_timm_folder(folder)) {
      exporter::family_of(TasksManager::instance(), exporter::read_timm_config(folder));
      return;
    }
    const auto config = PretrainedConfig::from_pretrained(folder);
    const std::string& type = config.model_type();
    if (config.architectures().empty() && files_.contains(pipeline::kModelCard)) get({pipeline::kModelCard});
    const TasksManager& tasks = TasksManager::instance();
    const auto known = tasks.definitions();
    const bool is_known = std::any_of(known.begin(), known.end(),
                                      [&](const auto& definition) { return definition->model_type == type; });
    if (!is_known) tasks.get_definition(type);  // throws
  }

  /// The file that Checkpoint::open() will choose there; empty if there is none.
  std::string weights_in(const std::string& folder, const std::string& variant) const {
    for (const std::string& name : weight_file_names(variant)) {
      std::string file = folder.empty() ? name : fmt::format("{}/{}", folder, name);
      if (files_.contains(file)) return file;
    }
    return "";
  }

  /// The GGUF files of the model, if there are no files that Checkpoint::open() prefers.
  std::vector<std::string> gguf_files() const {
    if (!variant_.empty() || !weights_in(companions_.model_folder(), "").empty()) return {};
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
  std::string variant_;          // of the weights
  std::set<std::string> files_;  // below it
  pipeline::Companions companions_;
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
  RemoteModel remote(repo, subfolder, options.weights_variant);
  const bool adapter = holds != Holds::model && remote.has_adapter();
  if (holds == Holds::adapter && !adapter) fail_no_adapter(repo.name());
  if (adapter) {
    remote.fetch_adapter();
  } else {
    remote.fetch();
  }
  repo.publish();
  const fs::path folder = below(repo.folder(), subfolder);
  return {folder, adapter,
          repo.pipeline_tag().empty() ? pipeline::tag_of_card(folder / pipeline::kModelCard)
                                      : repo.pipeline_tag()};
}

}  // namespace pipeline

FoundModel find_model(const fs::path& model, const HubOptions& options) {
  pipeline::FoundFolder found = pipeline::find_folder(model, options, pipeline::Holds::model);
  return {std::move(found.path), std::move(found.pipeline_tag)};
}

fs::path get_model_folder(const fs::path& model, const HubOptions& options) {
  return find_model(model, options).folder;
}

}  // namespace onnxport
