/// ExportError on both sides.
#pragma once

#include <exception>
#include <string_view>

#include "bind.h"
#include "onnxport/error.h"

namespace onnxport::python {

/// "bad_config", …: ExportError.code in Python.
std::string_view name_of(ErrorCode code);

/// Raises ExportError of the package for one of the library, and KeyboardInterrupt for Cancelled.
void translate(const std::exception_ptr& error, void* payload);

/// For call_python(): throws the ExportError that this is, if it is one.
void rethrow_export_error(const nb::python_error& error);

/// Calls Python code for the library: an ExportError of the package becomes one of the library, which knows
/// how to handle it.
template <class Fn>
auto call_python(Fn&& fn) -> decltype(fn()) {
  try {
    return fn();
  } catch (const nb::python_error& error) {
    rethrow_export_error(error);
    throw;
  }
}

}  // namespace onnxport::python
