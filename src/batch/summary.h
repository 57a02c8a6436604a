/// The summary page of `export-many`.
#pragma once

#include <string>

#include "onnxport/export_many.h"

namespace onnxport::batch {

/// Markdown: how many exports have which status, and a row for each.
std::string summary_page(const ManyReport& report);

}  // namespace onnxport::batch
