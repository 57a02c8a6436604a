/// Lists in the reports of commands.
#pragma once

#include <fmt/format.h>

#include <cstddef>
#include <string>

#include "cli/output.h"

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

}  // namespace onnxport::cli
