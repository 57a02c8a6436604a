#include "arrays.h"

#include <memory>
#include <utility>

namespace onnxport::python {
namespace {

using Code = nb::dlpack::dtype_code;

struct Pair {
  DType dtype;
  Code code;
  std::uint8_t bits;
};
constexpr Pair kPairs[] = {
    {DType::f32, Code::Float, 32},   {DType::f16, Code::Float, 16}, {DType::bf16, Code::Bfloat, 16},
    {DType::f64, Code::Float, 64},   {DType::i64, Code::Int, 64},   {DType::i32, Code::Int, 32},
    {DType::i16, Code::Int, 16},     {DType::i8, Code::Int, 8},     {DType::u8, Code::UInt, 8},
    {DType::u16, Code::UInt, 16},    {DType::u32, Code::UInt, 32},  {DType::u64, Code::UInt, 64},
    {DType::boolean, Code::Bool, 8},
};

nb::dlpack::dtype numpy_dtype(DType dtype) {
  if (dtype == DType::bf16) dtype = DType::i16;
  for (const Pair& pair : kPairs) {
    if (pair.dtype == dtype) return {static_cast<std::uint8_t>(pair.code), pair.bits, 1};
  }
  return {};
}

}  // namespace

std::optional<DType> dtype_of(nb::dlpack::dtype type) {
  for (const Pair& pair : kPairs) {
    if (static_cast<std::uint8_t>(pair.code) == type.code && pair.bits == type.bits && type.lanes == 1)
      return pair.dtype;
  }
  return {};
}

nb::object to_numpy(Tensor tensor) {
  const std::vector<std::size_t> shape(tensor.shape.begin(), tensor.shape.end());
  const nb::dlpack::dtype dtype = numpy_dtype(tensor.dtype);
  auto owned = std::make_unique<std::vector<std::byte>>(std::move(tensor.data));
  void* const data = owned->data();
  const nb::capsule owner(owned.release(),
                          [](void* p) noexcept { delete static_cast<std::vector<std::byte>*>(p); });
  return nb::cast(nb::ndarray<nb::numpy>(data, shape.size(), shape.data(), owner, nullptr, dtype));
}

nb::dict to_numpy(NamedTensors tensors) {
  nb::dict arrays;
  for (auto& [name, tensor] : tensors)
    arrays[nb::str(name.c_str(), name.size())] = to_numpy(std::move(tensor));
  return arrays;
}

}  // namespace onnxport::python
