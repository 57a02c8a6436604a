#include "exporter/gguf_model.h"

#include <algorithm>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "checkpoint/gguf.h"
#include "config/json.h"
#include "exporter/gguf_names.h"
#include "ir/weight_packed.h"
#include "support/fail.h"
#include "support/json.h"
#include "support/printable.h"
#include "support/text.h"

namespace onnxport::exporter {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

/// "llama, qwen2, …": the types that support GGUF files.
std::string readable(const TasksManager& tasks) {
  std::vector<std::string> types;
  for (const auto& definition : tasks.definitions()) {
    if (definition->gguf) types.push_back(definition->model_type);
  }
  return text::join(types);
}

/// The layout of the model, or of its only transformer (in Sentence Transformers).
const GgufLayout* find_layout(const ModelDefinition& definition, const PretrainedConfig& config) {
  if (definition.gguf) return &*definition.gguf;
  if (!definition.parts) return nullptr;
  for (const ModelPart& part : definition.parts(config.unaccounted())) {
    if (part.key.empty() && part.definition->gguf) return &*part.definition->gguf;
  }
  return nullptr;
}

// ---------------------------------------------------------------------------------------------------------------------
// Configuration

json to_json(const GgufValue& value) {
  const auto scalar = [](const auto& one) { return json(one); };
  const auto any = [&](const auto& one) {
    if constexpr (std::is_same_v<std::decay_t<decltype(one)>, GgufArray>) {
      json list = json::array();
      for (const GgufScalar& element : one.values) list.push_back(std::visit(scalar, element));
      return list.size() == 1 ? list[0] : list;
    } else {
      return scalar(one);
    }
  };
  return std::visit(any, value);
}

std::shared_ptr<const ModelDefinition> definition_of(const TasksManager& tasks, const GgufInfo& info) {
  const std::string architecture = info.architecture();
  for (const auto& definition : tasks.definitions()) {
    const auto& layout = definition->gguf;
    if (layout && layout->architecture == architecture && (!layout->matches || layout->matches(info))) {
      return definition;
    }
  }
  fail(ErrorCode::unsupported,
       "{} has the architecture '{}'; onnxport reads GGUF files of the model types {}", info.file,
       printable(architecture), readable(tasks));
}

/// Whether it holds only the type. Published GGUF files come with such files.
bool is_bare(const PretrainedConfig& config) {
  return config::parse_json(config.text(), config.origin()).size() == 1;
}

// ---------------------------------------------------------------------------------------------------------------------
// Tensors

StoredTensor named(const Weight& weight, std::string key) {
  if (const TensorView* view = weight.view()) {
    TensorView own = *view;
    own.key = std::move(key);
    return {std::move(own)};
  }
  return {{.key = std::move(key), .dtype = weight.dtype(), .shape = weight.shape()}, weight};
}

/// The numbers of the rows [rows] in their order after `restore`, if it only moves rows; else empty.
Weight order_of_rows(std::int64_t rows, const std::function<Weight(const Weight&)>& restore) {
  std::vector<std::int64_t> numbers(static_cast<std::size_t>(2 * rows)), order;
  std::iota(numbers.begin(), numbers.end(), 0);
  const Weight moved = restore(Weight::from_ints({rows, 2}, numbers));
  if (moved.shape() != std::vector<std::int64_t>{rows, 2}) return {};
  numbers = moved.to_ints();
  for (std::size_t i = 0; i < numbers.size(); i += 2) {
    if (numbers[i] % 2 != 0 || numbers[i + 1] != numbers[i] + 1) return {};
    order.push_back(numbers[i] / 2);
  }
  return Weight::from_ints({rows}, order);
}

/// A matrix of codes stays described if only its rows move.
Weight restored(const Weight& stored, const std::function<Weight(const Weight&)>& restore) {
  Weight weight = restore(stored);
  const auto packed = packed_of(stored);
  if (!packed || weight.shape() != stored.shape()) return weight;
  const Weight order = order_of_rows(stored.shape()[0], restore);
  return order ? described(weight, take_rows(*packed, order)) : weight;
}

void check_parts(std::int64_t count, const std::string& name, const std::string& file) {
  constexpr std::int64_t kMost = 65'536;  // no model has so many experts
  if (count <= kMost) return;
  fail(ErrorCode::bad_checkpoint, "tensor '{}' of {} has {} parts, expected at most {}", printable(name),
       file, count, kMost);
}

}  // namespace

// Like transformers 4.57.6, but also with settings that it ignores although the file has them.
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/modeling_gguf_pytorch_utils.py
PretrainedConfig config_from(const TasksManager& tasks, const GgufInfo& info) {
  const auto definition = definition_of(tasks, info);
  const GgufLayout& layout = *definition->gguf;
  json config = {{"model_type", definition->model_type},
                 {"architectures", json::array({layout.original_class})},
                 {"tie_word_embeddings", !info.has_tensor("output.weight")}};
  for (const auto& [stored, key] : layout.config_keys) {
    if (const GgufValue* value = info.find(layout.architecture + "." + stored)) config[key] = to_json(*value);
  }
  const auto layers = layers_before_predicting(info);
  if (layers && config.contains("num_hidden_layers")) config["num_hidden_layers"] = *layers;
  for (const char* token : {"bos", "eos", "padding"}) {
    const std::string key = token == std::string_view("padding") ? "pad" : token;
    if (const auto id = info.integer(fmt::format("tokenizer.ggml.{}_token_id", token))) {
      config[key + "_token_id"] = *id;
    }
  }
  if (!config.contains("vocab_size")) {
    const GgufValue* tokens = info.find("tokenizer.ggml.tokens");
    const auto* list = tokens == nullptr ? nullptr : std::get_if<GgufArray>(tokens);
    const auto table = info.tensors.find("token_embd.weight");
    if (list != nullptr) {
      config["vocab_size"] = list->size;
    } else if (table != info.tensors.end() && !table->second.shape().empty()) {
      config["vocab_size"] = table->second.shape().front();
    }
  }
  if (layout.more_config) {
    for (const auto& [key, value] : layout.more_config(info)) config[key] = parse_json<json>(value);
  }
  // Texts in a file may be invalid UTF-8.
  const std::string written = config.dump(2, ' ', false, json::error_handler_t::replace);
  return PretrainedConfig::from_json(written + "\n", info.file);
}

PretrainedConfig read_config(const TasksManager& tasks, const fs::path& path) {
  std::error_code ignored;
  const bool is_file = gguf::is_file(path);
  const fs::path folder = is_file ? path.parent_path() : path;
  const bool has_config = fs::exists(folder / "config.json", ignored);
  if (has_config) {
    PretrainedConfig config = PretrainedConfig::from_pretrained(folder.empty() ? "." : folder);
    if (!is_bare(config)) return config;
  }
  const fs::path file = is_file ? path : gguf::find_in(path);
  if (file.empty()) return PretrainedConfig::from_pretrained(path);
  return config_from(tasks, gguf::read(file).info);
}

bool is_made(const PretrainedConfig& config) { return fs::path(config.origin()).extension() == ".gguf"; }

std::shared_ptr<const Checkpoint> restore(const Checkpoint& stored, const ModelDefinition& definition,
                                          const PretrainedConfig& config) {
  const GgufInfo& info = *stored.gguf();
  const GgufLayout* layout = find_layout(definition, config);
  if (layout == nullptr) {
    fail(ErrorCode::unsupported, "{}: GGUF files of model type '{}' are not supported; supported: {}",
         info.file, config.model_type(), readable(TasksManager::instance()));
  }
  if (info.architecture() != layout->architecture) {
    fail(ErrorCode::bad_checkpoint,
         "{} has the architecture '{}', expected '{}' for the model type '{}' of {}", info.file,
         printable(info.architecture()), layout->architecture, config.model_type(), config.origin());
  }
  std::map<std::string, GgufTensor> known;
  for (GgufTensor& tensor : layout->tensors(config.unaccounted())) {
    std::string name = tensor.name;
    known.emplace(std::move(name), std::move(tensor));
  }
  const auto layers = layers_before_predicting(info);
  std::vector<StoredTensor> tensors;
  for (const TensorView& view : stored.tensors()) {
    GgufName name(view.key);
    if (layers && name.is_behind(*layers)) continue;
    auto found = known.find(name.pattern + name.ending);
    const bool whole = found != known.end();  // with the ending in both names
    if (!whole) found = known.find(name.pattern);
    if (found == known.end()) {
      tensors.push_back(named(stored.weight(view), view.key));
      continue;
    }
    const GgufTensor& tensor = found->second;
    if (tensor.key.empty()) continue;
    if (whole) name.ending.clear();
    Weight weight = stored.weight(view);
    if (weight.shape().empty()) {
      fail(ErrorCode::bad_checkpoint, "tensor '{}' of {} has no axes", view.key, stored.name());
    }
    const bool one = count_places(tensor.key) == name.numbers.size();
    if (!one) check_parts(weight.shape().front(), view.key, stored.name());
    try {
      if (tensor.restore) weight = restored(weight, tensor.restore);
      if (one) {
        tensors.push_back(named(weight, name.fill(tensor.key)));
        continue;
      }
      std::vector<std::int64_t> shape = weight.shape();
      const std::int64_t count = shape.front();
      shape.erase(shape.begin());
      for (std::int64_t i = 0; i < count; ++i) {
        tensors.push_back(named(weight.slice(0, i, i + 1).reshape(shape), name.fill(tensor.key, i)));
      }
    } catch (const ExportError& error) {
      fail(ErrorCode::bad_checkpoint, "tensor '{}' of {} does not fit the configuration {}: {}", view.key,
           stored.name(), config.origin(), error.what());
    }
  }
  return std::make_shared<const Checkpoint>(std::move(tensors), stored.name(), stored.gguf(), stored.files());
}

std::vector<std::string> gguf_notices(const GgufInfo& info, const PretrainedConfig& config,
                                      const fs::path& folder) {
  std::vector<std::string> notices;
  if (is_made(config))
    notices.push_back(fmt::format("configuration: taken from the metadata of {}", info.file));
  std::error_code ignored;
  const bool has_tokenizer =
      fs::exists(folder / "tokenizer.json", ignored) || fs::exists(folder / "tokenizer_config.json", ignored);
  if (info.find("tokenizer.ggml.tokens") != nullptr && !has_tokenizer) {
    notices.push_back(
        fmt::format("the tokenizer inside {} is not converted; take tokenizer.json from the "
                    "original checkpoint",
                    info.file));
  }
  return notices;
}

}  // namespace onnxport::exporter
