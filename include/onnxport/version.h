/// The version of onnxport that a program or plugin was built against.
#pragma once

#include <string_view>

namespace onnxport {

/// The version of the project in CMakeLists.txt; the build checks that they are equal.
inline constexpr std::string_view kVersion = "0.1.0";

}  // namespace onnxport
