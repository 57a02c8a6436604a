#include "onnxport/model.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "checkpoint/gguf.h"
#include "config/json.h"
#include "exporter/adapters.h"
#include "exporter/check_outputs.h"
#include "exporter/diffusers_definition.h"
#include "exporter/gguf_model.h"
#include "exporter/model_weights.h"
#include "exporter/own_code.h"
#include "exporter/quantization.h"
#include "onnxport/diffusers.h"
#include "onnxport/error.h"
#include "onnxport/op.h"
#include "onnxport/tasks_manager.h"
#include "transform/patch.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;

/// `folder / name`. The name comes from a file of the checkpoint and must not lead out of the folder.
fs::path below(const fs::path& folder, const std::string& name) {
  const fs::path relative(name);
  const bool leads_out = relative.is_absolute() ||
                         std::find(relative.begin(), relative.end(), "..") != relative.end() || name.empty();
  if (leads_out) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("'{}' is not inside the checkpoint folder '{}'", name, folder.string()));
  }
  return folder / relative;
}

/// A model of an encoder and a decoder of other types may store what they share only once.
std::shared_ptr<const Checkpoint> with_ties(std::shared_ptr<const Checkpoint> checkpoint,
                                            const PretrainedConfig& accounted) {
  const PretrainedConfig config = accounted.unaccounted();
  const bool has_parts = config.has("encoder") && config.has("decoder");
  if (!has_parts || !config.flag("tie_encoder_decoder", false)) return checkpoint;
  return checkpoint->tied("decoder", "encoder");
}

// The spellings alone: no weight takes the place of another.
std::shared_ptr<const KeyNames> untied(const KeyNames& names) {
  return std::make_shared<const KeyNames>(KeyNames{.newer = names.newer});
}

}  // namespace

Model::Model(std::shared_ptr<const ModelDefinition> definition, PretrainedConfig config,
             const ModelFiles& files, std::string task)
    : definition_(std::move(definition)),
      config_(std::move(config)),
      weights_folder_(gguf::is_file(files.path) ? files.path.parent_path() : files.path),
      task_(std::move(task)),
      adapters_(files.adapters),
      weights_(std::make_shared<Weights>()) {
  if (weights_folder_.empty()) weights_folder_ = ".";
  folder_ = files.root.empty() ? weights_folder_ : files.root;
  task_ = TasksManager::map_from_synonym(task_);
  notices_ = exporter::own_code_notices(config_);
  const bool is_pipeline = definition_->library == "diffusers" && !components_of(config_).empty();
  auto checkpoint = is_pipeline
                        ? exporter::open_pipeline(files.path, config_, files.weights_variant)
                        : Checkpoint::open(files.path, read_quantization(config_), files.weights_variant);
  if (checkpoint->gguf()) {
    for (std::string& text : exporter::gguf_notices(*checkpoint->gguf(), config_, weights_folder_))
      notices_.push_back(std::move(text));
    checkpoint = exporter::restore(*checkpoint, *definition_, config_);
  }
  if (!adapters_.empty()) {
    exporter::AdaptedCheckpoint adapted =
        exporter::apply_adapters(std::move(checkpoint), config_, task_, adapters_);
    checkpoint = std::move(adapted.checkpoint);
    weights_->adapted = std::move(adapted.changed);
    std::move(adapted.notices.begin(), adapted.notices.end(), std::back_inserter(notices_));
    if (adapted.config) {
      config_ = *std::move(adapted.config);
      adapted_config_ = true;
      read_quantization(config_);  // the weights are open, but the new accounting does not know
    }
  }
  weights_->parts.emplace("", Weights::Part{with_ties(std::move(checkpoint), config_)});
  settle_tie();
}

// Transformers 5 ties the output layer only if the checkpoint does not hold both weights. Version 4 obeys
// the configuration.
void Model::settle_tie() {
  const KeyNames& names = definition_->key_names;
  const PretrainedConfig reader = config_.unaccounted();
  if (names.head.empty() || config_.transformers_major() < 5 || !reader.flag("tie_word_embeddings", false))
    return;
  std::vector<KeyNamesAt> outer = outer_names_;
  for (KeyNamesAt& level : outer)
    if (level.names) level.names = untied(*level.names);
  const Weights::Part& part = weights_->parts.at("");
  const Scope root = Scope(part.checkpoint, part.accounting, prefix_, untied(names)).inside(std::move(outer));
  const bool has_table = std::any_of(names.embeddings.begin(), names.embeddings.end(),
                                     [&](const std::string& key) { return root.has(key); });
  if (has_table && root.has(names.head)) config_ = config_.settled("tie_word_embeddings", "false");
}

bool Model::has_made_config() const { return adapted_config_ || exporter::is_made(config_); }

Model Model::with_config(PretrainedConfig config) const {
  Model other = *this;
  other.config_ = std::move(config);
  read_quantization(other.config_);  // the weights are open, but the new accounting does not know
  other.weights_ = weights_->unread();
  return other;
}

Model Model::part(const std::string& key, std::shared_ptr<const ModelDefinition> definition,
                  std::string task) const {
  Model inner = *this;
  inner.definition_ = std::move(definition);
  inner.task_ = std::move(task);
  if (key.empty()) return inner;
  inner.config_ = config_.sub(key);
  inner.prefix_ = prefix_.empty() ? key : prefix_ + "." + key;
  inner.settle_tie();
  return inner;
}

Model Model::part(PretrainedConfig config, const std::string& prefix,
                  std::shared_ptr<const ModelDefinition> definition, std::string task) const {
  Model inner = part(std::move(config), std::move(definition), std::move(task));
  inner.outer_names_.insert(inner.outer_names_.begin(),
                            {prefix_.size(), {definition_, &definition_->key_names}});
  inner.prefix_ = prefix_.empty() || prefix.empty() ? prefix_ + prefix : prefix_ + "." + prefix;
  inner.settle_tie();
  return inner;
}

Model Model::part(PretrainedConfig config, std::shared_ptr<const ModelDefinition> definition,
                  std::string task) const {
  Model inner = part("", std::move(definition), std::move(task));
  inner.config_ = std::move(config);
  return inner;
}

bool Model::has_encoder_alone() const {
  const Scope root = scope();
  // Not base_model(), which would record that the type has this prefix.
  const Scope base = (root / "model").exists() ? root / "model" : root;
  return (base / "encoder").exists() && !(base / "decoder").exists();
}

Scope Model::scope() const {
  const Weights::Part& root = weights_->parts.at("");
  const Scope inner(root.checkpoint, root.accounting, prefix_, {definition_, &definition_->key_names});
  return outer_names_.empty() ? inner : inner.inside(outer_names_);
}

Scope Model::scope_of(const std::string& subfolder) const {
  const std::string name = subfolder.empty() ? "." : subfolder;  // empty: the model's own weights
  auto it = weights_->parts.find(name);
  if (it == weights_->parts.end())
    it = weights_->parts.emplace(name, Weights::Part{Checkpoint::open(below(folder_, name))}).first;
  return {it->second.checkpoint, it->second.accounting};
}

Scope Model::scope_of_other(const fs::path& folder) const {
  auto it = weights_->parts.find(folder.string());
  if (it == weights_->parts.end())
    it = weights_->parts.emplace(folder.string(), Weights::Part{Checkpoint::open(folder)}).first;
  return {it->second.checkpoint, it->second.accounting};
}

PretrainedConfig Model::read_other_config(const fs::path& folder, const std::string& kind) const {
  const fs::path file = folder / "config.json";
  PretrainedConfig config = PretrainedConfig::from_json(config::read_json_text(file), file.string(), kind);
  weights_->configs.insert_or_assign(file.string(), config);
  return config;
}

std::string Model::read_file(const std::string& name) const {
  return config::read_json_text(below(folder_, name));
}

bool Model::has_file(const std::string& name) const {
  std::error_code ignored;
  return fs::is_regular_file(below(folder_, name), ignored);
}

PretrainedConfig Model::read_config(const std::string& name, const std::string& kind) const {
  PretrainedConfig config = PretrainedConfig::from_json(read_file(name), name, kind);
  weights_->configs.insert_or_assign(name, config);
  return config;
}

const std::vector<std::string>& Model::build_notices() const { return weights_->notices; }

void Model::add_notice(const std::string& text) const {
  std::vector<std::string>& all = weights_->notices;
  if (std::find(all.begin(), all.end(), text) == all.end()) all.push_back(text);
}

Graph Model::build(const Component& component) const {
  if (component.task != task_) {
    throw ExportError(
        ErrorCode::internal,
        fmt::format("the model is opened for task '{}', but the configuration class is for '{}'", task_,
                    component.task));
  }
  weights_->built.insert(component.name);
  const DType dtype = component.interface.float_dtype;
  const bool wide = dtype == DType::f16 && exporter::runs_in_float32(*this, component);
  Graph graph(wide ? DType::f32 : dtype);
  NamedValues inputs;
  for (const TensorSpec& spec : component.interface.inputs) {
    Value value = graph.input(spec.name, {spec.dtype, spec.shape});
    // Definitions compute with int64, so that no sum or position overflows.
    if (is_integer(spec.dtype) && spec.dtype != DType::i64) {
      const ModulePath at(graph, "inputs");
      value = op::cast(value, DType::i64);
    } else if (is_float(spec.dtype) && spec.dtype != graph.float_dtype()) {
      const ModulePath at(graph, "inputs");
      value = op::cast(value, graph.float_dtype());
    }
    inputs.emplace_back(spec.name, value);
  }
  const NamedValues outputs = definition_->forward(Inputs(std::move(inputs)), *this, component);
  exporter::check_outputs(
      outputs, component.interface,
      fmt::format("the definition of '{}' for task '{}'", config_.model_type(), component.task));
  for (const auto& [name, value] : outputs) {
    const ModulePath at(graph, "outputs");
    graph.output(name, wide && is_float(value.dtype()) ? op::cast(value, dtype) : value);
  }
  verify(graph);
  return transform::patch(std::move(graph), component.patches);
}

Graph Model::build(const OnnxConfig& config, const DummyShapes& shapes, bool dynamic_axes) const {
  return build(config.component({}, shapes, dynamic_axes));
}

std::int64_t Model::num_parameters() const {
  std::int64_t count = 0;
  for (const auto& [subfolder, part] : weights_->parts) count += part.checkpoint->num_parameters();
  return count;
}

std::uint64_t Model::checkpoint_bytes() const {
  std::uint64_t bytes = 0;
  for (const auto& [subfolder, part] : weights_->parts) {
    for (const fs::path& file : part.checkpoint->files()) bytes += fs::file_size(file);
  }
  return bytes;
}

}  // namespace onnxport
