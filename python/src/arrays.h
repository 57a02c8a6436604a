/// Tensors and NumPy arrays.
#pragma once

#include <nanobind/ndarray.h>

#include "bind.h"
#include "onnxport/dtype.h"
#include "onnxport/tensor.h"

namespace onnxport::python {

/// The element type of an array, or nothing if there is none.
std::optional<DType> dtype_of(nb::dlpack::dtype type);

/// A NumPy array that owns the elements. NumPy has no bfloat16, so its bits become int16.
nb::object to_numpy(Tensor tensor);

/// {name: array}, in order.
nb::dict to_numpy(NamedTensors tensors);

}  // namespace onnxport::python
