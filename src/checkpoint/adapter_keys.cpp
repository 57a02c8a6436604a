#include "checkpoint/adapter_keys.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

#include "checkpoint/spelling.h"
#include "support/fail.h"
#include "support/printable.h"
#include "support/text.h"

namespace onnxport {
namespace {

using Part = AdapterKey::Part;

std::vector<std::string> split(std::string_view key) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin <= key.size();) {
    const std::size_t dot = std::min(key.find('.', begin), key.size());
    parts.emplace_back(key.substr(begin, dot - begin));
    begin = dot + 1;
  }
  return parts;
}

/// Names that peft gives to the parts of an adapted module.
constexpr std::array<std::pair<std::string_view, Part>, 5> kNames = {{
    {"lora_A", Part::lora_a},
    {"lora_B", Part::lora_b},
    {"lora_embedding_A", Part::embedding_a},
    {"lora_embedding_B", Part::embedding_b},
    {"lora_magnitude_vector", Part::magnitude},
}};

[[noreturn]] void fail_unknown(std::string_view key, const std::string& file) {
  fail(ErrorCode::unsupported,
       "tensor '{}' in {} is not one of LoRA, expected lora_A, lora_B, lora_embedding_A, lora_embedding_B, "
       "lora_magnitude_vector, or a tensor of the base model; {}",
       printable(key), file, kMergeFirst);
}

/// What follows the name: [name of the adapter] [weight | bias].
Part part_of(Part named, const std::vector<std::string>& parts, std::size_t next, std::string_view key,
             const std::string& file) {
  const std::size_t rest = parts.size() - next;
  const bool has_kind = rest > 0 && (parts.back() == "weight" || parts.back() == "bias");
  if (rest > (has_kind ? 2U : 1U)) fail_unknown(key, file);
  const bool is_bias = has_kind && parts.back() == "bias";
  const bool is_module = named == Part::lora_a || named == Part::lora_b;
  if (is_bias ? named != Part::lora_b : is_module && !has_kind) fail_unknown(key, file);
  return is_bias ? Part::lora_bias : named;
}

}  // namespace

AdapterKey parse_adapter_key(std::string_view key, const std::string& file) {
  std::string_view rest = key;
  for (const std::string_view prefix : {"base_model.model.", "base_model."}) {
    if (!rest.starts_with(prefix)) continue;
    rest.remove_prefix(prefix.size());
    break;
  }
  const std::vector<std::string> parts = split(rest);
  AdapterKey result;
  std::vector<std::string> path;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const std::string& part = parts[i];
    const auto* const named =
        std::find_if(kNames.begin(), kNames.end(), [&](const auto& one) { return one.first == part; });
    if (named != kNames.end()) {
      result.part = part_of(named->second, parts, i + 1, key, file);
      break;
    }
    if (part.starts_with("lora_") || part == "token_adapter" || part.starts_with("trainable_tokens_"))
      fail_unknown(key, file);
    if (part == "original_module") result.part = Part::original;
    if (part == "modules_to_save" && i + 1 < parts.size() && parts[i + 1] == "default") ++i;
    if (part != "base_layer" && part != "modules_to_save" && part != "original_module") path.push_back(part);
  }
  result.path = text::join(path, ".");
  return result;
}

AdapterKeyMap::AdapterKeyMap(const Checkpoint& base, const std::vector<std::string>& keys) {
  std::set<std::string> of_adapter, of_base;
  const auto first_of = [](std::string_view key) { return std::string(key.substr(0, key.find('.') + 1)); };
  for (const std::string& key : keys) of_adapter.insert(first_of(key));
  for (const TensorView& view : base.tensors()) of_base.insert(first_of(view.key));
  std::vector<std::pair<std::string, std::string>> changes = {{"", ""}};
  for (const std::string& prefix : of_adapter) changes.emplace_back(prefix, "");
  for (const std::string& prefix : of_base) changes.emplace_back("", prefix);

  std::ptrdiff_t most = -1;
  for (auto& [dropped, added] : changes) {
    AdapterKeyMap map = *this;
    map.dropped_ = dropped;
    map.added_ = added;
    const auto found = std::count_if(keys.begin(), keys.end(), [&](const std::string& key) {
      return find_spelled(base, map(key)) != nullptr;
    });
    if (found <= most) continue;
    most = found;
    dropped_ = dropped;
    added_ = added;
  }
}

std::string AdapterKeyMap::operator()(std::string_view key) const {
  if (!dropped_.empty() && key.starts_with(dropped_)) key.remove_prefix(dropped_.size());
  return fmt::format("{}{}", added_, key);
}

}  // namespace onnxport
