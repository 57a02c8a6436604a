#include "hub/names.h"

#include <algorithm>

#include "support/fail.h"
#include "support/printable.h"

namespace onnxport::hub {
namespace {

constexpr std::size_t kLongestName = 96;
constexpr std::size_t kLongestFileName = 255;  // of Linux's file systems

bool is_alphanumeric(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_word(char c) { return is_alphanumeric(c) || c == '_'; }
bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }
bool contains(std::string_view text, std::string_view part) { return text.find(part) != text.npos; }

bool is_id_part(std::string_view part) {
  return !part.empty() && is_word(part.front()) && is_word(part.back()) &&
         std::all_of(part.begin(), part.end(), [](char c) { return is_word(c) || c == '-' || c == '.'; });
}

}  // namespace

void check_repo_id(std::string_view id) {
  const std::size_t slash = id.find('/');
  const bool has_owner = slash != id.npos;
  const std::string_view name = has_owner ? id.substr(slash + 1) : id;
  const std::string_view reason = [&]() -> std::string_view {
    if (has_owner && !is_id_part(id.substr(0, slash)))
      return "its owner may contain only letters, digits, '.', '_' and '-', and neither start nor end with "
             "'.' or '-'";
    if (!is_id_part(name))
      return "its name may contain only letters, digits, '.', '_' and '-', and neither start nor end with "
             "'.' or '-'";
    if (name.size() > kLongestName) return "its name has more than 96 characters";
    if (contains(id, "--") || contains(id, "..")) return "it contains '--' or '..'";
    if (id.ends_with(".git")) return "it ends in '.git'";
    return "";
  }();
  if (reason.empty()) return;
  fail(ErrorCode::invalid_argument,
       "'{}' is neither an existing folder nor the id of a repository (ORG/NAME or NAME): {}", printable(id),
       reason);
}

void check_revision(std::string_view revision) {
  const bool has_odd = std::any_of(revision.begin(), revision.end(), [](char c) {
    return is_control(c) || contains(" ~^:?*[\\", std::string_view(&c, 1));
  });
  if (!has_odd && is_safe_path(revision)) return;
  fail(ErrorCode::invalid_argument, "--revision '{}': expected the name of a branch or tag, or a commit",
       printable(revision));
}

bool is_commit(std::string_view text) {
  constexpr std::size_t kDigits = 40;
  return text.size() == kDigits && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

bool is_safe_path(std::string_view path) {
  while (true) {
    const std::size_t slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    if (part.empty() || part == "." || part == ".." || part.size() > kLongestFileName) return false;
    if (std::any_of(part.begin(), part.end(), is_control)) return false;
    if (slash == path.npos) return true;
    path.remove_prefix(slash + 1);
  }
}

bool is_safe_etag(std::string_view etag) {
  constexpr std::size_t kLongest = 200;  // with a suffix it still is the name of a file
  return !etag.empty() && etag.size() <= kLongest && etag.front() != '.' &&
         std::all_of(etag.begin(), etag.end(), [](char c) { return is_word(c) || c == '-' || c == '.'; });
}

std::string quote(std::string_view text, std::string_view keep) {
  std::string result;
  for (const char c : text) {
    if (is_word(c) || c == '-' || c == '.' || c == '~' || contains(keep, std::string_view(&c, 1))) {
      result += c;
    } else {
      result += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return result;
}

}  // namespace onnxport::hub
