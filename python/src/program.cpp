// The command line, in this process.
#include "cli/program.h"

#include <string>
#include <tuple>
#include <vector>

#include "bind.h"
#include "cli/many_engine.h"
#include "cli/plugin.h"
#include "errors.h"
#include "interrupt.h"

namespace onnxport::python {
namespace {

/// An engine in Python: start(id, task), poll() -> list of (id, result, error), stop(), jobs.
ManyEngine engine_of(const nb::object& engine) {
  ManyEngine made;
  const Callback start(engine.attr("start")), poll(engine.attr("poll")), stop(engine.attr("stop"));
  made.start = [start](std::size_t id, const std::string& task) { call_python([&] { start(id, task); }); };
  made.poll = [poll] {
    using Ends = std::vector<std::tuple<std::size_t, std::string, std::string>>;
    std::vector<ManyEnd> ends;
    for (auto& [id, result, error] : call_python([&] { return poll.get<Ends>(); }))
      ends.push_back({id, std::move(result), std::move(error)});
    return ends;
  };
  made.stop = [stop] { call_python([&] { stop(); }); };
  made.jobs = nb::cast<std::size_t>(engine.attr("jobs"));
  return made;
}

std::string run_many_task(const std::string& task, const std::vector<std::string>& command) {
  return run_interruptible([&] { return onnxport::run_many_task(task, command); });
}

/// Lets go of Python's objects, also after an exception.
struct Reset {
  ~Reset() {
    cli::set_python_plugins({});
    cli::set_many_engine({});
  }
};

int run_program(std::vector<std::string> arguments, const nb::object& load_plugin,
                const std::vector<std::string>& command, const nb::object& many_engine) {
  const Callback load(load_plugin);
  cli::set_own_command(command);
  cli::set_many_engine(many_engine.is_none() ? ManyEngine{} : engine_of(many_engine));
  if (load)
    cli::set_python_plugins([load](const std::filesystem::path& path) { call_python([&] { load(path); }); });
  const Reset reset;
  return run_interruptible([&] {
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    return cli::run_program(static_cast<int>(arguments.size()), argv.data());
  });
}

}  // namespace

void bind_program(nb::module_& m) {
  m.def("run_program", run_program, nb::arg("arguments"), nb::arg("load_plugin").none() = nb::none(),
        nb::arg("command") = std::vector<std::string>(), nb::arg("many_engine").none() = nb::none(),
        "Runs a command line of the program, with its name first, and returns the exit status. `command` "
        "starts the program again. `many_engine` runs the exports of a list.");
  m.def("run_many_task", run_many_task, nb::arg("task"), nb::arg("command"),
        "Runs a task of export-many on the machine where this is called, and returns its result as a text.");
}

}  // namespace onnxport::python
