// The extension onnxport._native: the C++ library, for the package around it.
#include "bind.h"
#include "errors.h"
#include "onnxport/version.h"

NB_MODULE(_native, m) {
  using namespace onnxport::python;
  m.doc() = "The C++ library of onnxport. The package around it is the interface.";
  // Definitions that a script registers live as long as the registry, which outlives the interpreter.
  nb::set_leak_warnings(false);
  nb::register_exception_translator(translate, nullptr);
  m.attr("version") = std::string(onnxport::kVersion);
  bind_registry(m);
  bind_configs(m);
  bind_exports(m);
  bind_files(m);
  bind_program(m);
  bind_graph(m);
  nb::module_ op = m.def_submodule("op", "The semantic ops.");
  bind_ops(op);
  bind_recurrences(op);
  nb::module_ modules = m.def_submodule("nn", "The modules.");
  bind_modules(modules);
  bind_encoders(modules);
  bind_decoders(modules);
  bind_register(m);
}
