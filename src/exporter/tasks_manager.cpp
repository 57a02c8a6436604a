#include "onnxport/tasks_manager.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "checkpoint/gguf.h"
#include "exporter/adapters.h"
#include "exporter/check_definition.h"
#include "exporter/diffusers_definition.h"
#include "exporter/gguf_model.h"
#include "exporter/infer_task.h"
#include "exporter/role_defaults.h"
#include "exporter/sentence_definition.h"
#include "exporter/task_name.h"
#include "exporter/timm_definition.h"
#include "onnxport/error.h"
#include "onnxport/modules.h"
#include "support/text.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view transformers = "transformers";
constexpr std::string_view sentence_transformers = "sentence_transformers";
constexpr std::string_view timm = "timm";
constexpr std::string_view diffusers = "diffusers";

void require_task(const ModelDefinition& definition, std::string_view task) {
  if (exporter::supports(definition, task)) return;
  throw ExportError(ErrorCode::unsupported,
                    fmt::format("task '{}' is not supported for model type '{}'; supported: {}", task,
                                definition.model_type, text::join(definition.tasks)));
}

}  // namespace

struct TasksManager::Impl {
  struct Key {
    std::string library;
    std::string model_type;
    auto operator<=>(const Key&) const = default;
  };
  std::map<Key, std::shared_ptr<const ModelDefinition>> definitions;
  std::set<Key> built_in;

  /// A checkpoint folder with its configuration and definition.
  struct Folder {
    PretrainedConfig config;
    std::shared_ptr<const ModelDefinition> definition;
    ModelFiles files;
  };
  static Folder open(const TasksManager& manager, const fs::path& path, const OpenOptions& options) {
    exporter::refuse_single_file(path);
    const fs::path root = gguf::is_file(path) ? path.parent_path() : path;
    const std::string library = options.library.empty() ? infer_library_from_model(root) : options.library;
    const bool has_modules = library == sentence_transformers;
    ModelFiles files{
        .path = path, .root = root, .weights_variant = options.weights_variant, .adapters = options.adapters};
    std::shared_ptr<const ModelDefinition> definition;
    if (has_modules) {
      const std::vector<SentenceModule> modules = read_modules(root);
      definition = exporter::definition_of(manager, modules, (root / "modules.json").string());
      if (root == path) files.path = root / modules.front().path;
      std::error_code ignored;
      if (!fs::exists(files.path, ignored)) {
        throw ExportError(ErrorCode::bad_config,
                          fmt::format("{}: the first module is in '{}': no such folder",
                                      (root / "modules.json").string(), modules.front().path));
      }
    }
    const bool is_timm = library == timm, is_diffusers = library == diffusers;
    PretrainedConfig config = is_timm        ? exporter::read_timm_config(root)
                              : is_diffusers ? exporter::read_diffusers_config(root)
                                             : exporter::read_config(manager, files.path);
    if (is_timm) {
      definition = exporter::family_of(manager, config);
    } else if (is_diffusers) {
      definition = exporter::diffusers_definition(manager, config);
    } else if (!has_modules) {
      definition = manager.get_definition(config.model_type(), library);
    }
    if (definition->tasks.empty()) {
      throw ExportError(
          ErrorCode::unsupported,
          fmt::format("{}: model type '{}' is only supported as a part of other models ({})", config.origin(),
                      definition->model_type, exporter::in_words(definition->roles)));
    }
    if (definition->tasks_of) {
      ModelDefinition narrowed = *definition;
      narrowed.tasks = definition->tasks_of(config.unaccounted());
      definition = std::make_shared<const ModelDefinition>(std::move(narrowed));
    }
    return {std::move(config), std::move(definition), std::move(files)};
  }
  static std::optional<exporter::InferredTask> infer_from_names(const Folder& folder,
                                                                std::string_view pipeline_tag) {
    const ModelDefinition& definition = *folder.definition;
    if (definition.library == sentence_transformers && exporter::supports(definition, "feature-extraction"))
      return exporter::InferredTask{"feature-extraction", "modules.json"};
    return exporter::task_from_names(definition, folder.config, pipeline_tag);
  }
};

TasksManager::TasksManager() : impl_(std::make_unique<Impl>()) {}
TasksManager::~TasksManager() = default;

void TasksManager::register_definition(ModelDefinition&& definition, MakeOnnxConfig make) {
  definition.onnx_config = make;
  register_definition(std::move(definition));
}

void TasksManager::register_definition(ModelDefinition definition) {
  exporter::check_definition(definition);
  exporter::complete_roles(definition);
  Impl::Key key{definition.library, definition.model_type};
  impl_->built_in.erase(key);
  impl_->definitions[std::move(key)] = std::make_shared<const ModelDefinition>(std::move(definition));
}

void TasksManager::mark_built_in() {
  for (const auto& [key, definition] : impl_->definitions) impl_->built_in.insert(key);
}

bool TasksManager::is_built_in(std::string_view model_type, std::string_view library) const {
  return impl_->built_in.contains({std::string(library), std::string(model_type)});
}

void TasksManager::register_alias(const std::string& model_type, std::string_view original) {
  ModelDefinition definition = *get_definition(original);
  definition.model_type = model_type;
  register_definition(std::move(definition));
}

std::shared_ptr<const ModelDefinition> TasksManager::get_definition(std::string_view model_type,
                                                                    std::string_view library) const {
  const auto it = impl_->definitions.find({std::string(library), std::string(model_type)});
  if (it != impl_->definitions.end()) return it->second;

  const std::vector<std::string> types = get_supported_model_types(library);
  if (types.empty()) {
    throw ExportError(ErrorCode::unsupported, fmt::format("library '{}' is not supported", library));
  }
  const std::vector<std::string> near = text::nearest(model_type, types);
  throw ExportError(ErrorCode::unsupported,
                    fmt::format("model type '{}' of library '{}' is not supported; {}; "
                                "docs/adding-an-architecture.md explains how to add it",
                                model_type, library,
                                near.empty() ? fmt::format("{} types are, see `onnxport list`", types.size())
                                             : "similar types are: " + text::join(near)));
}

std::shared_ptr<const ModelDefinition> TasksManager::get_part(const PretrainedConfig& part,
                                                              std::string_view key, Role role) const {
  const std::string& type = part.model_type();
  const auto found = impl_->definitions.find({std::string(transformers), type});
  if (found != impl_->definitions.end() && found->second->roles.offers(role)) return found->second;

  constexpr std::size_t most = 10;
  const std::vector<std::string> all = get_model_types_with_role(role);
  const std::vector<std::string> named = all.size() <= most ? all : text::nearest(type, all);
  throw ExportError(ErrorCode::unsupported,
                    fmt::format("{}: {} is of type '{}', which does not offer the role '{}'; {}",
                                part.origin(), key, type, to_string(role),
                                named.empty()       ? fmt::format("{} types do", all.size())
                                : all.size() > most ? "similar types that do: " + text::join(named)
                                                    : "types that do: " + text::join(named)));
}

std::vector<std::string> TasksManager::get_model_types_with_role(Role role, std::string_view library) const {
  std::vector<std::string> types;
  for (const auto& [key, definition] : impl_->definitions) {
    if (key.library == library && definition->roles.offers(role)) types.push_back(key.model_type);
  }
  return types;
}

OnnxConfigConstructor TasksManager::get_exporter_config_constructor(std::string_view model_type,
                                                                    std::string_view task,
                                                                    std::string_view library) const {
  const auto definition = get_definition(model_type, library);
  require_task(*definition, map_from_synonym(task));
  return definition->onnx_config;
}

OnnxConfigConstructor TasksManager::get_exporter_config_constructor(const Model& model) const {
  require_task(model.definition(), model.task());
  return [make = model.definition().onnx_config, folder = model.weights_folder(),
          encoder_alone = model.has_encoder_alone()](PretrainedConfig config, std::string task,
                                                     OnnxConfigOptions options) {
    if (options.preprocessors.empty()) options.preprocessors = load_preprocessors(folder);
    auto made = make(std::move(config), std::move(task), std::move(options));
    const auto both = std::dynamic_pointer_cast<const OnnxSeq2SeqConfigWithPast>(made);
    if (!both || !encoder_alone || exporter::base_task(both->task()) != "feature-extraction") return made;
    return std::shared_ptr<const OnnxConfig>(both->with_behavior(ConfigBehavior::encoder));
  };
}

std::vector<std::string> TasksManager::get_supported_tasks_for_model_type(std::string_view model_type,
                                                                          std::string_view library) const {
  return get_definition(model_type, library)->tasks;
}

std::vector<std::string> TasksManager::get_supported_model_types(std::string_view library) const {
  std::vector<std::string> types;
  for (const auto& [key, definition] : impl_->definitions) {
    if (key.library == library && !definition->tasks.empty()) types.push_back(key.model_type);
  }
  return types;
}

std::vector<std::shared_ptr<const ModelDefinition>> TasksManager::definitions() const {
  std::vector<std::shared_ptr<const ModelDefinition>> all;
  for (const auto& [key, definition] : impl_->definitions) all.push_back(definition);
  return all;
}

Model TasksManager::get_model_from_task(std::string_view task, const fs::path& folder,
                                        std::string_view library) const {
  return get_model_from_task(task, folder, OpenOptions{.library = std::string(library)});
}

Model TasksManager::get_model_from_task(std::string_view task, const fs::path& folder,
                                        const OpenOptions& options) const {
  exporter::require_adapter_of(folder, options.adapters);
  const Impl::Folder opened = Impl::open(*this, folder, options);
  const auto open_for = [&](std::string chosen) {
    require_task(*opened.definition, chosen);
    return Model(opened.definition, opened.config, opened.files, std::move(chosen));
  };
  if (task != "auto") {
    const std::string named = map_from_synonym(task);
    return open_for(opened.definition->library == diffusers ? exporter::pipeline_task(named) : named);
  }
  std::optional<exporter::InferredTask> inferred;
  if (auto task_of_adapter = exporter::task_of_adapters(*opened.definition, options.adapters))
    inferred = {*std::move(task_of_adapter), "task_type of the adapter"};
  if (!inferred) inferred = Impl::infer_from_names(opened, options.pipeline_tag);
  if (!inferred) inferred = exporter::task_from_tensors(open_for(opened.definition->tasks.front()));
  Model model = open_for(inferred->task);
  const std::string without_past(exporter::base_task(inferred->task));
  if (exporter::has_past(inferred->task) && exporter::supports(*opened.definition, without_past) &&
      model.has_encoder_alone())
    model = open_for(without_past);
  model.task_reason_ = inferred->reason;
  return model;
}

std::string TasksManager::infer_task_from_model(const fs::path& folder, std::string_view library) const {
  const Impl::Folder opened = Impl::open(*this, folder, {.library = std::string(library)});
  if (const auto inferred = Impl::infer_from_names(opened, {})) return inferred->task;
  return get_model_from_task("auto", folder, library).task();
}

std::string TasksManager::infer_library_from_model(const fs::path& folder) {
  std::error_code error;
  if (fs::exists(folder / "modules.json", error)) return std::string(sentence_transformers);
  if (exporter::is_diffusers_folder(folder)) return std::string(diffusers);
  return std::string(exporter::is_timm_folder(folder) ? timm : transformers);
}

std::string TasksManager::map_from_synonym(std::string_view task) {
  static const std::map<std::string_view, std::string_view> synonyms = {
      {"audio-ctc", "automatic-speech-recognition"},
      {"causal-lm", "text-generation"},
      {"ctc", "automatic-speech-recognition"},
      {"default", "feature-extraction"},
      {"embeddings", "feature-extraction"},
      {"image-feature-extraction", "feature-extraction"},
      {"masked-lm", "fill-mask"},
      {"ner", "token-classification"},
      {"seq2seq-lm", "text2text-generation"},
      {"sentiment-analysis", "text-classification"},
      {"sequence-classification", "text-classification"},
      {"speech2seq-lm", "automatic-speech-recognition"},
      {"stable-diffusion", "text-to-image"},
      {"stable-diffusion-xl", "text-to-image"},
      {"summarization", "text2text-generation"},
      {"text-to-speech", "text-to-audio"},
      {"translation", "text2text-generation"},
      {"vision2seq-lm", "image-to-text"},
      {"zero-shot-classification", "text-classification"},
  };
  const auto it = synonyms.find(exporter::base_task(task));
  if (it == synonyms.end()) return std::string(task);
  return fmt::format("{}{}", it->second, exporter::has_past(task) ? exporter::kWithPast : "");
}

}  // namespace onnxport
