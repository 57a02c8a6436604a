#include "onnxport/tensor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "support/convert.h"
#include "support/fail.h"
#include "support/shape.h"
#include "support/text.h"

namespace onnxport {
namespace {

template <class T>
constexpr bool kIsFloat = std::is_floating_point_v<T> || std::is_same_v<T, F16> || std::is_same_v<T, BF16>;

template <class T, class From>
bool fits(From value) {
  if constexpr (kIsFloat<T>) return true;
  if constexpr (std::is_same_v<T, Bool>) return value == 0 || value == 1;
  if constexpr (std::is_integral_v<T> && std::is_integral_v<From>) return std::in_range<T>(value);
  if constexpr (std::is_integral_v<T> && std::is_floating_point_v<From>) {
    // The second condition is necessary because conversion saturates, and the largest 64-bit integers round
    // up on the way back.
    return static_cast<From>(convert_element<T>(value)) == value &&
           value < std::ldexp(1.0, std::numeric_limits<T>::digits);
  }
  return true;
}

template <class From>
Tensor from_values(DType dtype, std::vector<std::int64_t> shape, std::span<const From> values) {
  Tensor tensor(dtype, std::move(shape));
  if (static_cast<std::size_t>(tensor.numel()) != values.size()) {
    fail(ErrorCode::shape, "{} values given for a tensor of shape {}", values.size(),
         text::shape_text(tensor.shape));
  }
  with_element_type(dtype, [&]<class T>(std::type_identity<T>) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (!fits<T>(values[i])) {
        fail(ErrorCode::invalid_argument, "value {} does not fit {}", values[i], to_string(dtype));
      }
      const T element = convert_element<T>(values[i]);
      std::memcpy(tensor.data.data() + i * sizeof(T), &element, sizeof(T));
    }
  });
  return tensor;
}

}  // namespace

Tensor::Tensor(DType dtype, std::vector<std::int64_t> shape) : dtype(dtype), shape(std::move(shape)) {
  const auto count = element_count(this->shape);
  // Three bits for the largest element.
  if (!count || *count > (std::numeric_limits<std::int64_t>::max() >> 3)) {
    fail(ErrorCode::shape, "a tensor cannot have shape {}", text::shape_text(this->shape));
  }
  data.resize(static_cast<std::size_t>(*count) * size_of(dtype));
}

Tensor Tensor::from_doubles(DType dtype, std::vector<std::int64_t> shape, std::span<const double> values) {
  return from_values(dtype, std::move(shape), values);
}

Tensor Tensor::from_ints(DType dtype, std::vector<std::int64_t> shape, std::span<const std::int64_t> values) {
  return from_values(dtype, std::move(shape), values);
}

std::int64_t Tensor::numel() const { return static_cast<std::int64_t>(data.size() / size_of(dtype)); }

std::vector<double> Tensor::to_doubles() const {
  std::vector<double> values(data.size() / size_of(dtype));
  convert(dtype, data.data(), DType::f64, reinterpret_cast<std::byte*>(values.data()), values.size());
  return values;
}

std::vector<std::int64_t> Tensor::to_ints() const {
  if (is_float(dtype)) {
    fail(ErrorCode::internal, "integers requested from a tensor of {}", to_string(dtype));
  }
  std::vector<std::int64_t> values(data.size() / size_of(dtype));
  convert(dtype, data.data(), DType::i64, reinterpret_cast<std::byte*>(values.data()), values.size());
  return values;
}

const Tensor* find(const NamedTensors& tensors, std::string_view name) {
  const auto found =
      std::find_if(tensors.begin(), tensors.end(), [&](const auto& entry) { return entry.first == name; });
  return found == tensors.end() ? nullptr : &found->second;
}

}  // namespace onnxport
