/// Tensors in memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "onnxport/dtype.h"
#include "onnxport/export_macro.h"

namespace onnxport {

/// A dense row-major tensor in memory: dummy inputs, recorded references, results of ONNX Runtime.
struct ONNXPORT_API Tensor {
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
  std::vector<std::byte> data;  ///< numel * size_of(dtype) bytes

  Tensor() = default;
  /// Zeros.
  Tensor(DType dtype, std::vector<std::int64_t> shape);
  /// Values rounded to `dtype` (float dtypes round to nearest even; integers must be exact).
  static Tensor from_doubles(DType dtype, std::vector<std::int64_t> shape, std::span<const double> values);
  static Tensor from_ints(DType dtype, std::vector<std::int64_t> shape, std::span<const std::int64_t> values);

  std::int64_t numel() const;
  std::vector<double> to_doubles() const;
  std::vector<std::int64_t> to_ints() const;
};

/// Tensors by name, in order.
using NamedTensors = std::vector<std::pair<std::string, Tensor>>;
ONNXPORT_API const Tensor* find(const NamedTensors& tensors, std::string_view name);

}  // namespace onnxport
