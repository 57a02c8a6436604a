/// Names from files, fit for messages.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace onnxport {

/// Long names are cut, and control characters do not reach the terminal.
inline std::string printable(std::string_view name) {
  constexpr std::size_t kLongest = 200;
  std::string result(name.substr(0, kLongest));
  for (char& c : result) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return name.size() > kLongest ? result + "…" : result;
}

}  // namespace onnxport
