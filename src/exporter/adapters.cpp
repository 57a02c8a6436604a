#include "exporter/adapters.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "checkpoint/adapter.h"
#include "checkpoint/adapter_keys.h"
#include "checkpoint/pipeline_lora.h"
#include "exporter/adapter_config.h"
#include "exporter/architectures.h"
#include "exporter/infer_task.h"
#include "ir/weight_compare.h"
#include "onnxport/tasks_manager.h"
#include "support/fail.h"

namespace onnxport::exporter {
namespace {

namespace fs = std::filesystem;

/// The weights file of an adapter.
std::shared_ptr<const Checkpoint> open_weights(const fs::path& folder) {
  std::error_code ignored;
  for (const char* name : kAdapterWeights) {
    if (fs::exists(folder / name, ignored)) return Checkpoint::open(folder / name);
  }
  fail(ErrorCode::bad_checkpoint, "no weights of the adapter in '{}': looked for {}, {}", folder.string(),
       kAdapterWeights[0], kAdapterWeights[1]);
}

/// Whether the last layer of a classification head has this name. It has one row for each label.
bool is_label_head(std::string_view key) {
  constexpr std::array<std::string_view, 4> kHeads = {"classifier.weight", "score.weight",
                                                      "classifier.out_proj.weight",
                                                      "classification_head.out_proj.weight"};
  return std::any_of(kHeads.begin(), kHeads.end(), [&](std::string_view head) {
    return key == head || (key.ends_with(head) && key[key.size() - head.size() - 1] == '.');
  });
}

/// LABEL_0, LABEL_1, …: the names that the original derives from num_labels.
PretrainedConfig with_labels(const PretrainedConfig& config, std::int64_t count) {
  nlohmann::ordered_json names = nlohmann::ordered_json::object(), ids = names;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::string name = fmt::format("LABEL_{}", i);
    names[std::to_string(i)] = name;
    ids[name] = i;
  }
  return config.with("id2label", names.dump()).with("label2id", ids.dump());
}

/// Changes of the configuration that saved tensors call for.
void adjust_config(AdaptedCheckpoint& adapted, const Checkpoint& base, const PretrainedConfig& config,
                   std::string_view task, const std::vector<std::string>& changed) {
  const auto current = [&] { return adapted.config.value_or(config).unaccounted(); };
  for (const std::string& key : changed) {
    const TensorView& tensor = *adapted.checkpoint->find(key);
    if (tensor.shape.size() != 2 || tensor.shape[0] < 1) continue;
    const std::int64_t rows = tensor.shape[0];
    const bool classifies = task.ends_with("-classification");
    if (classifies && is_label_head(key)) {
      const std::int64_t labels = current().num_labels();
      if (labels == rows) continue;
      adapted.config = with_labels(current(), rows);
      adapted.notices.push_back(
          fmt::format("{}: {} labels, but '{}' of the adapter has {} rows: the labels are now "
                      "LABEL_0 to LABEL_{}",
                      config.origin(), labels, key, rows, rows - 1));
      continue;
    }
    const TensorView* before = base.find(key);
    if (before == nullptr || before->shape[0] == rows) continue;
    const auto tokens = current().maybe_integer("vocab_size");
    if (tokens != before->shape[0]) continue;
    adapted.config = current().with("vocab_size", std::to_string(rows));
    adapted.notices.push_back(
        fmt::format("{}: vocab_size is {}, but '{}' of the adapter has {} rows: vocab_size is "
                    "now {}",
                    config.origin(), *tokens, key, rows, rows));
  }
}

constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kTasks = {{
    {"CAUSAL_LM", "text-generation"},
    {"FEATURE_EXTRACTION", "feature-extraction"},
    {"QUESTION_ANS", "question-answering"},
    {"SEQ_2_SEQ_LM", "text2text-generation"},
    {"SEQ_CLS", "text-classification"},
    {"TOKEN_CLS", "token-classification"},
}};

MergedCheckpoint merge(const Checkpoint& base, const fs::path& folder) {
  if (has_pipeline_adapter(folder)) {
    const PipelineLora adapter = read_pipeline_lora(folder / kPipelineLora, base);
    return merge_adapter(base, *adapter.tensors, adapter.settings);
  }
  const AdapterConfig adapter = read_adapter_config(folder);
  return merge_adapter(base, *open_weights(folder), adapter.lora);
}

}  // namespace

AdaptedCheckpoint apply_adapters(std::shared_ptr<const Checkpoint> checkpoint, const PretrainedConfig& config,
                                 std::string_view task, const std::vector<fs::path>& adapters) {
  AdaptedCheckpoint result{.checkpoint = std::move(checkpoint)};
  std::set<std::string> whole;  // keys of saved tensors so far
  for (const fs::path& folder : adapters) {
    const auto base = result.checkpoint;
    MergedCheckpoint merged = merge(*base, folder);
    for (const std::string& key : merged.saved) {
      if (whole.insert(key).second) continue;
      fail(ErrorCode::unsupported,
           "adapter '{}' replaces tensor '{}', which an adapter before it replaces too; only one of several "
           "adapters may bring a module as a whole (modules_to_save)",
           folder.string(), key);
    }
    result.checkpoint = merged.checkpoint;
    adjust_config(result, *base, config, task, merged.saved);
    result.changed.insert(merged.changed.begin(), merged.changed.end());
    result.notices.push_back(fmt::format("adapter {}: merged into {} weights, {} tensors replaced or added",
                                         folder.string(), merged.modules, merged.saved.size()));
  }
  return result;
}

std::optional<std::string> task_of_adapters(const ModelDefinition& definition,
                                            const std::vector<fs::path>& adapters) {
  for (const fs::path& folder : adapters) {
    const AdapterConfig adapter = read_adapter_config(folder);
    std::vector<std::string> tasks;
    for (const auto& [type, task] : kTasks) {
      if (adapter.task_type == type) tasks.emplace_back(task);
    }
    for (const std::string_view task : tasks_of_architecture(adapter.base_class)) tasks.emplace_back(task);
    for (const std::string& task : tasks) {
      if (auto found = supported_task(definition, task)) return found;
    }
  }
  return std::nullopt;
}

void require_adapter_of(const fs::path& folder, const std::vector<fs::path>& adapters) {
  if (!has_adapter(folder)) return;
  std::error_code ignored;
  const bool listed = std::any_of(adapters.begin(), adapters.end(),
                                  [&](const fs::path& one) { return fs::equivalent(one, folder, ignored); });
  if (listed) return;
  fail(ErrorCode::unsupported,
       "'{}' holds an adapter ({}), which would be left out; give the folder to get_model_source(), which "
       "finds "
       "the base model, and open that with its adapters",
       folder.string(), kAdapterConfig);
}

std::vector<std::string> ignored_changes(const Checkpoint& checkpoint, const KeyAccounting& accounting,
                                         const std::set<std::string, std::less<>>& changed) {
  std::vector<std::string> complaints;
  for (const std::string& key : changed) {
    if (accounting.is_read(key) || !accounting.is_ignored(key)) continue;
    const Weight weight = checkpoint.weight(*checkpoint.find(key));
    const auto& all = checkpoint.tensors();
    const bool copied = std::any_of(all.begin(), all.end(), [&](const TensorView& other) {
      return other.key != key && other.shape == weight.shape() && accounting.is_read(other.key) &&
             same_elements(weight, checkpoint.weight(other));
    });
    if (copied) continue;
    complaints.push_back(fmt::format(
        "an adapter changes tensor '{}', but the configuration ties this weight to another one, which "
        "is used instead; set \"tie_word_embeddings\": false if the base model stores both, or {}",
        key, kMergeFirst));
  }
  return complaints;
}

}  // namespace onnxport::exporter
