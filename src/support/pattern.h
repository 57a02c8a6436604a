/// Regular expressions that come from files.
#pragma once

#include <cstddef>
#include <regex>
#include <string>
#include <string_view>

namespace onnxport {

/// A regular expression (ECMAScript). It is matched without backtracking where the library can, because a
/// search that backtracks could take forever, or the whole stack.
class Pattern {
 public:
  /// `called` begins the messages. `before` and `after` are added around the text. All functions throw
  /// ExportError(bad_config): for a text of more than `longest` bytes, which keeps the automaton small, for
  /// one that is not valid, and for a search that fails.
  Pattern(const std::string& text, std::size_t longest, std::string called, std::string_view before = {},
          std::string_view after = {});

  /// Whether it matches all of `name`.
  bool matches(const std::string& name) const;
  /// Whether it matches the beginning of `name`. (re.match)
  bool matches_beginning(const std::string& name) const;

 private:
  [[noreturn]] void refuse(std::string_view why) const;

  std::string called_;
  std::regex regex_;
};

}  // namespace onnxport
