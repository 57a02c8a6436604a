/// Throwing with a formatted message.
#pragma once

#include <fmt/format.h>

#include <utility>

#include "onnxport/error.h"

namespace onnxport {

/// Throws ExportError(code) with a message in the style of error.h.
template <class... Args>
[[noreturn]] void fail(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  throw ExportError(code, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace onnxport
