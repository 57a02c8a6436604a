/// The template of the page, with its scripts and styles, as the build makes it from page/ and the pinned
/// libraries.
#pragma once

#include <string_view>

namespace onnxport::report {

/// The page before and after its data.
std::string_view page_head();
std::string_view page_tail();

}  // namespace onnxport::report
