#include "exporter/infer_task.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "exporter/architectures.h"
#include "exporter/task_name.h"
#include "onnxport/error.h"
#include "onnxport/plan.h"
#include "support/text.h"

namespace onnxport::exporter {
namespace {

using Keys = std::vector<std::string>;

constexpr std::string_view kFeatures = "feature-extraction";

/// The tasks of the type without their pasts, each once.
std::vector<std::string> base_tasks(const ModelDefinition& definition) {
  std::vector<std::string> tasks;
  for (const std::string& task : definition.tasks) {
    std::string base = base_task(task);
    if (std::find(tasks.begin(), tasks.end(), base) == tasks.end()) tasks.push_back(std::move(base));
  }
  return tasks;
}

/// Why the names do not decide.
std::string missing_name(const ModelDefinition& definition, const PretrainedConfig& config) {
  const std::vector<std::string> architectures = config.unaccounted().architectures();
  if (architectures.empty()) return "'architectures' names no class";
  const std::string& first = architectures.front();
  const auto tasks = tasks_of_architecture(first);
  if (tasks.empty()) return fmt::format("architecture '{}' implies no task", first);
  if (tasks.size() > 1) {
    return fmt::format("architecture '{}' implies one of the tasks {}, none of which is supported for '{}'",
                       first, fmt::join(tasks, ", "), definition.model_type);
  }
  return fmt::format("architecture '{}' implies task '{}', which is not supported for '{}'", first,
                     tasks.front(), definition.model_type);
}

/// The tensors that the graphs of a task do not read; nothing if the checkpoint does not have all that they
/// need. A task with a past reads the same tensors as without.
std::optional<Keys> tensors_left_by(const Model& model, const std::string& task) {
  const ModelDefinition& definition = model.definition();
  const std::string whole = supports(definition, task) ? task : fmt::format("{}{}", task, kWithPast);
  const auto shared = std::make_shared<const ModelDefinition>(definition);
  const Model probe = model.with_config(model.config().unaccounted()).part("", shared, whole);
  try {
    const auto config = definition.onnx_config(probe.config(), whole,
                                               {.preprocessors = load_preprocessors(model.weights_folder())});
    ExportPlan plan{.model = probe};
    config->describe(plan, {.split = Split::apart});
    for (const Component& component : plan.components) probe.build(component);
  } catch (const ExportError&) {
    return std::nullopt;
  }
  return probe.unread_tensors();
}

std::string some(const Keys& keys) {
  constexpr std::size_t most = 3;
  if (keys.size() <= most) return text::join(keys);
  return fmt::format("{}, … ({} tensors)", text::join(std::span(keys).first(most)), keys.size());
}

}  // namespace

bool supports(const ModelDefinition& definition, std::string_view task) {
  return std::find(definition.tasks.begin(), definition.tasks.end(), task) != definition.tasks.end();
}

std::optional<std::string> supported_task(const ModelDefinition& definition, std::string_view task) {
  for (std::string candidate : {fmt::format("{}{}", task, kWithPast), std::string(task)}) {
    if (supports(definition, candidate)) return candidate;
  }
  return std::nullopt;
}

std::optional<InferredTask> task_from_names(const ModelDefinition& definition, const PretrainedConfig& config,
                                            std::string_view pipeline_tag) {
  if (const std::vector<std::string> architectures = config.architectures(); !architectures.empty()) {
    for (const std::string_view task : tasks_of_architecture(architectures.front())) {
      if (auto found = supported_task(definition, task))
        return InferredTask{*found, fmt::format("architectures: {}", architectures.front())};
    }
  }
  if (!pipeline_tag.empty()) {
    if (auto found = supported_task(definition, TasksManager::map_from_synonym(pipeline_tag))) {
      return InferredTask{*found, fmt::format("pipeline_tag of the repository: {}; {}", pipeline_tag,
                                              missing_name(definition, config))};
    }
  }
  const std::vector<std::string> bases = base_tasks(definition);
  if (bases.size() != 1) return std::nullopt;
  return InferredTask{*supported_task(definition, bases.front()),
                      fmt::format("the only task of the type; {}", missing_name(definition, config))};
}

InferredTask task_from_tensors(const Model& model) {
  const ModelDefinition& definition = model.definition();
  const std::string unnamed = missing_name(definition, model.config());
  const std::optional<std::string> features = supported_task(definition, kFeatures);
  const std::optional<Keys> without_head = features ? tensors_left_by(model, std::string(kFeatures)) : Keys();

  std::optional<InferredTask> best;
  std::size_t fewest = 0;
  for (const std::string& task : base_tasks(definition)) {
    if (task == kFeatures) continue;
    const std::optional<Keys> left = tensors_left_by(model, task);
    if (!left || (best && left->size() >= fewest)) continue;
    Keys head;
    if (without_head) {
      std::set_difference(without_head->begin(), without_head->end(), left->begin(), left->end(),
                          std::back_inserter(head));
    }
    if (features && without_head && head.empty()) continue;
    fewest = left->size();
    best = InferredTask{*supported_task(definition, task),
                        fmt::format("{}; the checkpoint has {}", unnamed,
                                    head.empty() ? "the tensors of this task" : "its head: " + some(head))};
  }
  if (best) return *best;
  // A class that is named, but not known, computes something else than feature-extraction.
  const bool is_named = !model.config().unaccounted().architectures().empty();
  if (features && !is_named)
    return {*features, fmt::format("{}, and the checkpoint has the head of no other task", unnamed)};
  throw ExportError(
      ErrorCode::unsupported,
      fmt::format("{}: {}, and the checkpoint has the {} of no task; choose one with --task: {}",
                  model.config().origin(), unnamed, features ? "head" : "tensors",
                  text::join(definition.tasks)));
}

}  // namespace onnxport::exporter
