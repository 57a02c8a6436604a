// Finds unexpected tensors in a checkpoint.
//
// A definition makes its modules and its graph together, so only building a graph shows which tensors a task
// reads. The graphs of other tasks are built only if tensors were left unread, so other checkpoints do not
// pay for this.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "config/json.h"
#include "exporter/adapters.h"
#include "exporter/model_weights.h"
#include "exporter/own_code.h"
#include "onnxport/error.h"
#include "onnxport/model.h"
#include "onnxport/plan.h"
#include "onnxport/tasks_manager.h"
#include "support/text.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;

/// The names, or only the first ones if there are very many.
std::string some(std::span<const std::string> names) {
  constexpr std::size_t most = 8;
  if (names.size() <= most) return text::join(names);
  return fmt::format("{}, … ({} in all)", text::join(names.first(most)), names.size());
}

/// Builds the graphs of the model's components, except those in `built`, to record the weights that they ask
/// for. A checkpoint for another task lacks some of them.
void ask_for_weights(const Model& model, const std::set<std::string>& built) {
  try {
    const auto config = model.definition().onnx_config(model.config(), model.task(), {});
    ExportPlan plan{.model = model};
    config->describe(plan, {.split = Split::apart});
    for (const Component& component : plan.components) {
      if (!built.contains(component.name)) model.build(component);
    }
  } catch (const ExportError&) {
    // Weights that were requested before the failure count.
  }
}

/// The keys of a module's configuration that it did not read, with their values.
std::vector<std::string> unread_keys(const PretrainedConfig& config) {
  std::vector<std::string> unread = config.unread_knobs();
  const nlohmann::json values = config::parse_json(config.text(), config.origin());
  for (const std::string& key : config.unknown_keys())
    unread.push_back(fmt::format("{} = {}", key, config::brief(values.at(key))));
  return unread;
}

std::string unread_complaint(const std::string& origin, const std::vector<std::string>& keys,
                             const std::string& reader) {
  return fmt::format(
      "{} sets {}, which {} does not read, so the export may differ from the original; "
      "--ignore-unexpected exports it anyway",
      origin, some(keys), reader);
}

}  // namespace

std::vector<std::string> Model::unread_tensors() const {
  const Weights::Part& root = weights_->parts.at("");
  return root.accounting->unread(*root.checkpoint, definition_->ignorable_keys);
}

std::vector<std::string> Model::check_accounting(bool ignore_unexpected) const {
  std::map<std::string, std::vector<std::string>> unread, heads;  // by subfolder
  std::vector<std::string> ignorable = definition_->ignorable_keys;
  // Tensors of the type's other tasks are expected, as are those of this task's other files and of the
  // architectures that the model consists of. All of these may ask for their weights too.
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
    // The graphs of this export were already built, so the tensors that they read are known.
    const bool same = other.definition_ == definition_ && other.task_ == task_;
    other.weights_ = weights_->unread();
    ask_for_weights(other, same ? weights_->built : std::set<std::string>());
    for (auto& [subfolder, keys] : unread) {
      const KeyAccounting& accounting = *other.weights_->parts.at(subfolder).accounting;
      std::vector<std::string>& misfits = heads[subfolder];
      std::erase_if(keys, [&](const std::string& key) {
        // A head of another task is known even if config.json gives it another size.
        if (accounting.is_misfit(key)) misfits.push_back(key);
        return accounting.is_read(key) || accounting.is_ignored(key) || accounting.is_misfit(key);
      });
    }
    std::erase_if(unread, [](const auto& item) { return item.second.empty(); });
  }
  for (auto& [subfolder, keys] : unread) {
    const Weights::Part& part = weights_->parts.at(subfolder);
    if (part.checkpoint->gguf()) continue;  // names without a place in the tree of modules
    const KeyAccounting& accounting = *part.accounting;
    std::vector<std::string>& outside = heads[subfolder];
    std::erase_if(keys, [&](const std::string& key) {
      const bool head = accounting.is_of_unread_head(key);
      if (head) outside.push_back(key);
      return head;
    });
  }
  std::erase_if(unread, [](const auto& item) { return item.second.empty(); });
  std::erase_if(heads, [](const auto& item) { return item.second.empty(); });

  const Weights::Part& root = weights_->parts.at("");
  std::vector<std::string> complaints =
      exporter::ignored_changes(*root.checkpoint, *root.accounting, weights_->adapted);
  const bool bad_tensors = !unread.empty() || !complaints.empty();
  const auto file_of = [&](const std::string& subfolder) {
    return (fs::path(subfolder) / weights_->parts.at(subfolder).checkpoint->name()).string();
  };
  for (const auto& [subfolder, keys] : unread) {
    complaints.push_back(
        fmt::format("unexpected tensors in {}: {}; no task of '{}' reads them, so the checkpoint may have "
                    "another architecture; --ignore-unexpected exports it anyway",
                    file_of(subfolder), some(keys), definition_->model_type));
  }
  if (const std::vector<std::string> knobs = config_.unread_knobs(); !knobs.empty()) {
    complaints.push_back(unread_complaint(config_.origin(), knobs,
                                          fmt::format("the definition of '{}'", definition_->model_type)));
  }
  for (const auto& [file, config] : weights_->configs) {
    if (const std::vector<std::string> keys = unread_keys(config); !keys.empty())
      complaints.push_back(unread_complaint(file, keys, fmt::format("the module '{}'", config.model_type())));
  }
  for (std::string& text : exporter::contradictions(config_, *definition_, task_))
    complaints.push_back(std::move(text));
  if (!complaints.empty() && !ignore_unexpected) {
    throw ExportError(bad_tensors ? ErrorCode::bad_checkpoint : ErrorCode::bad_config,
                      text::join(complaints, "\n"));
  }
  for (auto& [subfolder, keys] : heads) {
    std::sort(keys.begin(), keys.end());
    complaints.push_back(
        fmt::format("ignored tensors in {}: {}; they are outside of the base model, in heads that task '{}' "
                    "does not need",
                    file_of(subfolder), some(keys), task_));
  }
  return complaints;
}

}  // namespace onnxport
