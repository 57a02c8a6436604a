#include "exporter/compressed_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/json.h"
#include "support/fail.h"
#include "support/text.h"

namespace onnxport {
namespace {

using nlohmann::json;
using Format = CompressedScheme::Format;
using Strategy = CompressedScheme::Strategy;

constexpr std::string_view kKey = "quantization_config";

/// An object of the configuration, with its path for messages.
struct Object {
  const json& value;
  std::string path;
  const std::string& origin;

  /// Null if it is absent.
  const json* find(std::string_view key) const {
    const auto found = value.find(std::string(key));
    return found == value.end() || found->is_null() ? nullptr : &*found;
  }
  [[noreturn]] void refuse(std::string_view key, std::string_view expected, ErrorCode code) const {
    const json* found = find(key);
    fail(code, "{}: key '{}.{}' is {}, expected {}", origin, path, key,
         found == nullptr ? "missing" : config::brief(*found), expected);
  }
  std::string string(std::string_view key, std::string_view otherwise) const {
    const json* found = find(key);
    if (found == nullptr) return std::string(otherwise);
    if (!found->is_string()) refuse(key, "a string", ErrorCode::bad_config);
    return text::lower(found->get<std::string>());
  }
  std::optional<std::int64_t> integer(std::string_view key) const {
    const json* found = find(key);
    if (found == nullptr) return std::nullopt;
    if (!found->is_number_integer()) refuse(key, "an integer", ErrorCode::bad_config);
    return found->get<std::int64_t>();
  }
  std::vector<std::string> strings(std::string_view key) const {
    std::vector<std::string> result;
    const json* found = find(key);
    if (found == nullptr) return result;
    const bool fits = found->is_array() &&
                      std::all_of(found->begin(), found->end(), [](const json& v) { return v.is_string(); });
    if (!fits) refuse(key, "a list of strings", ErrorCode::bad_config);
    return found->get<std::vector<std::string>>();
  }
  /// Throws ExportError(unsupported) for a key that is not one of these.
  void allow(std::span<const std::string_view> keys) const {
    for (const auto& [key, ignored] : value.items()) {
      if (find(key) != nullptr && std::find(keys.begin(), keys.end(), key) == keys.end()) {
        fail(ErrorCode::unsupported, "{}: key '{}.{}' is not known; export the unquantized checkpoint",
             origin, path, key);
      }
    }
  }
};

Format read_format(const Object& object, const std::string& name) {
  if (name == "dense") return Format::dense;
  if (name == "pack-quantized") return Format::pack;
  if (name == "int-quantized" || name == "float-quantized" || name == "naive-quantized") return Format::plain;
  fail(ErrorCode::unsupported,
       "{}: '{}' has the format '{}', expected 'pack-quantized', 'int-quantized', 'float-quantized', "
       "'naive-quantized' or 'dense'; export the unquantized checkpoint",
       object.origin, object.path, name);
}

Strategy read_strategy(const Object& weights, std::optional<std::int64_t> group_size) {
  const std::string inferred = !group_size ? "tensor" : *group_size == -1 ? "channel" : "group";
  const std::string name = weights.string("strategy", inferred);
  if (name == "tensor") return Strategy::tensor;
  if (name == "channel") return Strategy::channel;
  if (name == "group") return Strategy::group;
  if (name == "block") return Strategy::block;
  weights.refuse("strategy", "'tensor', 'channel', 'group' or 'block'", ErrorCode::unsupported);
}

std::array<std::int64_t, 2> read_block(const Object& weights) {
  const json* value = weights.find("block_structure");
  std::array<std::int64_t, 2> block = {0, 0};
  if (value != nullptr && value->is_array() && value->size() == 2) {
    for (std::size_t i = 0; i < 2; ++i) {
      if ((*value)[i].is_number_integer()) block.at(i) = (*value)[i].get<std::int64_t>();
    }
  }
  if (block[0] < 1 || block[1] < 1) {
    weights.refuse("block_structure", "two positive integers", ErrorCode::bad_config);
  }
  return block;
}

void read_weights(const Object& weights, CompressedScheme& scheme) {
  // How the scales were found does not matter.
  constexpr std::array<std::string_view, 12> kKnown = {
      "num_bits", "type",     "symmetric",   "group_size", "strategy", "block_structure",
      "dynamic",  "actorder", "scale_dtype", "zp_dtype",   "observer", "observer_kwargs"};
  weights.allow(kKnown);
  scheme.bits = weights.integer("num_bits").value_or(8);
  const std::string type = weights.string("type", "int");
  scheme.floats = type == "float";
  if (type != "int" && type != "float") weights.refuse("type", "'int' or 'float'", ErrorCode::bad_config);
  if (scheme.bits < 1 || scheme.bits > 8 || (scheme.floats && scheme.bits != 8)) {
    weights.refuse("num_bits", scheme.floats ? "8" : "1 to 8", ErrorCode::unsupported);
  }
  if (const json* symmetric = weights.find("symmetric")) {
    if (!symmetric->is_boolean()) weights.refuse("symmetric", "true or false", ErrorCode::bad_config);
    scheme.symmetric = symmetric->get<bool>();
  }
  if (const json* dynamic = weights.find("dynamic"); dynamic != nullptr && *dynamic != false) {
    weights.refuse("dynamic", "false", ErrorCode::unsupported);
  }
  const std::optional<std::int64_t> group_size = weights.integer("group_size");
  scheme.strategy = read_strategy(weights, group_size);
  if (scheme.strategy == Strategy::group) {
    scheme.group_size = group_size.value_or(0);
    if (scheme.group_size < 1) {
      weights.refuse("group_size", "a positive integer for the strategy 'group'", ErrorCode::bad_config);
    }
  }
  if (scheme.strategy == Strategy::block) scheme.block = read_block(weights);
}

CompressedScheme read_scheme(const Object& group, const std::string& format) {
  constexpr std::array<std::string_view, 5> kKnown = {"targets", "weights", "format", "input_activations",
                                                      "output_activations"};
  group.allow(kKnown);
  CompressedScheme scheme{.targets = group.strings("targets")};
  const json* weights = group.find("weights");
  if (weights == nullptr) return scheme;
  if (!weights->is_object()) group.refuse("weights", "an object", ErrorCode::bad_config);
  scheme.format = read_format(group, group.string("format", format));
  if (scheme.format == Format::dense) return scheme;
  read_weights({*weights, group.path + ".weights", group.origin}, scheme);
  if (scheme.format == Format::pack && scheme.floats) {
    group.refuse("weights", "integers for the format 'pack-quantized'", ErrorCode::bad_config);
  }
  return scheme;
}

/// Refuses settings that change the weights or the graph in another way, unless they are empty.
void check_others(const Object& all) {
  if (const json* sparsity = all.find("sparsity_config"); sparsity != nullptr && !sparsity->empty()) {
    const bool dense = sparsity->is_object() && sparsity->value("format", json("dense")) == "dense";
    if (!dense) all.refuse("sparsity_config", "the format 'dense'", ErrorCode::unsupported);
  }
  if (const json* transform = all.find("transform_config"); transform != nullptr && !transform->empty()) {
    const json* groups =
        transform->is_object() ? Object{*transform, "", all.origin}.find("config_groups") : nullptr;
    const bool none = transform->is_object() && (groups == nullptr || groups->empty());
    if (!none) all.refuse("transform_config", "no transforms", ErrorCode::unsupported);
  }
}

}  // namespace

Quantization read_compressed(const PretrainedConfig& config) {
  const PretrainedConfig accounted = config.sub(kKey);
  const json file = config::parse_json(config.text(), config.origin());
  const auto found = file.find(std::string(kKey));
  static const json kEmpty = json::object();
  const Object all{found != file.end() && found->is_object() ? *found : kEmpty, std::string(kKey),
                   config.origin()};
  check_others(all);
  const std::string format = all.string("format", "dense");
  const std::string status = all.string("quantization_status", "compressed");
  Quantization result{.method = Quantization::Method::compressed_tensors};
  result.compressed.ignore = all.strings("ignore");
  const json* groups = all.find("config_groups");
  if (groups == nullptr || !groups->is_object()) {
    all.refuse("config_groups", "an object", ErrorCode::bad_config);
  }
  for (const auto& [name, group] : groups->items()) {
    if (!group.is_object()) {
      fail(ErrorCode::unsupported,
           "{}: key '{}.config_groups.{}' is {}, expected an object; export the "
           "unquantized checkpoint",
           config.origin(), kKey, name, config::brief(group));
    }
    const Object scheme{group, fmt::format("{}.config_groups.{}", kKey, name), config.origin()};
    result.compressed.schemes.push_back(read_scheme(scheme, format));
    const bool rounds = result.compressed.schemes.back().format == Format::dense &&
                        scheme.find("weights") != nullptr && status != "compressed";
    if (rounds) {
      all.refuse("quantization_status", "'compressed': the original rounds these weights each time it runs",
                 ErrorCode::unsupported);
    }
  }
  // Rounding of activations, keys and values is not exported.
  accounted.harmless({"config_groups", "format", "ignore", "quantization_status", "kv_cache_scheme",
                      "global_compression_ratio", "sparsity_config", "transform_config", "version",
                      "run_compressed"});
  return result;
}

}  // namespace onnxport
