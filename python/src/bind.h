/// What the files of the extension share.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

namespace nb = nanobind;

namespace onnxport::python {

// Each adds one concern to the module.
void bind_registry(nb::module_& m);
void bind_configs(nb::module_& m);
void bind_exports(nb::module_& m);
void bind_files(nb::module_& m);
void bind_program(nb::module_& m);
void bind_graph(nb::module_& m);  ///< values, weights, scopes, and what a definition is called with
void bind_ops(nb::module_& m);    ///< onnxport.op
void bind_recurrences(nb::module_& m);
void bind_modules(nb::module_& m);   ///< onnxport.nn: parts of all kinds
void bind_encoders(nb::module_& m);  ///< onnxport.nn: text encoders
void bind_decoders(nb::module_& m);  ///< onnxport.nn: text decoders
void bind_register(nb::module_& m);  ///< architectures in Python

}  // namespace onnxport::python
