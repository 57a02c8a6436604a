// compressed-tensors.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/quantized_tensors.h"
#include "ir/weight_packed.h"
#include "ir/weight_scaled.h"
#include "support/fail.h"
#include "support/pattern.h"
#include "support/printable.h"
#include "support/shape.h"
#include "support/text.h"

namespace onnxport {
namespace {

using Dims = std::vector<std::int64_t>;
using Format = CompressedScheme::Format;
using Strategy = CompressedScheme::Strategy;

/// Tensors of one element that only control how activations are rounded.
constexpr std::array<std::string_view, 7> kActivations = {
    "input_scale", "input_zero_point", "output_scale", "output_zero_point", "q_scale", "k_scale", "v_scale"};

// ---------------------------------------------------------------------------------------------------------------------
// Which scheme a module has

bool is_pattern(const std::string& target) { return target.starts_with("re:"); }

/// A class, because names of modules have dots or are in lower case.
bool is_class(const std::string& target) {
  return !is_pattern(target) && !target.empty() && target.front() >= 'A' && target.front() <= 'Z';
}

/// Which modules have which scheme. A regular expression is made when it is first needed.
class Schemes {
 public:
  explicit Schemes(const CompressedFormat& format) : format_(format) {}

  /// The scheme of a module: by its name, else by a pattern (in the order of their texts), else by its class.
  /// The checkpoint does not have the classes of modules. So this is the scheme of `Linear`, or the only one
  /// with a class. Null if the module is ignored, or has none.
  const CompressedScheme* of(const std::string& module) {
    if (std::any_of(format_.ignore.begin(), format_.ignore.end(),
                    [&](const std::string& target) { return names(target, module); })) {
      return nullptr;
    }
    const CompressedScheme* by_pattern = nullptr;
    const std::string* first = nullptr;
    const CompressedScheme* by_class = nullptr;
    for (const CompressedScheme& scheme : format_.schemes) {
      for (const std::string& target : scheme.targets) {
        if (is_class(target)) {
          if (by_class == nullptr || target == "Linear") by_class = &scheme;
        } else if (names(target, module)) {
          if (!is_pattern(target)) return &scheme;
          if (first == nullptr || target < *first) {
            by_pattern = &scheme;
            first = &target;
          }
        }
      }
    }
    return by_pattern != nullptr ? by_pattern : by_class;
  }

 private:
  bool names(const std::string& target, const std::string& module) {
    return is_pattern(target) ? matches(target, module) : target == module;
  }

  bool matches(const std::string& target, const std::string& module) {
    auto found = patterns_.find(target);
    if (found == patterns_.end()) {
      constexpr std::size_t kLongest = 2000;
      const std::string called = fmt::format("quantization_config: '{}'", printable(target));
      found = patterns_.emplace(target, Pattern(target.substr(3), kLongest, called)).first;
    }
    return found->second.matches_beginning(module);
  }

  const CompressedFormat& format_;
  std::map<std::string, Pattern> patterns_;  ///< by target
};

// ---------------------------------------------------------------------------------------------------------------------

/// A quantized module: puts its weight together.
class Compressed {
 public:
  Compressed(QuantizedTensors& tensors, std::string path, const StoredTensor& scale,
             const CompressedScheme& scheme)
      : tensors_(tensors), path_(std::move(path)), scale_(scale), scheme_(scheme) {
    if (!is_float(scale.view.dtype)) {
      tensors_.fail_tensor(scale, "floats",
                           fmt::format("it has the scales of '{}.weight'", printable(path_)));
    }
  }

  Weight weight() {
    if (scheme_.format == Format::pack) {
      const StoredTensor& words = find("weight_packed");
      const auto [rows, columns] = read_shape(words);
      codes_ = unpack(words.as_weight(), {.bits = static_cast<int>(scheme_.bits)}, columns);
      return integers(words, rows, columns, 1 << (scheme_.bits - 1));
    }
    const StoredTensor& values = find("weight");
    const Dims& shape = values.view.shape;
    const bool dtype_fits = scheme_.floats ? values.float8 : values.view.dtype == DType::i8;
    if (!dtype_fits || shape.size() != 2) {
      tensors_.fail_tensor(values, scheme_.floats ? "a matrix of 8-bit floats" : "a matrix of int8",
                           "the scheme of its module in quantization_config says so");
    }
    if (scheme_.floats || scheme_.strategy == Strategy::block) return products(values);
    codes_ = unpack(values.as_weight(), {.bits = 8, .increment = 128}, shape[1]);
    return integers(values, shape[0], shape[1], 128);
  }

 private:
  const StoredTensor& find(std::string_view name) {
    const StoredTensor& tensor = tensors_.require(fmt::format("{}.{}", path_, name), scale_);
    tensors_.take(tensor);
    return tensor;
  }

  std::pair<std::int64_t, std::int64_t> read_shape(const StoredTensor& words) {
    const StoredTensor& tensor = find("weight_shape");
    if (!is_integer(tensor.view.dtype) || tensor.view.shape != Dims{2}) {
      tensors_.fail_tensor(tensor, "int64[2]", "it has the shape of the weight");
    }
    const Dims shape = tensor.as_weight().to_ints();
    const Dims& packed = words.view.shape;
    constexpr std::int64_t kLargest = std::int64_t{1} << 40;
    if (words.view.dtype != DType::i32 || packed.size() != 2 || shape[0] != packed[0] || shape[1] < 1 ||
        shape[1] > kLargest || divide_up(shape[1] * scheme_.bits, 32) != packed[1]) {
      tensors_.fail_tensor(
          words, fmt::format("int32[outputs, ceil(inputs * {} / 32)]", scheme_.bits),
          fmt::format("the shape in '{}' is {}", printable(tensor.view.key), text::shape_text(shape)));
    }
    return {shape[0], shape[1]};
  }

  /// The shape that the scales of a matrix have: [rows, groups], or [1, 1].
  Dims grid(std::int64_t rows, std::int64_t columns) const {
    switch (scheme_.strategy) {
      case Strategy::tensor:
        return {1, 1};
      case Strategy::channel:
        return {rows, 1};
      case Strategy::group:
        return {rows, divide_up(columns, scheme_.group_size)};
      case Strategy::block:
        return {divide_up(rows, scheme_.block[0]), divide_up(columns, scheme_.block[1])};
    }
    return {};
  }

  /// The scales in this shape. Axes of extent 1 may be missing.
  Weight scales(const Dims& shape) const {
    Dims got = scale_.view.shape;
    if (got.size() < 2) got.resize(2, 1);
    if (got != shape) {
      tensors_.fail_tensor(scale_, "floats" + text::shape_text(shape),
                           fmt::format("it has the scales of '{}.weight'", printable(path_)));
    }
    return scale_.as_weight().reshape(shape);
  }

  Weight products(const StoredTensor& values) {
    if (!scheme_.symmetric) {
      tensors_.fail_tensor(values, "a symmetric scheme", "zero points of floats or blocks are not supported");
    }
    const std::int64_t rows = values.view.shape[0], columns = values.view.shape[1];
    if (rows == 0 || columns == 0) return values.as_weight().cast(scale_.view.dtype);
    const Dims shape = grid(rows, columns);
    const std::int64_t down = divide_up(rows, shape[0]), across = divide_up(columns, shape[1]);
    const bool blocks = scheme_.strategy == Strategy::block;
    const bool groups = scheme_.strategy == Strategy::group;
    return scale_blocks(values.as_weight().cast(DType::f32), scales(shape), blocks ? scheme_.block[0] : down,
                        blocks   ? scheme_.block[1]
                        : groups ? scheme_.group_size
                                 : across)
        .cast(scale_.view.dtype);
  }

  Weight integers(const StoredTensor& owner, std::int64_t rows, std::int64_t columns, int zero_point) {
    if (scheme_.strategy == Strategy::block) {
      tensors_.fail_tensor(owner, "a scheme without blocks", "blocks of packed integers are not supported");
    }
    const Dims shape = grid(rows, columns);
    PackedWeight packed{.codes = codes_,
                        .bits = scheme_.format == Format::pack ? static_cast<int>(scheme_.bits) : 8,
                        .scales = scales(shape),
                        .zero_point = zero_point};
    packed.group_size =
        scheme_.strategy == Strategy::group ? scheme_.group_size : std::max<std::int64_t>(columns, 1);
    if (!scheme_.symmetric) packed.zero_points = zero_points(shape, packed.bits);
    if (const StoredTensor* of_columns = tensors_.find(path_ + ".weight_g_idx")) {
      packed.group_of = groups(*of_columns, columns, shape[1]);
    }
    const Weight values = affine(packed).cast(scale_.view.dtype);
    return described(values, std::move(packed));
  }

  /// Zero points: int8 in the shape of the scales, or packed along the outputs.
  Weight zero_points(const Dims& shape, int bits) {
    const StoredTensor& tensor = find("weight_zero_point");
    const int half = 1 << (bits - 1);
    if (tensor.view.dtype == DType::i8 && tensor.as_weight().numel() == shape[0] * shape[1]) {
      // The bits of a number and of its code differ by half the range.
      const Packing packing{.bits = 8, .increment = static_cast<std::uint8_t>(half)};
      return unpack(tensor.as_weight().reshape(shape), packing, shape[1]);
    }
    const std::int64_t words = divide_up(shape[0] * bits, 32);
    if (scheme_.format != Format::pack || tensor.view.dtype != DType::i32 ||
        tensor.view.shape != Dims{words, shape[1]}) {
      tensors_.fail_tensor(tensor,
                           scheme_.format == Format::pack ? "int32" + text::shape_text(Dims{words, shape[1]})
                                                          : "int8" + text::shape_text(shape),
                           fmt::format("it has the zero points of '{}.weight'", printable(path_)));
    }
    return unpack(tensor.as_weight().permute({1, 0}), {.bits = bits}, shape[0]).permute({1, 0});
  }

  /// The groups of the columns, where these have an order of their own; -1 where they have not.
  std::vector<std::int64_t> groups(const StoredTensor& tensor, std::int64_t columns,
                                   std::int64_t count) const {
    tensors_.take(tensor);
    if (!is_integer(tensor.view.dtype) || tensor.view.shape != Dims{columns}) {
      tensors_.fail_tensor(tensor, fmt::format("int32[{}]", columns), "it has the group of each input");
    }
    const Dims values = tensor.as_weight().to_ints();
    if (std::find(values.begin(), values.end(), -1) != values.end()) return {};
    return read_indices(tensors_, tensor, count);
  }

  QuantizedTensors& tensors_;
  std::string path_;
  const StoredTensor& scale_;
  const CompressedScheme& scheme_;
  Weight codes_;
};

/// Scales of activations, of keys and of values beside a module or in it.
void drop_activations(QuantizedTensors& tensors) {
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const StoredTensor& tensor = tensors[i];
    const std::string_view key = tensor.view.key;
    const std::string_view name = key.substr(key.rfind('.') == key.npos ? 0 : key.rfind('.') + 1);
    if (std::find(kActivations.begin(), kActivations.end(), name) == kActivations.end()) continue;
    if (tensor.as_weight().numel() == 1) tensors.take(tensor);
  }
}

}  // namespace

void dequantize_compressed(QuantizedTensors& tensors, const CompressedFormat& format) {
  Schemes schemes(format);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const StoredTensor& scale = tensors[i];
    const std::string path(stem(scale.view.key, ".weight_scale"));
    if (path.empty()) continue;
    const CompressedScheme* scheme = schemes.of(path);
    if (scheme == nullptr) {
      tensors.fail_tensor(scale, "no scales",
                          fmt::format("quantization_config has no group for the module '{}', or ignores it",
                                      printable(path)));
    }
    tensors.take(scale);
    if (scheme->format == Format::dense) {
      tensors.take(path + ".weight_zero_point");
      continue;
    }
    Compressed module(tensors, path, scale, *scheme);
    tensors.add(path + ".weight", module.weight());
    tensors.take(path + ".weight_zero_point");  // all zero where the scheme is symmetric
  }
  drop_activations(tensors);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const StoredTensor& tensor = tensors[i];
    if (tensors.is_taken(tensor)) continue;
    const std::string_view path = stem(tensor.view.key, ".weight_packed");
    if (tensor.float8 || !path.empty()) {
      const std::string owner(path.empty() ? stem(tensor.view.key, ".weight") : path);
      tensors.require(owner + ".weight_scale", tensor);
    }
  }
}

}  // namespace onnxport
