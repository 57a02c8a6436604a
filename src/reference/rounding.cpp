#include "reference/rounding.h"

#include <concepts>
#include <limits>
#include <type_traits>

#include "support/convert.h"

namespace onnxport::reference {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

template <class From>
std::int64_t to_integer(DType dtype, From value) {
  return onnxport::with_element_type(dtype, [&]<class To>(std::type_identity<To>) -> std::int64_t {
    if constexpr (std::integral<To>) {
      return static_cast<std::int64_t>(convert_element<To>(value));
    } else {
      return value != 0 ? 1 : 0;
    }
  });
}

}  // namespace

double round_to(DType dtype, double value) {
  switch (dtype) {
    case DType::f32:
      return static_cast<double>(static_cast<float>(value));
    case DType::f16:
      return static_cast<double>(f16_to_float(f16_from_double(value)));
    case DType::bf16:
      return static_cast<double>(bf16_to_float(bf16_from_double(value)));
    default:
      return value;
  }
}

double overflow_limit(DType dtype) {
  switch (dtype) {  // the largest finite value plus half a unit in its last place, a tie that goes up
    case DType::f32:
      return 0x1.ffffffp127;
    case DType::f16:
      return 0x1.ffep15;
    case DType::bf16:
      return 0x1.ffp127;
    default:
      return kInfinity;
  }
}

std::int64_t wrap(DType dtype, std::int64_t value) { return to_integer(dtype, value); }

std::int64_t truncate_to(DType dtype, double value) { return to_integer(dtype, value); }

HostTensor rounded(HostTensor tensor) {
  if (tensor.dtype != DType::f64) {
    for (double& value : tensor.reals) value = round_to(tensor.dtype, value);
  }
  return tensor;
}

void limit_range(HostTensor& tensor) {
  if (const double limit = overflow_limit(tensor.dtype); limit < kInfinity) {
    for (double& value : tensor.reals) {
      if (std::abs(value) >= limit) value = limited(value, limit);  // rarely: most memory is only read
    }
  }
  if (size_of(tensor.dtype) < sizeof(std::int64_t)) {
    for (std::int64_t& value : tensor.integers) value = wrap(tensor.dtype, value);
  }
}

}  // namespace onnxport::reference
