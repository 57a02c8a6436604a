/// Parts of the reports of `diff`.
#pragma once

#include <fmt/format.h>

#include <cstddef>
#include <string>
#include <vector>

#include "cli/output.h"
#include "onnxport/diff.h"
#include "support/text.h"

namespace onnxport::cli {

/// The lines of a list, as far as there is room for them.
template <class List, class Line>
void print_list(const std::string& title, const List& list, bool verbose, Line&& line) {
  constexpr std::size_t kMost = 10;  // lines; --verbose shows all
  if (list.empty()) return;
  say(fmt::format("  {} ({})", title, list.size()));
  std::size_t shown = 0;
  for (const auto& one : list) {
    if (!verbose && shown++ == kMost) {
      say(fmt::format("    … {} more; --verbose lists them", list.size() - kMost));
      return;
    }
    say("    " + line(one));
  }
}

/// What one of the files has.
inline std::string side(const std::string& text) { return text.empty() ? "absent" : text; }

/// "max difference 0.1, tolerance 0.01", or the shapes if these differ.
inline std::string difference_text(const OutputComparison& one) {
  if (one.shape != one.reference_shape)
    return fmt::format("{} instead of {}", text::shape_text(one.shape),
                       text::shape_text(one.reference_shape));
  return fmt::format("max difference {:.3g}, tolerance {:.3g}", one.max_difference, one.tolerance);
}

/// {"ai.onnx": ["17", "18"]}
inline json describe(const std::vector<TextDiff>& list) {
  json all = json::object();
  for (const TextDiff& one : list) all[one.name] = {one.a, one.b};
  return all;
}

}  // namespace onnxport::cli
