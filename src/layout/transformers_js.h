/// The files that transformers.js looks for.
///
/// Source: src/utils/dtypes.js and src/utils/model-loader.js of version 4.3.2.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "onnxport/plan.h"

namespace onnxport::layout {

/// Models go to the folder `onnx`. They take only inputs that the client gives. Throws
/// ExportError(unsupported) for a precision that the client does not know.
ExportPlan arrange_transformers_js(ExportPlan plan);

/// The text of config.json with `transformers.js_config`: the number of data files of each model that has
/// any, the dtype of caches in half precision, and the default precision if there is only one. `text`: that
/// of the model's config.json; Python's Infinity becomes 1e999, which JavaScript reads, too. `data_files`: by
/// the name of the model's file.
std::string transformers_js_config(const ExportPlan& plan, std::string_view text,
                                   const std::map<std::string, std::int64_t>& data_files);

/// Data files of this size or less can be loaded in a browser, in bytes.
inline constexpr std::uint64_t kLargestDataFile = 2'000'000'000;

}  // namespace onnxport::layout
