/// How `export-many` starts its exports, for programs that contain this one.
#pragma once

#include <string>
#include <vector>

#include "onnxport/export_many.h"

namespace onnxport::cli {

/// Another place for the exports. An empty one: this machine.
void set_many_engine(ManyEngine engine);
/// What starts this program again. Empty: its file.
void set_own_command(std::vector<std::string> command);

}  // namespace onnxport::cli
