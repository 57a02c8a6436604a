#include "exporter/adapter_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string_view>
#include <system_error>
#include <utility>

#include "checkpoint/adapter_keys.h"
#include "checkpoint/pipeline_lora.h"
#include "config/json.h"
#include "exporter/diffusers_definition.h"
#include "support/fail.h"
#include "support/printable.h"

namespace onnxport::exporter {
namespace {

namespace fs = std::filesystem;
using json = nlohmann::ordered_json;  // the first pattern that matches counts

/// Keys that only concern training, initialization, or which modules get an adapter: the tensors show those.
constexpr std::array<std::string_view, 18> kHarmless = {
    "corda_config",   "ensure_weight_tying", "eva_config",          "exclude_modules", "fan_in_fan_out",
    "inference_mode", "layers_pattern",      "layers_to_transform", "loftq_config",    "lora_dropout",
    "lora_ga_config", "megatron_core",       "merge_weights",       "peft_version",    "qalora_group_size",
    "runtime_config", "target_modules",      "velora_config",
};

/// Keys that read_adapter_config() reads.
constexpr std::array<std::string_view, 15> kRead = {
    "alpha_pattern",
    "auto_mapping",
    "base_model_name_or_path",
    "bias",
    "init_lora_weights",
    "lora_alpha",
    "lora_bias",
    "modules_to_save",
    "peft_type",
    "r",
    "rank_pattern",
    "revision",
    "task_type",
    "use_dora",
    "use_rslora",
};

/// Keys that change the computation if they are set.
constexpr std::array<std::string_view, 11> kRefused = {
    "alora_invocation_tokens", "arrow_config",    "enable_lora",       "kasa_config",
    "layer_replication",       "megatron_config", "monteclora_config", "target_parameters",
    "trainable_token_indices", "use_bdlora",      "use_qalora",
};

/// Methods that add inputs or layers instead of changing weights.
constexpr std::array<std::string_view, 7> kPrompts = {
    "ADAPTION_PROMPT", "CARTRIDGE",     "CPT",      "MULTITASK_PROMPT_TUNING",
    "PREFIX_TUNING",   "PROMPT_TUNING", "P_TUNING",
};

/// Values of init_lora_weights with which loading an adapter leaves the weights of the base model as they
/// are.
constexpr std::array<std::string_view, 3> kPlainStarts = {"eva", "gaussian", "orthogonal"};

template <class Names>
bool contains(const Names& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// The object in adapter_config.json.
class Reader {
 public:
  explicit Reader(const fs::path& file) : origin_(file.string()) {
    values_ = config::parse_ordered_json(config::read_json_text(file), origin_);
    if (!values_.is_object()) fail_type("the file", values_, "an object");
  }

  const std::string& origin() const { return origin_; }
  const json& values() const { return values_; }

  /// The value, or null if the key is absent.
  const json& value(std::string_view key) const {
    static const json kNull;
    const auto found = values_.find(key);
    return found == values_.end() ? kNull : *found;
  }
  std::string text(std::string_view key) const {
    const json& found = value(key);
    if (found.is_null()) return {};
    if (!found.is_string()) fail_type(key, found, "a text");
    return found.get<std::string>();
  }
  bool flag(std::string_view key) const {
    const json& found = value(key);
    if (!found.is_null() && !found.is_boolean()) fail_type(key, found, "true or false");
    return found.is_boolean() && found.get<bool>();
  }
  double number(std::string_view key, double otherwise) const {
    const json& found = value(key);
    return found.is_null() ? otherwise : number_of(key, found);
  }
  std::int64_t rank(std::string_view key, std::int64_t otherwise) const {
    const json& found = value(key);
    return found.is_null() ? otherwise : rank_of(key, found);
  }
  std::vector<std::string> texts(std::string_view key) const {
    const json& found = value(key);
    std::vector<std::string> result;
    if (found.is_null()) return result;
    if (!found.is_array()) fail_type(key, found, "a list of texts");
    for (const json& one : found) {
      if (!one.is_string()) fail_type(key, found, "a list of texts");
      result.push_back(one.get<std::string>());
    }
    return result;
  }
  /// The entries of an object, in the order of the file.
  template <class Value>
  std::vector<std::pair<std::string, Value>> pattern(std::string_view key,
                                                     Value (Reader::*read)(std::string_view, const json&)
                                                         const) const {
    std::vector<std::pair<std::string, Value>> entries;
    const json& found = value(key);
    if (found.is_null()) return entries;
    if (!found.is_object()) fail_type(key, found, "an object");
    for (const auto& [name, one] : found.items()) entries.emplace_back(name, (this->*read)(key, one));
    return entries;
  }
  double number_of(std::string_view key, const json& found) const {
    if (!found.is_number() || !std::isfinite(found.get<double>())) fail_type(key, found, "a number");
    return found.get<double>();
  }
  std::int64_t rank_of(std::string_view key, const json& found) const {
    if (!found.is_number_integer() || found.get<std::int64_t>() < 1)
      fail_type(key, found, "a positive integer");
    return found.get<std::int64_t>();
  }
  [[noreturn]] void fail_type(std::string_view key, const json& got, std::string_view expected) const {
    fail(ErrorCode::bad_config, "{}: key '{}' is {}, expected {}", origin_, printable(key),
         config::brief(nlohmann::json(got)), expected);
  }
  [[noreturn]] void refuse(std::string_view key, std::string_view why) const {
    fail(ErrorCode::unsupported, "{}: key '{}' is {}, {}; {}", origin_, printable(key),
         config::brief(nlohmann::json(value(key))), why, kMergeFirst);
  }

 private:
  std::string origin_;
  json values_;
};

void check_method(const Reader& reader) {
  const std::string method = reader.text("peft_type");
  if (method == "LORA") return;
  if (contains(kPrompts, method)) {
    fail(ErrorCode::unsupported,
         "{}: key 'peft_type' is '{}', expected 'LORA': this method adds inputs or layers to the base model, "
         "so "
         "it cannot become a part of its weights, and is not supported",
         reader.origin(), method);
  }
  reader.refuse("peft_type", "expected \"LORA\": other methods are not supported");
}

void check_keys(const Reader& reader) {
  for (const auto& [key, value] : reader.values().items()) {
    const bool no_text = value.is_string() && value.get_ref<const std::string&>().empty();
    const bool unset =
        value.is_null() || value == false || (value.is_structured() && value.empty()) || no_text;
    if (unset || contains(kHarmless, key) || contains(kRead, key)) continue;
    reader.refuse(key, contains(kRefused, key)
                           ? "expected it to be unset: this changes the computation and is not supported"
                           : "but the key is unknown, so it may change the computation");
  }
  if (const std::string bias = reader.text("bias");
      !bias.empty() && bias != "none" && bias != "all" && bias != "lora_only")
    reader.fail_type("bias", reader.value("bias"), "none, all or lora_only");
  const json& start = reader.value("init_lora_weights");
  if (start.is_string() && !contains(kPlainStarts, start.get<std::string>())) {
    reader.refuse(
        "init_lora_weights",
        "expected true, false, gaussian, orthogonal or eva: loading this adapter changes the weights of "
        "the base model");
  }
}

/// `modules_to_save`, and the heads that peft adds to it for a task.
std::vector<std::string> saved_modules(const Reader& reader, std::string_view task_type) {
  std::vector<std::string> names = reader.texts("modules_to_save");
  if (task_type == "SEQ_CLS" || task_type == "TOKEN_CLS") names.insert(names.end(), {"classifier", "score"});
  if (task_type == "QUESTION_ANS") names.emplace_back("qa_outputs");
  return names;
}

}  // namespace

bool has_pipeline_adapter(const fs::path& folder) {
  std::error_code ignored;
  return fs::exists(folder / kPipelineLora, ignored) && !fs::exists(folder / kAdapterConfig, ignored) &&
         !is_pipeline_folder(folder);
}

bool has_adapter(const fs::path& folder) {
  std::error_code ignored;
  return fs::exists(folder / kAdapterConfig, ignored) || has_pipeline_adapter(folder);
}

AdapterConfig read_adapter_config(const fs::path& folder) {
  if (has_pipeline_adapter(folder)) return {.lora = {.origin = (folder / kPipelineLora).string()}};
  const Reader reader(folder / kAdapterConfig);
  check_method(reader);
  check_keys(reader);
  AdapterConfig config{.base = reader.text("base_model_name_or_path"),
                       .revision = reader.text("revision"),
                       .task_type = reader.text("task_type")};
  if (const json& mapping = reader.value("auto_mapping"); mapping.is_object()) {
    const auto name = mapping.find("base_model_class");
    if (name != mapping.end() && name->is_string()) config.base_class = name->get<std::string>();
  }
  LoraSettings& lora = config.lora;
  lora.origin = reader.origin();
  lora.rank = reader.rank("r", lora.rank);
  lora.alpha = reader.number("lora_alpha", lora.alpha);
  lora.rank_pattern = reader.pattern<std::int64_t>("rank_pattern", &Reader::rank_of);
  lora.alpha_pattern = reader.pattern<double>("alpha_pattern", &Reader::number_of);
  lora.scaling =
      reader.flag("use_rslora") ? LoraSettings::Scaling::by_root_of_rank : LoraSettings::Scaling::by_rank;
  lora.dora = reader.flag("use_dora");
  lora.lora_bias = reader.flag("lora_bias");
  lora.saved_modules = saved_modules(reader, config.task_type);
  return config;
}

}  // namespace onnxport::exporter
