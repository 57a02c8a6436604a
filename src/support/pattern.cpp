#include "support/pattern.h"

#include <fmt/format.h>

#include <utility>

#include "support/fail.h"

namespace onnxport {

Pattern::Pattern(const std::string& text, std::size_t longest, std::string called, std::string_view before,
                 std::string_view after)
    : called_(std::move(called)) {
#ifdef __GLIBCXX__
  constexpr auto kFlags = std::regex::ECMAScript | std::regex_constants::__polynomial;
#else
  constexpr auto kFlags = std::regex::ECMAScript;
#endif
  if (text.size() > longest) refuse(fmt::format("{} bytes, expected at most {}", text.size(), longest));
  try {
    regex_ = std::regex(fmt::format("{}{}{}", before, text, after), kFlags);
  } catch (const std::regex_error& error) {
    refuse(error.what());
  }
}

bool Pattern::matches(const std::string& name) const {
  try {
    return std::regex_match(name, regex_);
  } catch (const std::regex_error& error) {
    refuse(error.what());
  }
}

bool Pattern::matches_beginning(const std::string& name) const {
  try {
    return std::regex_search(name, regex_, std::regex_constants::match_continuous);
  } catch (const std::regex_error& error) {
    refuse(error.what());
  }
}

void Pattern::refuse(std::string_view why) const {
  fail(ErrorCode::bad_config, "{} is no usable regular expression: {}", called_, why);
}

}  // namespace onnxport
