/// The program, for `main` and for the Python package.
#pragma once

namespace onnxport::cli {

/// Runs a command line and returns its exit status. Throws nothing but Cancelled.
int run_program(int argc, char** argv);

}  // namespace onnxport::cli
