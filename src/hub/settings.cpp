#include "hub/settings.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cstdlib>
#include <optional>
#include <string_view>

#include "support/fail.h"
#include "support/file.h"
#include "support/text.h"

namespace onnxport::hub {
namespace {

namespace fs = std::filesystem;

std::optional<std::string> environment(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  if (value == nullptr) return std::nullopt;
  return value;
}

/// Empty if it is not set.
std::string text_of(const std::string& name) { return environment(name).value_or(""); }

bool is_true(std::string_view text) {
  const std::string value = text::lower(text);
  return value == "1" || value == "on" || value == "yes" || value == "true";
}

/// Expands a leading `~` to the home folder, and `$NAME` and `${NAME}` if they are set.
fs::path expand(const std::string& text) {
  std::string result;
  for (std::size_t at = 0; at < text.size();) {
    if (at == 0 && text[0] == '~' && (text.size() == 1 || text[1] == '/')) {
      result += environment("HOME").value_or("~");
      ++at;
      continue;
    }
    if (text[at] == '$') {
      const bool braced = text.compare(at, 2, "${") == 0;
      const std::size_t start = at + (braced ? 2 : 1);
      std::size_t end = start;
      while (end < text.size() &&
             (std::isalnum(static_cast<unsigned char>(text[end])) != 0 || text[end] == '_'))
        ++end;
      const bool closed = !braced || (end < text.size() && text[end] == '}');
      if (const auto value = environment(text.substr(start, end - start)); value && end > start && closed) {
        result += *value;
        at = end + (braced ? 1 : 0);
        continue;
      }
    }
    result += text[at++];
  }
  return result;
}

fs::path home() {
  if (const auto set = environment("HF_HOME")) return expand(*set);
  return expand(environment("XDG_CACHE_HOME").value_or("~/.cache")) / "huggingface";
}

fs::path cache_folder() {
  for (const char* name : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"}) {
    if (const auto set = environment(name)) return expand(*set);
  }
  return home() / "hub";
}

std::string stored_token() {
  if (is_true(text_of("HF_HUB_DISABLE_IMPLICIT_TOKEN"))) return "";
  for (const char* name : {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"}) {
    const std::string value = text_of(name);
    if (const std::string_view token = text::trimmed(value); !token.empty()) return std::string(token);
  }
  const auto set = environment("HF_TOKEN_PATH");
  const fs::path file = set ? expand(*set) : home() / "token";
  std::error_code ignored;
  constexpr std::uint64_t kLargest = 4096;
  if (!fs::exists(file, ignored)) return "";
  return std::string(text::trimmed(read_text_file(file, kLargest)));
}

/// The token goes into the header of a request.
void check_token(const std::string& token) {
  if (std::all_of(token.begin(), token.end(), [](char c) { return c > 0x20 && c < 0x7f; })) return;
  fail(ErrorCode::invalid_argument,
       "the token for the Hub contains invalid characters; check --token, HF_TOKEN, or the file that "
       "HF_TOKEN_PATH or HF_HOME names");
}

std::chrono::seconds seconds(const char* name, std::chrono::seconds otherwise) {
  const std::string text = text_of(name);
  if (text.empty()) return otherwise;
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  constexpr int kLongest = 86400;
  if (error != std::errc() || end != text.data() + text.size() || value < 1 || value > kLongest)
    fail(ErrorCode::invalid_argument, "{}='{}': expected seconds, 1 to {}", name, text, kLongest);
  return std::chrono::seconds(value);
}

std::string read_endpoint() {
  std::string endpoint = environment("HF_ENDPOINT").value_or("https://huggingface.co");
  while (endpoint.ends_with('/')) endpoint.pop_back();
  const std::size_t start = endpoint.starts_with("https://")  ? 8
                            : endpoint.starts_with("http://") ? 7
                                                              : std::string::npos;
  const bool printable =
      std::all_of(endpoint.begin(), endpoint.end(), [](char c) { return c > 0x20 && c < 0x7f; });
  if (start == std::string::npos || start == endpoint.size() || !printable) {
    fail(ErrorCode::invalid_argument, "HF_ENDPOINT='{}': expected http:// or https:// and a host", endpoint);
  }
  return endpoint;
}

}  // namespace

Settings read_settings(const HubOptions& options) {
  Settings settings;
  settings.endpoint = read_endpoint();
  settings.cache = options.cache_dir.empty() ? cache_folder() : options.cache_dir;
  settings.force = options.force_download;
  settings.stall = seconds("HF_HUB_DOWNLOAD_TIMEOUT", settings.stall);
  if (options.local_files_only) {
    settings.offline = "--local_files_only";
  } else {
    // A non-empty HF_HUB_OFFLINE overrides the older name.
    for (const char* name : {"HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"}) {
      const std::string text = text_of(name);
      if (text.empty()) continue;
      if (is_true(text)) settings.offline = fmt::format("{}={}", name, text);
      break;
    }
  }
  if (settings.force && !settings.offline.empty()) {
    fail(ErrorCode::invalid_argument, "--force_download contradicts {}: leave one of them out",
         settings.offline);
  }
  if (settings.offline.empty()) {
    settings.token = options.token.empty() ? stored_token() : options.token;
    check_token(settings.token);
  }
  for (const char* name : {"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"}) {
    if (settings.ca_bundle.empty()) settings.ca_bundle = text_of(name);
  }
  return settings;
}

}  // namespace onnxport::hub
