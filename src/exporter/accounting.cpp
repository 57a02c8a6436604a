// Which tensors of a checkpoint are a surprise.
//
// A definition makes its modules and its graph in one go, so only building graphs tells which tensors a task
// reads. That costs nothing for a checkpoint that has what its task needs: the graphs of other tasks are
// built only when tensors were left over.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "exporter/model_weights.h"
#include "onnxport/error.h"
#include "onnxport/model.h"
#include "onnxport/plan.h"
#include "onnxport/tasks_manager.h"
#include "support/text.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;

/// The names, or the first of very many.
std::string some(std::span<const std::string> names) {
  constexpr std::size_t most = 8;
  if (names.size() <= most) return text::join(names);
  return fmt::format("{}, … ({} in all)", text::join(names.first(most)), names.size());
}

/// Builds the graphs of the model's components for the weights they ask for, but for those of `built`. A
/// checkpoint that is not for the model's task lacks some.
void ask_for_weights(const Model& model, const std::set<std::string>& built) {
  try {
    const auto config = model.definition().onnx_config(model.config(), model.task(), {});
    ExportPlan plan{.model = model};
    config->describe(plan, {.split = Split::apart});
    for (const Component& component : plan.components) {
      if (!built.contains(component.name)) model.build(component);
    }
  } catch (const ExportError&) {
    // What was asked for before counts.
  }
}

}  // namespace

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
    // Graphs of this export were built already, and what they read is known.
    const bool same = other.definition_ == definition_ && other.task_ == task_;
    other.weights_ = weights_->unread();
    ask_for_weights(other, same ? weights_->built : std::set<std::string>());
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
        fmt::format("unexpected tensors in {}: {}; no task of '{}' reads them, so the checkpoint may have "
                    "another architecture; --ignore-unexpected exports it anyway",
                    file, some(keys), definition_->model_type));
  }
  if (const std::vector<std::string> knobs = config_.unread_knobs(); !knobs.empty()) {
    complaints.push_back(
        fmt::format("{} sets {}, which the definition of '{}' does not read, so the export may differ from "
                    "the original; --ignore-unexpected exports it anyway",
                    config_.origin(), some(knobs), definition_->model_type));
  }
  if (!complaints.empty() && !ignore_unexpected) {
    throw ExportError(unread.empty() ? ErrorCode::bad_config : ErrorCode::bad_checkpoint,
                      text::join(complaints, "\n"));
  }
  return complaints;
}

}  // namespace onnxport
