/// How `export-many` starts its exports, for programs that contain this one.
#pragma once

#include <string>
#include <vector>

#include "onnxport/export_many.h"

namespace onnxport::cli {

/// Runs the exports elsewhere. An empty engine: on this machine.
void set_many_engine(ManyEngine engine);
/// The command that starts this program again. Empty: its own file.
void set_own_command(std::vector<std::string> command);

}  // namespace onnxport::cli
