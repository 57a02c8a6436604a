#include "onnxport/config.h"

#include <fmt/format.h>

#include <utility>

#include "config/accounting.h"
#include "config/class_defaults.h"
#include "config/json.h"
#include "config/library_version.h"
#include "config/lookup.h"
#include "onnxport/error.h"

namespace onnxport {
namespace {

using config::Accounting;
using config::Part;
using config::Source;
using nlohmann::json;
namespace fs = std::filesystem;

}  // namespace

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
  const std::int64_t major = config::major_version(*part.values, part.model_type);
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
    const std::string_view name = config::list_of(key);
    const auto& whole = owner.values->contains(owner.spelling(name)) ? owner.values
                        : owner.declared_by_class(name)              ? owner.defaults
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
  impl_->accounting->gave(owner, config::list_of(key), given || part.defaults ? json(true) : json());
  impl_->accounting->add(part);
  return PretrainedConfig(std::make_shared<Impl>(Impl{impl_->source, impl_->accounting, std::move(part)}));
}

PretrainedConfig PretrainedConfig::as(const std::string& model_type) const {
  Part part = impl_->part;
  part.model_type = model_type;
  part.defaults = config::class_defaults(model_type);
  part.renames = config::renamed_keys(model_type);
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

bool PretrainedConfig::given(std::string_view key) const {
  return has(key) && impl_->part.values->contains(impl_->part.spelling(key));
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
std::vector<std::vector<std::int64_t>> PretrainedConfig::integer_lists(std::string_view key) const {
  return impl_->many<std::vector<std::int64_t>>(key);
}
std::vector<std::string> PretrainedConfig::repeated_strings(std::string_view key) const {
  return impl_->repeated(key);
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
