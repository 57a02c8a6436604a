// The extension onnxport._native: the C++ library, for the package around it.
#include <exception>

#include "bind.h"
#include "onnxport/cancellation.h"
#include "onnxport/error.h"
#include "onnxport/version.h"

namespace onnxport::python {
namespace {

constexpr const char* name_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument:
      return "invalid_argument";
    case ErrorCode::bad_config:
      return "bad_config";
    case ErrorCode::bad_checkpoint:
      return "bad_checkpoint";
    case ErrorCode::unsupported:
      return "unsupported";
    case ErrorCode::shape:
      return "shape";
    case ErrorCode::io:
      return "io";
    case ErrorCode::validation_failed:
      return "validation_failed";
    case ErrorCode::runtime:
      return "runtime";
    case ErrorCode::internal:
      return "internal";
  }
  return "internal";
}

void translate(const std::exception_ptr& error, void* /*payload*/) {
  try {
    std::rethrow_exception(error);
  } catch (const ExportError& failure) {
    const nb::object type = nb::module_::import_("onnxport.errors").attr("ExportError");
    const nb::object value = type(failure.what(), name_of(failure.code()));
    PyErr_SetObject(type.ptr(), value.ptr());
  } catch (const Cancelled&) {
    PyErr_SetNone(PyExc_KeyboardInterrupt);
  }
}

}  // namespace
}  // namespace onnxport::python

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
}
