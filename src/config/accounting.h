/// Accounting of a configuration: the keys that were looked up, and the values that they gave.
#pragma once

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "config/renamed_keys.h"
#include "onnxport/config.h"

namespace onnxport::config {

/// One object of the file, with the keys that its class declares.
struct Part {
  std::string path;  ///< of the object in the file, empty for the whole
  std::string model_type;
  std::shared_ptr<const nlohmann::json> values;    ///< as in the file
  std::shared_ptr<const nlohmann::json> defaults;  ///< of the class, or null when it is unknown
  std::shared_ptr<const nlohmann::json> base;      ///< of the base class of all configurations
  std::vector<Rename> renames;                     ///< of the class

  std::string qualified(std::string_view key) const;
  bool declared_by_class(std::string_view key) const { return defaults && defaults->contains(key); }
  /// A nested object without a class is one knob of its owner: all that is in it may matter.
  bool is_knob() const { return !defaults && !path.empty(); }
  /// The default of a declared key, or null for another key.
  const nlohmann::json* default_of(std::string_view key) const;
  /// The name under which the file has the key: its own, or one that the class takes for it.
  std::string_view spelling(std::string_view key) const;
  /// The places of a lookup, in order: file, class, base class. `key[0]` is the first item of a list.
  const nlohmann::json* find(std::string_view key) const;
};

/// The key of the list of an item `key[0]`; any other key as it is.
std::string_view list_of(std::string_view key);

class Accounting {
 public:
  void add(const Part& part) { parts_.insert_or_assign(part.path, part); }
  /// A lookup, before anybody knows whether it succeeds.
  void read(const Part& part, std::string_view key) { read_[part.path].try_emplace(std::string(key)); }
  /// The value that a lookup gave: that of the file, the class or the caller.
  void gave(const Part& part, std::string_view key, nlohmann::json value);
  void harmless(const Part& part, std::string_view key) { harmless_.insert(part.qualified(key)); }

  std::vector<std::string> unread_knobs() const;
  std::vector<std::string> unknown_keys() const;
  std::vector<ReadKey> read_keys() const;

 private:
  using Lookups = std::map<std::string, std::vector<nlohmann::json>, std::less<>>;  // by key

  bool is_harmless(const Part& part, std::string_view key) const;
  bool answered(const Part& part, std::string_view key) const;

  std::map<std::string, Part> parts_;  // objects that were handed out, by path
  std::map<std::string, Lookups> read_;
  std::set<std::string, std::less<>> harmless_;
};

}  // namespace onnxport::config
