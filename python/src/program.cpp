// The command line, in this process.
#include "cli/program.h"

#include <string>
#include <vector>

#include "bind.h"
#include "cli/plugin.h"
#include "errors.h"
#include "interrupt.h"

namespace onnxport::python {
namespace {

int run_program(std::vector<std::string> arguments, const nb::object& load_plugin) {
  const Callback load(load_plugin);
  if (load)
    cli::set_python_plugins([load](const std::filesystem::path& path) { call_python([&] { load(path); }); });
  const int status = run_interruptible([&] {
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    return cli::run_program(static_cast<int>(arguments.size()), argv.data());
  });
  cli::set_python_plugins({});
  return status;
}

}  // namespace

void bind_program(nb::module_& m) {
  m.def("run_program", run_program, nb::arg("arguments"), nb::arg("load_plugin").none() = nb::none(),
        "Runs a command line of the program, with its name first, and returns the exit status.");
}

}  // namespace onnxport::python
