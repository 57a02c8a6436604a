#include "cli/program.h"

int main(int argc, char** argv) { return onnxport::cli::run_program(argc, argv); }
