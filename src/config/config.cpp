#include "onnxport/config.h"

#include <fmt/format.h>

#include <cmath>
#include <type_traits>
#include <utility>

#include "config/accounting.h"
#include "config/class_defaults.h"
#include "config/expected.h"
#include "config/json.h"
#include "config/library_version.h"
#include "config/plausible.h"
#include "onnxport/error.h"

namespace onnxport {
namespace {

using config::Accounting;
using config::Expected;
using config::Part;
using nlohmann::json;
namespace fs = std::filesystem;

/// The file, shared by a configuration, its copies and its nested objects.
struct Source {
  std::string text;
  std::string origin;
  std::int64_t transformers_major;
};

}  // namespace

struct PretrainedConfig::Impl {
  std::shared_ptr<const Source> source;
  std::shared_ptr<Accounting> accounting;
  Part part;

  const json* look_up(std::string_view key) const {
    accounting->read(part, key);
    return part.find(key);
  }

  [[noreturn]] void fail_type(std::string_view key, const json& value, std::string_view expected) const {
    const bool too_large = expected.find("integer") != expected.npos && value.is_number() &&
                           !config::to_integer(value) &&
                           std::trunc(value.get<double>()) == value.get<double>();
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format("{}: key '{}' is {}, expected {}{}", source->origin, part.qualified(part.spelling(key)),
                    config::brief(value), expected, too_large ? " of 64 bits" : ""));
  }
  void check_range(std::string_view key, std::int64_t value) const {
    const config::Range range = config::plausible(key);
    if (range.contains(value)) return;
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: key '{}' is {}, expected {} to {}", source->origin,
                                  part.qualified(part.spelling(key)), value, range.least, range.most));
  }
  [[noreturn]] void fail_absent(std::string_view key, const json* value, std::string_view expected) const {
    if (value != nullptr && part.values->contains(key)) fail_type(key, *value, expected);
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format("{}: key '{}' is missing, expected {}; the class of '{}' has no default for it",
                    source->origin, part.qualified(key), expected, part.model_type));
  }

  template <class T>
  std::optional<T> take(std::string_view key) const {
    const json* const value = look_up(key);
    const bool none = value == nullptr || value->is_null();
    if (none || (std::is_same_v<T, std::int64_t> && *value == "auto")) return {};
    std::optional<T> taken = Expected<T>::take(*value);
    if (!taken) fail_type(key, *value, Expected<T>::one);
    if constexpr (std::is_same_v<T, std::int64_t>) check_range(key, *taken);
    return taken;
  }
  template <class T>
  std::optional<T> maybe(std::string_view key) const {
    std::optional<T> value = take<T>(key);
    accounting->gave(part, key, value ? json(*value) : json());
    return value;
  }
  template <class T>
  T one(std::string_view key, std::optional<T> fallback) const {
    std::optional<T> value = take<T>(key);
    if (!value) value = std::move(fallback);
    if (!value) fail_absent(key, part.find(key), Expected<T>::one);
    accounting->gave(part, key, *value);
    return *std::move(value);
  }
  template <class T>
  std::vector<T> many(std::string_view key) const {
    const json* value = look_up(key);
    // Constructors replace a None by the list that they declare; none of them works without one.
    const json* const declared = part.default_of(key);
    if (value != nullptr && value->is_null() && declared != nullptr) value = declared;
    if (value == nullptr || value->is_null()) fail_absent(key, value, Expected<T>::many);
    std::vector<T> list;
    for (const json& item : value->is_array() ? *value : json::array({*value})) {
      std::optional<T> taken = Expected<T>::take(item);
      if (!taken) fail_type(key, *value, Expected<T>::many);
      if constexpr (std::is_same_v<T, std::int64_t>) check_range(key, *taken);
      list.push_back(*std::move(taken));
    }
    accounting->gave(part, key, list);
    return list;
  }
};

// ---- reading ----

PretrainedConfig PretrainedConfig::from_pretrained(const fs::path& folder) {
  std::error_code error;
  const fs::path file = folder / "config.json";
  if (!fs::is_directory(folder, error)) {
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format("{}: {}; give a local checkpoint folder that holds config.json and the weights",
                    folder.string(), fs::exists(folder, error) ? "not a folder" : "no such folder"));
  }
  if (!fs::exists(file, error)) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: no config.json in this folder; copy it from the model's repository "
                                  "into the folder of the weights, or give the folder that has it",
                                  folder.string()));
  }
  return from_json(config::read_json_text(file), file.string());
}

PretrainedConfig PretrainedConfig::from_json(std::string_view text, std::string origin,
                                             std::string model_type) {
  auto values = std::make_shared<const json>(config::parse_json(text, origin));
  if (!values->is_object()) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: expected a json object, got {}", origin, config::brief(*values)));
  }
  if (const auto it = values->find("model_type"); it != values->end() && !it->is_null()) {
    if (!it->is_string() || it->get<std::string>().empty()) {
      throw ExportError(ErrorCode::bad_config,
                        fmt::format("{}: key 'model_type' is {}, expected a string like \"bert\"", origin,
                                    config::brief(*it)));
    }
    model_type = it->get<std::string>();
  }
  if (model_type.empty()) {
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format("{}: key 'model_type' is missing; add the type of the architecture, such as "
                    "\"model_type\": \"bert\"",
                    origin));
  }
  Part part{"",
            model_type,
            std::move(values),
            config::class_defaults(model_type),
            config::class_defaults(""),
            config::renamed_keys(model_type)};
  auto accounting = std::make_shared<Accounting>();
  accounting->add(part);
  const std::int64_t major = config::major_version(*part.values);
  auto source = std::make_shared<const Source>(Source{std::string(text), std::move(origin), major});
  return PretrainedConfig(
      std::make_shared<Impl>(Impl{std::move(source), std::move(accounting), std::move(part)}));
}

void PretrainedConfig::register_class_defaults(const std::string& model_type, const std::string& json) {
  config::register_class_defaults(model_type, json);
}

PretrainedConfig PretrainedConfig::sub(std::string_view key, std::string model_type) const {
  const Part& owner = impl_->part;
  const json* const value = impl_->look_up(key);
  const bool given = value != nullptr && !value->is_null();
  if (given && !value->is_object()) impl_->fail_type(key, *value, "an object");

  // Aliases share the ownership of the whole: a default belongs to its class, a value to the file.
  std::shared_ptr<const json> values = std::make_shared<const json>(json::object());
  if (given) {
    const auto& whole = owner.values->contains(key)    ? owner.values
                        : owner.declared_by_class(key) ? owner.defaults
                                                       : owner.base;
    values = std::shared_ptr<const json>(whole, value);
    if (const auto it = values->find("model_type"); it != values->end() && it->is_string()) {
      // The owner's class names the type. Files may have another name for it, or an empty one.
      auto named = it->get<std::string>();
      if (!named.empty() && (model_type.empty() || config::class_defaults(named)))
        model_type = std::move(named);
    }
  }
  if (model_type.empty()) model_type = fmt::format("{}.{}", owner.model_type, key);
  Part part{owner.qualified(key), model_type,
            std::move(values),    config::class_defaults(model_type),
            owner.base,           config::renamed_keys(model_type)};
  if (!given && !part.defaults) impl_->fail_absent(key, value, "an object");
  impl_->accounting->gave(owner, key, given || part.defaults ? json(true) : json());
  impl_->accounting->add(part);
  return PretrainedConfig(std::make_shared<Impl>(Impl{impl_->source, impl_->accounting, std::move(part)}));
}

PretrainedConfig PretrainedConfig::with(std::string_view key, std::string_view value) const {
  json values = *impl_->part.values;
  values[std::string(key)] = config::parse_value(key, value);
  // The type of this object may come from its owner's class; that of the whole comes from the value.
  if (!impl_->part.path.empty()) values["model_type"] = impl_->part.model_type;
  return from_json(values.dump(), impl_->source->origin, impl_->part.model_type);
}

PretrainedConfig PretrainedConfig::settled(std::string_view key, std::string_view value) const {
  auto values = std::make_shared<json>(*impl_->part.values);
  (*values)[std::string(key)] = config::parse_value(key, value);
  Impl other = *impl_;
  other.part.values = std::move(values);
  return PretrainedConfig(std::make_shared<Impl>(std::move(other)));
}

PretrainedConfig PretrainedConfig::unaccounted() const {
  auto accounting = std::make_shared<Accounting>();
  accounting->add(impl_->part);
  return PretrainedConfig(std::make_shared<Impl>(Impl{impl_->source, std::move(accounting), impl_->part}));
}

// ---- lookups ----

const std::string& PretrainedConfig::model_type() const { return impl_->part.model_type; }
const std::string& PretrainedConfig::origin() const { return impl_->source->origin; }
std::string PretrainedConfig::text() const { return impl_->source->text; }
std::int64_t PretrainedConfig::transformers_major() const { return impl_->source->transformers_major; }

std::vector<std::string> PretrainedConfig::architectures() const {
  const json* const value = impl_->look_up("architectures");
  return value == nullptr || value->is_null() ? std::vector<std::string>{} : strings("architectures");
}

std::int64_t PretrainedConfig::num_labels() const {
  // A default of id2label is only what num_labels = 2 makes of it, so the file's num_labels comes before
  // that.
  const json* const labels = impl_->look_up("id2label");
  if (labels != nullptr && impl_->part.values->contains("id2label") && !labels->is_null()) {
    if (!labels->is_object()) impl_->fail_type("id2label", *labels, "an object");
    impl_->accounting->read(impl_->part, "num_labels");
    return static_cast<std::int64_t>(labels->size());
  }
  const std::int64_t number = integer("num_labels", 2);
  if (number < 0) impl_->fail_type("num_labels", number, "an integer >= 0");
  return number;
}

bool PretrainedConfig::has(std::string_view key) const {
  const json* const value = impl_->part.find(key);
  const bool there = value != nullptr && !value->is_null();
  if (!there) impl_->accounting->gave(impl_->part, key, json());
  return there;
}

std::int64_t PretrainedConfig::integer(std::string_view key, std::optional<std::int64_t> fallback) const {
  return impl_->one(key, fallback);
}
double PretrainedConfig::real(std::string_view key, std::optional<double> fallback) const {
  return impl_->one(key, fallback);
}
bool PretrainedConfig::flag(std::string_view key, std::optional<bool> fallback) const {
  if (!fallback && impl_->part.values->contains(key)) fallback = false;
  return impl_->one(key, fallback);
}
std::string PretrainedConfig::string(std::string_view key, std::optional<std::string> fallback) const {
  return impl_->one(key, std::move(fallback));
}

std::vector<std::int64_t> PretrainedConfig::integers(std::string_view key) const {
  return impl_->many<std::int64_t>(key);
}
std::vector<double> PretrainedConfig::reals(std::string_view key) const { return impl_->many<double>(key); }
std::vector<std::string> PretrainedConfig::strings(std::string_view key) const {
  return impl_->many<std::string>(key);
}

std::optional<std::int64_t> PretrainedConfig::maybe_integer(std::string_view key) const {
  return impl_->maybe<std::int64_t>(key);
}
std::optional<double> PretrainedConfig::maybe_real(std::string_view key) const {
  return impl_->maybe<double>(key);
}
std::optional<std::string> PretrainedConfig::maybe_string(std::string_view key) const {
  return impl_->maybe<std::string>(key);
}

// ---- accounting ----

void PretrainedConfig::harmless(std::initializer_list<std::string_view> keys) const {
  for (const std::string_view key : keys) impl_->accounting->harmless(impl_->part, key);
}

std::vector<std::string> PretrainedConfig::unread_knobs() const { return impl_->accounting->unread_knobs(); }
std::vector<std::string> PretrainedConfig::unknown_keys() const { return impl_->accounting->unknown_keys(); }
std::vector<ReadKey> PretrainedConfig::read_keys() const { return impl_->accounting->read_keys(); }

}  // namespace onnxport
