/// A checkpoint folder opened as a model.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "onnxport/config.h"
#include "onnxport/export_macro.h"
#include "onnxport/graph.h"
#include "onnxport/inputs.h"
#include "onnxport/interface.h"
#include "onnxport/onnx_config.h"
#include "onnxport/scope.h"

namespace onnxport {

struct ModelDefinition;

/// Where the files of a model are.
struct ModelFiles {
  std::filesystem::path path;        ///< the folder of the weights, or a .gguf file in it
  std::filesystem::path root = {};   ///< the folder of modules.json; empty: that of the weights
  std::string weights_variant = {};  ///< "fp16": read model.fp16.safetensors instead of model.safetensors
  /// Folders of LoRA adapters, which are merged into the weights in this order.
  std::vector<std::filesystem::path> adapters = {};
};

/// A model for one task: configuration, weights (nothing is loaded) and the definition that builds its graph.
/// It is a handle: copies share the checkpoint and its accounting.
class ONNXPORT_API Model {
 public:
  /// Throws ExportError(bad_config | bad_checkpoint | unsupported).
  Model(std::shared_ptr<const ModelDefinition> definition, PretrainedConfig config, const ModelFiles& files,
        std::string task);

  const PretrainedConfig& config() const { return config_; }
  /// The whole model: files and folders in it are relative to this.
  const std::filesystem::path& folder() const { return folder_; }
  /// The folder of config.json and the weights: folder(), unless the first module of Sentence Transformers
  /// has a folder of its own.
  const std::filesystem::path& weights_folder() const { return weights_folder_; }
  const std::string& task() const { return task_; }
  const ModelDefinition& definition() const { return *definition_; }
  /// Folders of the adapters that are merged into the weights.
  const std::vector<std::filesystem::path>& adapters() const { return adapters_; }
  /// Whether the configuration is not that of the config.json in the folder: it comes from a weights file
  /// (.gguf), or an adapter changes the number of labels or tokens.
  bool has_made_config() const;
  /// Notices for the user about how the checkpoint was read.
  const std::vector<std::string>& notices() const { return notices_; }
  /// Notices of the definition, from build(), each once.
  const std::vector<std::string>& build_notices() const;
  /// Adds one of these: what a user of the exported file must know or do.
  void add_notice(const std::string& text) const;
  /// The reason for the task if it was inferred ("architectures: BertForMaskedLM"); else empty.
  const std::string& task_reason() const { return task_reason_; }

  /// The same checkpoint with another configuration and its own accounting.
  Model with_config(PretrainedConfig config) const;

  /// An architecture inside this model, for one of its tasks: the part of config.json and of the checkpoint
  /// keys below `key`. Shares the accounting.
  Model part(const std::string& key, std::shared_ptr<const ModelDefinition> definition,
             std::string task) const;

  /// The same for an architecture whose keys begin at the root of this model. `config` is a part of this
  /// model's configuration.
  Model part(PretrainedConfig config, std::shared_ptr<const ModelDefinition> definition,
             std::string task) const;

  /// The same for an architecture whose keys begin below `prefix`. Names of keys hold at both levels.
  Model part(PretrainedConfig config, const std::string& prefix,
             std::shared_ptr<const ModelDefinition> definition, std::string task) const;

  /// Whether the checkpoint of an encoder with a decoder holds only the encoder, like the text encoders of
  /// diffusion models.
  bool has_encoder_alone() const;
  /// The root of the model's keys.
  Scope scope() const;
  /// The root of the keys of a subfolder (`2_Dense`) with its own weights file.
  Scope scope_of(const std::string& subfolder) const;
  /// The same for another checkpoint folder that the user named, such as that of a vocoder.
  Scope scope_of_other(const std::filesystem::path& folder) const;
  /// config.json of such a folder, of a type that has no model_type in it: `kind`. All of its keys must be
  /// read, or check_accounting() complains.
  PretrainedConfig read_other_config(const std::filesystem::path& folder, const std::string& kind) const;
  /// JSON text of a file in the folder (`modules.json`). Throws ExportError(bad_config) if it is missing.
  std::string read_file(const std::string& name) const;
  bool has_file(const std::string& name) const;
  /// A configuration file in the folder (`1_Pooling/config.json`), of a module called `kind`. All of its keys
  /// must be read, or check_accounting() complains.
  PretrainedConfig read_config(const std::string& name, const std::string& kind) const;

  /// Builds the graph of a component of this model and task: inputs, nodes and outputs. Integer inputs of
  /// another dtype are cast to int64 first; patches are applied last. Throws ExportError(internal) if the
  /// component has another task, or if the outputs of the definition differ from those of the interface.
  Graph build(const Component& component) const;
  /// The same for the component that `config` describes.
  Graph build(const OnnxConfig& config, const DummyShapes& shapes = {}, bool dynamic_axes = true) const;

  /// The tensors that no build() asked for, without those that the definition ignores.
  std::vector<std::string> unread_tensors() const;

  /// Call it after build() of all components of an export. Throws ExportError(bad_checkpoint) for unread
  /// tensors that belong to no other component or task of the type, and ExportError(bad_config) for unread
  /// configuration keys. With `ignore_unexpected`, it returns them instead. Returns notices about tensors of
  /// heads that this task does not need: outside of the base model, in a module of which nothing was read, or
  /// of another task and of another size. If tensors were left unread, it also builds the other components
  /// and tasks of the type, to find out which tensors they read.
  std::vector<std::string> check_accounting(bool ignore_unexpected) const;

  /// Number of elements of all float tensors in the checkpoint.
  std::int64_t num_parameters() const;
  /// Bytes of the files that hold the weights.
  std::uint64_t checkpoint_bytes() const;

  struct Weights;  ///< opaque

 private:
  void settle_tie();

  friend class TasksManager;
  std::shared_ptr<const ModelDefinition> definition_;
  PretrainedConfig config_;
  std::filesystem::path folder_, weights_folder_;
  std::string task_;
  std::string task_reason_;
  std::vector<std::filesystem::path> adapters_;
  bool adapted_config_ = false;
  std::string prefix_;                   // of the keys of a part
  std::vector<KeyNamesAt> outer_names_;  // of the models around a part, from the inside out
  std::vector<std::string> notices_;
  std::shared_ptr<Weights> weights_;
};

}  // namespace onnxport
