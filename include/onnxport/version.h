/// The version of onnxport that a program or plugin was built against.
#pragma once

#include <string_view>

namespace onnxport {

/// That of the project in CMakeLists.txt; the build checks it.
inline constexpr std::string_view kVersion = "0.1.0";

}  // namespace onnxport
