#include "onnxport/model.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "checkpoint/accounting.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/gguf.h"
#include "config/json.h"
#include "exporter/gguf_model.h"
#include "exporter/quantization.h"
#include "onnxport/error.h"
#include "onnxport/tasks_manager.h"
#include "support/text.h"
#include "transform/patch.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;

/// `folder / name`, where the name comes from a file of the checkpoint and must not lead out of it.
fs::path below(const fs::path& folder, const std::string& name) {
  const fs::path relative(name);
  const bool leads_out = relative.is_absolute() ||
                         std::find(relative.begin(), relative.end(), "..") != relative.end() || name.empty();
  if (leads_out) {
    throw ExportError(ErrorCode::bad_config, fmt::format("'{}' is no place below the checkpoint folder '{}'",
                                                         name, folder.string()));
  }
  return folder / relative;
}

/// The names, or the first of very many.
std::string some(std::span<const std::string> names) {
  constexpr std::size_t most = 8;
  if (names.size() <= most) return text::join(names);
  return fmt::format("{}, … ({} in all)", text::join(names.first(most)), names.size());
}

/// Is this a length that strides divided, and that goes by the name of what was divided, or by one that no
/// input has?
bool comes_from(const Dim& dim, const Dim& called, const std::set<std::string>& known) {
  if (!dim.has_floor()) return false;
  const std::vector<std::string> own = dim.symbols(), names = called.symbols();
  return std::all_of(names.begin(), names.end(), [&](const std::string& name) {
    return !known.contains(name) || std::find(own.begin(), own.end(), name) != own.end();
  });
}

/// Outputs must be those of the configuration class, in its order, and an axis that it calls dynamic must be
/// the symbol that the ops inferred, or come from it. (An axis that turns out to be fixed stays a number.)
void check_outputs(const NamedValues& outputs, const OnnxConfig& config, bool dynamic_axes) {
  const AxesByName declared = config.outputs();
  const std::string what =
      fmt::format("the definition of '{}' for task '{}'", config.config().model_type(), config.task());
  const auto names = [](const auto& list) {
    std::vector<std::string> result;
    result.reserve(list.size());
    for (const auto& item : list) result.push_back(item.first);
    return result;
  };
  if (names(outputs) != names(declared)) {
    throw ExportError(ErrorCode::internal,
                      fmt::format("{} gives the outputs {}; its configuration class lists {}", what,
                                  text::join_quoted(names(outputs)), text::join_quoted(names(declared))));
  }
  // A file without a past has a past of length 0: symbols that no input has count nothing.
  std::set<std::string> known;
  for (const auto& [name, axes] : config.inputs()) {
    for (const auto& [axis, symbol] : axes) {
      for (const std::string& part : Dim::parse(symbol).symbols()) known.insert(part);
    }
  }
  std::map<std::string, Dim, std::less<>> absent;
  for (const auto& [name, axes] : declared) {
    for (const auto& [axis, symbol] : axes) {
      for (const std::string& part : config.axis_length(name, symbol).symbols()) {
        if (symbol.find('+') != symbol.npos && !known.contains(part)) absent[part] = 0;
      }
    }
  }
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const auto& [name, value] = outputs[i];
    if (!value)
      throw ExportError(ErrorCode::internal, fmt::format("{} gives no value for output '{}'", what, name));
    if (!dynamic_axes) continue;
    for (const auto& [axis, symbol] : declared[i].second) {
      const Dim& dim = value.dim(axis);
      const Dim called = config.axis_length(name, symbol).substitute(absent);
      const std::optional<Dim::Atom> atom = dim.is_constant() ? std::nullopt : Dim::open_atom(dim.str());
      const bool bounded = atom && atom->minimum && atom->expression == called;
      if (dim.constant() || dim == called || bounded || comes_from(dim, called, known)) continue;
      throw ExportError(
          ErrorCode::shape,
          fmt::format("{}: axis {} of output '{}' {} is '{}'; its configuration class calls it '{}'", what,
                      axis, name, to_string(value.shape()), dim.str(), symbol));
    }
  }
}

/// Builds the graphs of the model's files for the weights they ask for. A checkpoint that is not for the
/// model's task lacks some.
void ask_for_weights(const Model& model) {
  try {
    const auto config = model.definition().onnx_config(model.config(), model.task(), {});
    for (const OnnxFile& file : config->files(false)) model.build(*file.config);
  } catch (const ExportError&) {
    // What was asked for before counts.
  }
}

}  // namespace

/// The weights files of a model, opened when first asked for.
struct Model::Weights {
  struct Part {
    std::shared_ptr<const Checkpoint> checkpoint;
    std::shared_ptr<KeyAccounting> accounting = std::make_shared<KeyAccounting>();
  };
  std::map<std::string, Part> parts;  ///< by subfolder; "" is the checkpoint folder itself

  /// The same files with nothing read yet.
  std::shared_ptr<Weights> unread() const {
    auto copy = std::make_shared<Weights>();
    for (const auto& [subfolder, part] : parts) copy->parts.emplace(subfolder, Part{part.checkpoint});
    return copy;
  }
};

Model::Model(std::shared_ptr<const ModelDefinition> definition, PretrainedConfig config, const fs::path& path,
             std::string task)
    : definition_(std::move(definition)),
      config_(std::move(config)),
      folder_(gguf::is_file(path) ? path.parent_path() : path),
      task_(std::move(task)),
      weights_(std::make_shared<Weights>()) {
  if (folder_.empty()) folder_ = ".";
  task_ = TasksManager::map_from_synonym(task_);
  auto checkpoint = Checkpoint::open(path, read_quantization(config_));
  if (checkpoint->gguf()) {
    notices_ = exporter::gguf_notices(*checkpoint->gguf(), config_, folder_);
    checkpoint = exporter::restore(*checkpoint, *definition_, config_);
  }
  weights_->parts.emplace("", Weights::Part{std::move(checkpoint)});
}

bool Model::has_made_config() const { return exporter::is_made(config_); }

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
  return inner;
}

Model Model::part(PretrainedConfig config, std::shared_ptr<const ModelDefinition> definition,
                  std::string task) const {
  Model inner = part("", std::move(definition), std::move(task));
  inner.config_ = std::move(config);
  return inner;
}

Scope Model::scope() const {
  const Weights::Part& root = weights_->parts.at("");
  return {root.checkpoint, root.accounting, prefix_};
}

Scope Model::scope_of(const std::string& subfolder) const {
  auto it = weights_->parts.find(subfolder);
  if (it == weights_->parts.end()) {
    it = weights_->parts.emplace(subfolder, Weights::Part{Checkpoint::open(below(folder_, subfolder))}).first;
  }
  return {it->second.checkpoint, it->second.accounting};
}

std::string Model::read_file(const std::string& name) const {
  return config::read_json_text(below(folder_, name));
}

Graph Model::build(const OnnxConfig& config, const DummyShapes& shapes, bool dynamic_axes) const {
  if (config.task() != task_) {
    throw ExportError(ErrorCode::internal,
                      fmt::format("the model is opened for task '{}', the configuration class is for '{}'",
                                  task_, config.task()));
  }
  Graph graph(config.float_dtype());
  NamedValues inputs;
  for (auto& [name, type] : config.input_types(shapes, dynamic_axes)) {
    inputs.emplace_back(name, graph.input(name, type));
  }
  const NamedValues outputs = definition_->forward(Inputs(std::move(inputs)), *this, config);
  check_outputs(outputs, config, dynamic_axes);
  for (const auto& [name, value] : outputs) graph.output(name, value);
  verify(graph);
  return transform::patch(std::move(graph), config.patching_specs());
}

std::vector<std::string> Model::check_accounting(bool ignore_unexpected) const {
  std::map<std::string, std::vector<std::string>> unread;  // by subfolder
  std::vector<std::string> ignorable = definition_->ignorable_keys;
  // Heads of the type's other tasks are no surprise, nor are the other files of this one, nor those of the
  // architectures that it is made of: all of them may ask for their weights too.
  Model unaccounted = *this;
  unaccounted.config_ = config_.unaccounted();
  std::vector<Model> others;
  const auto add = [&](const std::string& key, const std::shared_ptr<const ModelDefinition>& definition) {
    for (const std::string& task : definition->tasks)
      others.push_back(unaccounted.part(key, definition, task));
  };
  add("", definition_);
  for (const ModelPart& part :
       definition_->parts ? definition_->parts(unaccounted.config_) : std::vector<ModelPart>()) {
    add(part.key, part.definition);
    for (const std::string& pattern : part.definition->ignorable_keys)
      ignorable.push_back(part.key.empty() ? pattern : part.key + "." + pattern);
  }
  for (const auto& [subfolder, part] : weights_->parts) {
    auto keys = part.accounting->unread(*part.checkpoint, ignorable);
    if (!keys.empty()) unread.emplace(subfolder, std::move(keys));
  }

  for (Model& other : others) {
    if (unread.empty()) break;
    other.weights_ = weights_->unread();
    ask_for_weights(other);
    for (auto& [subfolder, keys] : unread) {
      const KeyAccounting& accounting = *other.weights_->parts.at(subfolder).accounting;
      std::erase_if(keys, [&](const std::string& key) {
        return accounting.is_read(key) || accounting.is_ignored(key);
      });
    }
    std::erase_if(unread, [](const auto& item) { return item.second.empty(); });
  }

  std::vector<std::string> complaints;
  for (const auto& [subfolder, keys] : unread) {
    const std::string file =
        (fs::path(subfolder) / weights_->parts.at(subfolder).checkpoint->name()).string();
    complaints.push_back(
        fmt::format("unexpected tensors in {}: {}; no task of '{}' reads them, so the checkpoint may be of "
                    "another architecture; --ignore-unexpected goes on",
                    file, some(keys), definition_->model_type));
  }
  if (const std::vector<std::string> knobs = config_.unread_knobs(); !knobs.empty()) {
    complaints.push_back(
        fmt::format("{} asks for {}, which the definition of '{}' does not read, so the export may differ "
                    "from the original; --ignore-unexpected goes on",
                    config_.origin(), some(knobs), definition_->model_type));
  }
  if (!complaints.empty() && !ignore_unexpected) {
    throw ExportError(unread.empty() ? ErrorCode::bad_config : ErrorCode::bad_checkpoint,
                      text::join(complaints, "\n"));
  }
  return complaints;
}

std::int64_t Model::num_parameters() const {
  std::int64_t count = 0;
  for (const auto& [subfolder, part] : weights_->parts) count += part.checkpoint->num_parameters();
  return count;
}

}  // namespace onnxport
