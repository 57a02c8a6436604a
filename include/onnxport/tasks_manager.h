/// TasksManager: the registry of architectures.
#pragma once

#include <concepts>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "onnxport/export_macro.h"
#include "onnxport/gguf.h"
#include "onnxport/interface.h"
#include "onnxport/middle_end.h"
#include "onnxport/model.h"
#include "onnxport/onnx_config.h"
#include "onnxport/roles.h"
#include "onnxport/scope.h"

namespace onnxport {

/// Makes the configuration class of an architecture.
using OnnxConfigConstructor = std::function<std::shared_ptr<const OnnxConfig>(
    PretrainedConfig config, std::string task, OnnxConfigOptions options)>;

/// Builds the outputs of a component's graph from its inputs. It reads weights from `model.scope()`, and the
/// task, part and states from the component.
using Forward =
    std::function<NamedValues(const Inputs& inputs, const Model& model, const Component& component)>;

struct ModelDefinition;

/// Another architecture inside a model.
struct ModelPart {
  /// Its key in config.json, which is also the prefix of its checkpoint keys; empty: it is the whole
  /// checkpoint.
  std::string key;
  std::shared_ptr<const ModelDefinition> definition;
};

/// The registry's entry for one architecture.
struct ModelDefinition {
  std::string model_type;
  std::vector<std::string> tasks;
  Forward forward;
  /// Keys (with `*`) that checkpoints of this type contain but no task reads.
  std::vector<std::string> ignorable_keys = {};
  /// Other keys for the same weights.
  KeyNames key_names = {};
  /// "transformers", "sentence_transformers", …
  std::string library = "transformers";
  OnnxConfigConstructor onnx_config = {};
  /// For a composite type (Sentence Transformers around an encoder, an encoder with a decoder): its parts.
  /// Their heads then count as known keys too.
  std::function<std::vector<ModelPart>(const PretrainedConfig& config)> parts = {};
  /// The subset of `tasks` that a model with this configuration has; unset: all of them.
  std::function<std::vector<std::string>(const PretrainedConfig& config)> tasks_of = {};
  /// Its roles in composite models. register_model() adds the encoder role that matches the configuration
  /// class. A type with roles may have no tasks of its own.
  Roles roles = {};
  /// Absent: this type does not support GGUF files.
  std::optional<GgufLayout> gguf = {};
  /// For library sentence_transformers: the kinds of modules that it builds, first that of the first module,
  /// which selects the definition. For library timm: the architectures of the family (onnxport/family.h).
  std::vector<std::string> modules = {};
};

/// How to open a checkpoint folder.
struct OpenOptions {
  std::string library = {};          ///< empty: inferred
  std::string weights_variant = {};  ///< "fp16": read model.fp16.safetensors instead of model.safetensors
  /// What the Hub calls the task of the repository. It decides if `architectures` of config.json does not.
  std::string pipeline_tag = {};
  /// Folders of LoRA adapters, which are merged into the weights in this order.
  std::vector<std::filesystem::path> adapters = {};
};

/// Makes a configuration that can create others of its own class (with_behavior).
template <class Config>
std::shared_ptr<const OnnxConfig> make_onnx_config(PretrainedConfig config, std::string task,
                                                   OnnxConfigOptions options) {
  options.make = make_onnx_config<Config>;
  return std::make_shared<Config>(std::move(config), std::move(task), std::move(options));
}

/// Adds the encoder role that matches the configuration class (text, images or audio), if the type has the
/// task feature-extraction; and that of a language model, if a text decoder generates with a past.
template <class Config>
void offer_roles(ModelDefinition& definition) {
  if constexpr (std::derived_from<Config, TextDecoderOnnxConfig>) {
    for (const std::string& task : definition.tasks) {
      if (task == "text-generation-with-past" && !definition.roles.language_model)
        definition.roles.language_model.emplace();
    }
  }
  std::optional<EncoderRole>* role = nullptr;
  if constexpr (std::derived_from<Config, TextEncoderOnnxConfig> ||
                std::derived_from<Config, TextDecoderOnnxConfig> ||
                std::derived_from<Config, TextSeq2SeqOnnxConfig>) {
    role = &definition.roles.text_model;
  } else if constexpr (std::derived_from<Config, VisionOnnxConfig>) {
    role = &definition.roles.vision_tower;
  } else if constexpr (std::derived_from<Config, AudioOnnxConfig> ||
                       std::derived_from<Config, AudioToTextOnnxConfig>) {
    role = &definition.roles.audio_encoder;
  }
  if (role == nullptr || role->has_value()) return;
  for (const std::string& task : definition.tasks) {
    if (task == "feature-extraction") role->emplace();
  }
}

/// The registry: model types, their tasks and their configuration classes.
class ONNXPORT_API TasksManager {
 public:
  /// The registry of this process, with all built-in architectures. Plugins register here.
  static TasksManager& instance();

  TasksManager();
  ~TasksManager();
  TasksManager(const TasksManager&) = delete;
  TasksManager& operator=(const TasksManager&) = delete;

  /// Registers an architecture with its configuration class. A later registration of the same type and
  /// library replaces an earlier one.
  template <class Config>
  void register_model(ModelDefinition definition) {
    offer_roles<Config>(definition);
    register_definition(std::move(definition), make_onnx_config<Config>);
  }
  void register_definition(ModelDefinition definition);
  /// Registers `model_type` with the definition of `original`, but its own class defaults. An alias needs its
  /// own fixtures.
  void register_alias(const std::string& model_type, std::string_view original);

  /// Throws ExportError(unsupported) that names similar types and explains how to add one.
  std::shared_ptr<const ModelDefinition> get_definition(std::string_view model_type,
                                                        std::string_view library = "transformers") const;
  /// The architecture of a part of a model, by the model_type of its configuration; `key` names the part in
  /// errors. If the type does not offer the role, throws ExportError(unsupported) that lists the types that
  /// do.
  std::shared_ptr<const ModelDefinition> get_part(const PretrainedConfig& part, std::string_view key,
                                                  Role role) const;
  /// The types that offer a role, sorted.
  std::vector<std::string> get_model_types_with_role(Role role,
                                                     std::string_view library = "transformers") const;
  /// The configuration class of (type, task). Throws ExportError(unsupported) that lists the supported tasks.
  OnnxConfigConstructor get_exporter_config_constructor(std::string_view model_type,
                                                        std::string_view task = "feature-extraction",
                                                        std::string_view library = "transformers") const;
  /// The same for an opened model. The image size comes from the preprocessor in its folder.
  OnnxConfigConstructor get_exporter_config_constructor(const Model& model) const;
  std::vector<std::string> get_supported_tasks_for_model_type(
      std::string_view model_type, std::string_view library = "transformers") const;
  /// Does the program itself define the type, and no plugin in its place?
  bool is_built_in(std::string_view model_type, std::string_view library = "transformers") const;
  /// The types that have tasks.
  std::vector<std::string> get_supported_model_types(std::string_view library = "transformers") const;
  /// All definitions, sorted by library and type. A definition without tasks is only a part of other models.
  std::vector<std::shared_ptr<const ModelDefinition>> definitions() const;

  /// Opens a checkpoint folder, or a .gguf file, for a task ("auto": inferred). `library` empty: inferred.
  /// Throws ExportError(unsupported) for a folder that holds an adapter which is not one of the given ones;
  /// see get_model_source().
  Model get_model_from_task(std::string_view task, const std::filesystem::path& folder,
                            std::string_view library = {}) const;
  Model get_model_from_task(std::string_view task, const std::filesystem::path& folder,
                            const OpenOptions& options) const;
  /// The task that "auto" gives: from `architectures` of config.json (or modules.json). If there are none, or
  /// the type has no such task, the weights are opened too: then it is the task whose head they have, or else
  /// feature-extraction.
  std::string infer_task_from_model(const std::filesystem::path& folder, std::string_view library = {}) const;
  /// modules.json: "sentence_transformers"; an architecture without a type: "timm"; else "transformers".
  static std::string infer_library_from_model(const std::filesystem::path& folder);
  /// "sequence-classification" -> "text-classification", "masked-lm" -> "fill-mask", …; other names are
  /// returned unchanged.
  static std::string map_from_synonym(std::string_view task);

 protected:
  /// What is registered so far is built in.
  void mark_built_in();

 private:
  // Not in the template: each definition would compile it.
  void register_definition(ModelDefinition&& definition, MakeOnnxConfig make);

  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace onnxport
