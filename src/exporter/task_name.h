/// Names of tasks: "text-generation", "text-generation-with-past".
#pragma once

#include <string>
#include <string_view>

namespace onnxport::exporter {

inline constexpr std::string_view kWithPast = "-with-past";

inline bool has_past(std::string_view task) { return task.ends_with(kWithPast); }

/// The task without its past.
inline std::string base_task(std::string_view task) {
  if (has_past(task)) task.remove_suffix(kWithPast.size());
  return std::string(task);
}

}  // namespace onnxport::exporter
