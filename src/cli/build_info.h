/// What the program was built from.
#pragma once

#include "cli/output.h"

namespace onnxport::cli {

/// For --version --json.
json build_info();

}  // namespace onnxport::cli
