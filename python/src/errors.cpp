#include "errors.h"

#include <exception>
#include <string>
#include <utility>

#include "onnxport/cancellation.h"

namespace onnxport::python {
namespace {

constexpr std::pair<ErrorCode, std::string_view> kNames[] = {
    {ErrorCode::invalid_argument, "invalid_argument"},
    {ErrorCode::bad_config, "bad_config"},
    {ErrorCode::bad_checkpoint, "bad_checkpoint"},
    {ErrorCode::unsupported, "unsupported"},
    {ErrorCode::shape, "shape"},
    {ErrorCode::io, "io"},
    {ErrorCode::validation_failed, "validation_failed"},
    {ErrorCode::runtime, "runtime"},
    {ErrorCode::internal, "internal"},
};

nb::object error_class() { return nb::module_::import_("onnxport.errors").attr("ExportError"); }

}  // namespace

std::string_view name_of(ErrorCode code) {
  for (const auto& [known, name] : kNames) {
    if (known == code) return name;
  }
  return "internal";
}

void translate(const std::exception_ptr& error, void* /*payload*/) {
  try {
    std::rethrow_exception(error);
  } catch (const ExportError& failure) {
    const nb::object type = error_class();
    const nb::object value = type(failure.what(), std::string(name_of(failure.code())));
    PyErr_SetObject(type.ptr(), value.ptr());
  } catch (const Cancelled&) {
    PyErr_SetNone(PyExc_KeyboardInterrupt);
  }
}

void rethrow_export_error(const nb::python_error& error) {
  const nb::gil_scoped_acquire gil;
  if (!error.matches(error_class())) return;
  const auto code = nb::cast<std::string>(error.value().attr("code"));
  const auto message = nb::cast<std::string>(nb::str(error.value()));
  for (const auto& [known, name] : kNames) {
    if (name == code) throw ExportError(known, message);
  }
  throw ExportError(ErrorCode::internal, message);
}

}  // namespace onnxport::python
