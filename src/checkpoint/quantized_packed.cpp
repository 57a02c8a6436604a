// GPTQ and AWQ.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/quantized_tensors.h"
#include "ir/weight_packed.h"
#include "support/fail.h"
#include "support/printable.h"
#include "support/shape.h"
#include "support/text.h"

namespace onnxport {
namespace {

using Dims = std::vector<std::int64_t>;
using Layout = PackedFormat::Layout;

constexpr std::int64_t kWord = 32;  // bits
constexpr std::int64_t kLargest = std::int64_t{1}
                                  << 40;  // extents; no product of two small numbers overflows
/// Where AWQ puts eight successive codes in a word.
constexpr std::array<std::uint8_t, 8> kAwqPlaces = {0, 4, 1, 5, 2, 6, 3, 7};

/// The tensors of a module.
struct Module {
  std::string path;
  const StoredTensor& weight;
  const StoredTensor& zeros;
  const StoredTensor& scales;

  Module(const QuantizedTensors& tensors, std::string_view name, const StoredTensor& qweight)
      : path(name),
        weight(qweight),
        zeros(tensors.require(path + ".qzeros", qweight)),
        scales(tensors.require(path + ".scales", qweight)) {
    for (const StoredTensor* words : {&weight, &zeros}) {
      const TensorView& view = words->view;
      const bool fits = view.dtype == DType::i32 && view.shape.size() == 2 &&
                        std::max(view.shape[0], view.shape[1]) < kLargest;
      if (!fits) {
        tensors.fail_tensor(*words, "a matrix of int32", "it has packed integers");
      }
    }
    if (!is_float(scales.view.dtype) || scales.view.shape.size() != 2) {
      tensors.fail_tensor(scales, "a matrix of floats",
                          fmt::format("it has the scales of '{}'", printable(weight.view.key)));
    }
  }
};

/// Every `X.qweight` with its other tensors, which `make` turns into a weight.
template <class Make>
void each_module(QuantizedTensors& tensors, Make&& make) {
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const StoredTensor& tensor = tensors[i];
    const std::string_view path = stem(tensor.view.key, ".qweight");
    if (path.empty()) continue;
    const Module module(tensors, path, tensor);
    const Weight weight = make(module);
    tensors.take(module.weight);
    tensors.take(module.zeros);
    tensors.take(module.scales);
    tensors.take(module.path + ".g_idx");
    tensors.add(module.path + ".weight", weight);
  }
}

Weight rounded(PackedWeight packed, DType dtype) {
  const Weight values = affine(packed).cast(dtype);
  return described(values, std::move(packed));
}

// ---------------------------------------------------------------------------------------------------------------------
// GPTQ

/// Packed zero points as they are meant. Version 1 stores each minus 1. Its writers subtract 1 from each code
/// of a whole word, with borrows between them, so 1 is added in the same way. With 3 bits, codes cross words,
/// and each is changed alone.
Weight stored_zeros(const Weight& words, std::int64_t bits, bool minus_one, Packing& packing) {
  if (!minus_one) return words;
  if (kWord % bits != 0) {
    packing.increment = 1;
    return words;
  }
  std::uint32_t ones = 0;
  for (std::int64_t bit = 0; bit < kWord; bit += bits) ones |= 1U << bit;
  const std::int64_t one_each = static_cast<std::int32_t>(ones);
  return words.add(Weight::from_ints({1, 1}, std::span(&one_each, 1), DType::i32));
}

class Gptq {
 public:
  Gptq(const QuantizedTensors& tensors, const PackedFormat& format) : tensors_(tensors), format_(format) {}

  Weight operator()(const Module& module) const {
    const Dims& words = module.weight.view.shape;
    const std::int64_t rows = words[1];
    const StoredTensor* of_columns = tensors_.find(module.path + ".g_idx");
    const std::int64_t columns = count_columns(module, of_columns);
    const std::int64_t bits = words[0] * kWord / std::max<std::int64_t>(columns, 1);
    const std::int64_t groups = module.scales.view.shape[0];
    check(module, columns, bits, groups);

    Packing packing{.bits = static_cast<int>(bits)};
    PackedWeight packed{.bits = packing.bits};
    packed.codes = unpack(module.weight.as_weight().permute({1, 0}), packing, columns);
    packed.scales = module.scales.as_weight().permute({1, 0});
    const Weight zeros =
        stored_zeros(module.zeros.as_weight(), bits, format_.layout == Layout::gptq, packing);
    packed.zero_points = unpack(zeros, packing, rows).permute({1, 0});
    packed.group_size = group_size(columns, groups);
    if (of_columns != nullptr) packed.group_of = read_indices(tensors_, *of_columns, groups);
    if (is_regular(packed)) packed.group_of.clear();
    return rounded(std::move(packed), module.scales.view.dtype);
  }

 private:
  std::int64_t count_columns(const Module& module, const StoredTensor* of_columns) const {
    const std::int64_t total = module.weight.view.shape[0] * kWord;
    if (of_columns == nullptr) {
      if (format_.act_order || format_.varies) tensors_.require(module.path + ".g_idx", module.weight);
      return total / format_.bits;
    }
    const TensorView& view = of_columns->view;
    if (!is_integer(view.dtype) || view.shape.size() != 1) {
      tensors_.fail_tensor(*of_columns, "a vector of integers", "it has the group of each input");
    }
    return view.shape[0];
  }

  void check(const Module& module, std::int64_t columns, std::int64_t bits, std::int64_t groups) const {
    const Dims& words = module.weight.view.shape;
    constexpr std::array<std::int64_t, 4> kBits = {2, 3, 4, 8};
    const bool known = std::find(kBits.begin(), kBits.end(), bits) != kBits.end();
    if (!known || columns * bits != words[0] * kWord || (bits != format_.bits && !format_.varies)) {
      tensors_.fail_tensor(module.weight,
                           fmt::format("int32[{}, outputs]", divide_up(columns * format_.bits, kWord)),
                           fmt::format("it has {} inputs of {} bits each", columns, format_.bits));
    }
    const std::int64_t rows = words[1];
    if (rows * bits % kWord != 0) {
      tensors_.fail_tensor(module.weight, fmt::format("int32[{}, a multiple of {}]", words[0], kWord / bits),
                           "the zero points of all outputs fill whole words");
    }
    const std::int64_t expected = format_.varies ? groups : divide_up(columns, group_size_of_config(columns));
    if (module.scales.view.shape != Dims{expected, rows} || groups == 0) {
      tensors_.fail_tensor(module.scales, "floats" + text::shape_text(Dims{expected, rows}),
                           fmt::format("one scale for each group of {} inputs and each output",
                                       group_size_of_config(columns)));
    }
    if (module.zeros.view.shape != Dims{groups, rows * bits / kWord}) {
      tensors_.fail_tensor(module.zeros, "int32" + text::shape_text(Dims{groups, rows * bits / kWord}),
                           "one zero point for each scale");
    }
  }

  std::int64_t group_size_of_config(std::int64_t columns) const {
    return format_.group_size == -1 ? std::max<std::int64_t>(columns, 1) : format_.group_size;
  }
  std::int64_t group_size(std::int64_t columns, std::int64_t groups) const {
    return format_.varies ? std::max<std::int64_t>(divide_up(columns, groups), 1)
                          : group_size_of_config(columns);
  }

  /// Whether groups are successive inputs.
  static bool is_regular(const PackedWeight& packed) {
    for (std::size_t k = 0; k < packed.group_of.size(); ++k) {
      if (packed.group_of[k] != static_cast<std::int64_t>(k) / packed.group_size) return false;
    }
    return true;
  }

  const QuantizedTensors& tensors_;
  const PackedFormat& format_;
};

// ---------------------------------------------------------------------------------------------------------------------
// AWQ

/// Zero points and scales of [N, groups], which gemv pads.
void check_gemv(const QuantizedTensors& tensors, const Module& module, std::int64_t rows,
                std::int64_t groups) {
  const Dims &zeros = module.zeros.view.shape, &scales = module.scales.view.shape;
  if (scales[0] != rows || scales[1] < groups) {
    tensors.fail_tensor(module.scales, fmt::format("floats[{}, at least {}]", rows, groups),
                        "one scale for each output and group");
  }
  if (zeros[0] != rows || zeros[1] * 8 < groups) {
    tensors.fail_tensor(module.zeros, fmt::format("int32[{}, at least {}]", rows, divide_up(groups, 8)),
                        "one zero point for each scale");
  }
}

void check_gemm(const QuantizedTensors& tensors, const Module& module, std::int64_t rows,
                std::int64_t groups) {
  if (module.scales.view.shape != Dims{groups, rows}) {
    tensors.fail_tensor(module.scales, "floats" + text::shape_text(Dims{groups, rows}),
                        "one scale for each group and output");
  }
  if (module.zeros.view.shape != Dims{groups, rows / 8}) {
    tensors.fail_tensor(module.zeros, "int32" + text::shape_text(Dims{groups, rows / 8}),
                        "one zero point for each scale");
  }
}

Weight from_awq(const QuantizedTensors& tensors, const Module& module, const PackedFormat& format) {
  const bool gemv = format.layout == Layout::awq_gemv;
  const Dims& words = module.weight.view.shape;
  const std::int64_t rows = gemv ? words[0] : words[1] * 8, columns = gemv ? words[1] * 8 : words[0];
  const std::int64_t size = format.group_size == -1 ? columns : format.group_size;
  if (columns == 0 || columns % size != 0) {
    tensors.fail_tensor(module.weight, fmt::format("a multiple of {} inputs", size),
                        "groups have as many inputs");
  }
  PackedWeight packed{.bits = 4, .group_size = size};
  if (gemv) {
    check_gemv(tensors, module, rows, columns / size);
    packed.codes = unpack(module.weight.as_weight(), {}, columns);
    packed.zero_points = unpack(module.zeros.as_weight(), {}, columns / size);
    packed.scales = module.scales.as_weight().slice(1, 0, columns / size);
    return rounded(std::move(packed), DType::f32);
  }
  check_gemm(tensors, module, rows, columns / size);
  const Packing packing{.bits = 4, .places = kAwqPlaces};
  packed.codes = unpack(module.weight.as_weight(), packing, rows).permute({1, 0});
  packed.zero_points = unpack(module.zeros.as_weight(), packing, rows).permute({1, 0});
  packed.scales = module.scales.as_weight().permute({1, 0});
  return rounded(std::move(packed), module.scales.view.dtype);
}

}  // namespace

void dequantize_gptq(QuantizedTensors& tensors, const PackedFormat& format) {
  each_module(tensors, Gptq(tensors, format));
}

void dequantize_awq(QuantizedTensors& tensors, const PackedFormat& format) {
  each_module(tensors, [&](const Module& module) { return from_awq(tensors, module, format); });
}

}  // namespace onnxport
