/// The build of the program and the versions of its libraries.
#pragma once

#include "cli/output.h"

namespace onnxport::cli {

/// For --version --json.
json build_info();

}  // namespace onnxport::cli
