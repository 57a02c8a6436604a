/// The environment of this process, without what speaks to the hub's tools.
#pragma once

#include <cstdlib>
#include <map>
#include <string>
#include <string_view>
#include <vector>

extern char** environ;  // NOLINT: POSIX

namespace onnxport::test {

/// Takes the hub's variables away, and gives everything back at the end.
class CleanEnvironment {
 public:
  CleanEnvironment() {
    for (char** entry = environ; *entry != nullptr; ++entry) {
      const std::string_view text = *entry;
      const std::size_t equals = text.find('=');
      before_.emplace(text.substr(0, equals), text.substr(equals + 1));
    }
    for (const auto& [name, value] : before_) {
      if (concerns_hub(name)) unsetenv(name.c_str());
    }
  }
  ~CleanEnvironment() {
    std::vector<std::string> added;
    for (char** entry = environ; *entry != nullptr; ++entry) {
      const std::string_view text = *entry;
      added.emplace_back(text.substr(0, text.find('=')));
    }
    for (const std::string& name : added) {
      if (!before_.contains(name)) unsetenv(name.c_str());
    }
    for (const auto& [name, value] : before_) setenv(name.c_str(), value.c_str(), 1);
  }
  CleanEnvironment(const CleanEnvironment&) = delete;
  CleanEnvironment& operator=(const CleanEnvironment&) = delete;

 private:
  static bool concerns_hub(std::string_view name) {
    return name.starts_with("HF_") || name.starts_with("HUGGING") || name.ends_with("_CA_BUNDLE") ||
           name == "TRANSFORMERS_OFFLINE" || name == "XDG_CACHE_HOME" || name == "SSL_CERT_FILE";
  }
  std::map<std::string, std::string> before_;
};

}  // namespace onnxport::test
