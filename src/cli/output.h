/// Lines and reports of the commands.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

namespace onnxport::cli {

using json = nlohmann::ordered_json;

/// To the standard output.
inline void say(const std::string& line) { std::fprintf(stdout, "%s\n", line.c_str()); }
/// To the standard error.
inline void note(const std::string& line) { std::fprintf(stderr, "onnxport: %s\n", line.c_str()); }
/// Characters that are not UTF-8 are replaced.
inline void print_json(const json& report) {
  say(report.dump(2, ' ', false, json::error_handler_t::replace));
}

/// 1234567 -> 1,234,567
inline std::string with_thousands(std::int64_t number) {
  std::string digits = std::to_string(number);
  for (std::ptrdiff_t at = std::ssize(digits) - 3; at > 0; at -= 3)
    digits.insert(static_cast<std::size_t>(at), 1, ',');
  return digits;
}

}  // namespace onnxport::cli
