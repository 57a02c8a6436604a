// bitsandbytes.
#include <fmt/format.h>

#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/quantized_tensors.h"
#include "ir/weight_packed.h"
#include "ir/weight_scaled.h"
#include "support/fail.h"
#include "support/json.h"
#include "support/printable.h"
#include "support/shape.h"
#include "support/text.h"

namespace onnxport {
namespace {

using Dims = std::vector<std::int64_t>;
using nlohmann::json;

constexpr ErrorCode kBad = ErrorCode::bad_checkpoint;
constexpr std::array<std::string_view, 2> kStates = {".quant_state.bitsandbytes__nf4",
                                                     ".quant_state.bitsandbytes__fp4"};

/// The JSON object in a tensor of bytes, which describes a weight of 4 bits.
class State {
 public:
  State(const QuantizedTensors& tensors, const StoredTensor& tensor) : tensors_(tensors), tensor_(tensor) {
    constexpr std::int64_t kLongest = 100'000;
    const TensorView& view = tensor.view;
    if (view.dtype != DType::u8 || view.shape.size() != 1 || view.numel() > kLongest) {
      tensors.fail_tensor(tensor, "a vector of uint8", "it has the quantization state as JSON");
    }
    std::string text(static_cast<std::size_t>(view.numel()), '\0');
    tensor.as_weight().read(0, view.numel(), reinterpret_cast<std::byte*>(text.data()));
    values_ = try_parse_json<json>(text);
    if (!values_.is_object()) refuse("is no JSON object", "the quantization state");
  }

  std::int64_t integer(const std::string& key) const {
    const auto value = values_.find(key);
    if (value == values_.end() || !value->is_number_integer() || value->get<std::int64_t>() < 1) {
      refuse(fmt::format("has '{}' = {}", key, text_of(key)), "a positive integer");
    }
    return value->get<std::int64_t>();
  }

  float real(const std::string& key) const {
    const auto value = values_.find(key);
    if (value == values_.end() || !value->is_number()) {
      refuse(fmt::format("has '{}' = {}", key, text_of(key)), "a number");
    }
    return static_cast<float>(value->get<double>());
  }

  Dims shape() const {
    Dims extents;
    const auto value = values_.find("shape");
    const bool array = value != values_.end() && value->is_array();
    for (const json& extent : array ? *value : json::array()) {
      extents.push_back(extent.is_number_integer() ? extent.get<std::int64_t>() : -1);
    }
    if (!array || !element_count(extents)) {
      refuse(fmt::format("has 'shape' = {}", text_of("shape")), "a list of extents");
    }
    return extents;
  }

  DType dtype() const {
    const auto value = values_.find("dtype");
    const std::string name = value != values_.end() && value->is_string() ? value->get<std::string>() : "";
    for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
      if (name == to_string(dtype)) return dtype;
    }
    refuse(fmt::format("has 'dtype' = {}", text_of("dtype")), "'float32', 'float16' or 'bfloat16'");
  }

 private:
  std::string text_of(const std::string& key) const {
    const auto value = values_.find(key);
    if (value == values_.end()) return "nothing";
    return printable(value->dump(-1, ' ', true, json::error_handler_t::replace));
  }

  [[noreturn]] void refuse(const std::string& found, std::string_view expected) const {
    fail(kBad, "tensor '{}' in {} {}, expected {}", printable(tensor_.view.key), tensors_.file(), found,
         expected);
  }

  const QuantizedTensors& tensors_;
  const StoredTensor& tensor_;
  json values_;
};

/// A table of the values of codes, as a constant.
Weight read_table(const QuantizedTensors& tensors, const StoredTensor& tensor, std::int64_t entries) {
  if (tensor.view.dtype != DType::f32 || tensor.view.shape != Dims{entries}) {
    tensors.fail_tensor(tensor, fmt::format("float32[{}]", entries), "it has the values of all codes");
  }
  std::vector<std::byte> bytes(static_cast<std::size_t>(entries) * sizeof(float));
  tensor.as_weight().read(0, entries, bytes.data());
  return Weight::constant(DType::f32, {entries}, std::move(bytes));
}

/// Values [count] times the scales of their blocks, as float32 [count].
Weight scale_all(const Weight& values, const Weight& scales, std::int64_t block) {
  const std::int64_t count = values.numel();
  return scale_blocks(values.reshape({1, count}), scales.reshape({1, scales.numel()}), 1, block)
      .reshape({count});
}

/// The largest magnitudes of blocks, which may be quantized themselves.
Weight read_absmax(QuantizedTensors& tensors, const StoredTensor& owner, const State& state,
                   std::int64_t blocks) {
  const std::string key = owner.view.key;
  const StoredTensor& absmax = tensors.require(key + ".absmax", owner);
  tensors.take(absmax);
  const StoredTensor* nested = tensors.find(key + ".nested_absmax");
  const DType expected = nested == nullptr ? DType::f32 : DType::u8;
  if (absmax.view.dtype != expected || absmax.view.shape != Dims{blocks}) {
    tensors.fail_tensor(absmax, fmt::format("{}[{}]", to_string(expected), blocks),
                        fmt::format("it has the scales of '{}'", printable(key)));
  }
  if (nested == nullptr) return absmax.as_weight();
  const StoredTensor& map = tensors.require(key + ".nested_quant_map", owner);
  tensors.take(*nested);
  tensors.take(map);
  const std::int64_t size = state.integer("nested_blocksize");
  if (nested->view.dtype != DType::f32 || nested->view.shape != Dims{divide_up(blocks, size)}) {
    tensors.fail_tensor(*nested, fmt::format("float32[{}]", divide_up(blocks, size)),
                        fmt::format("one scale for {} elements of '{}'", size, printable(absmax.view.key)));
  }
  const Weight values = look_up(absmax.as_weight(), read_table(tensors, map, 256));
  const double offset = state.real("nested_offset");
  return scale_all(values, nested->as_weight(), size)
      .add(Weight::from_doubles(DType::f32, {1}, std::span(&offset, 1)));
}

/// The bytes of packed codes, whatever dtype they are stored as.
Weight read_bytes(const QuantizedTensors& tensors, const StoredTensor& tensor, std::int64_t bytes) {
  const std::int64_t stored = tensor.view.numel() * static_cast<std::int64_t>(size_of(tensor.view.dtype));
  if (stored != bytes || (tensor.view.dtype != DType::u8 && !tensor.view.file)) {
    tensors.fail_tensor(tensor, fmt::format("uint8[{}, 1]", bytes), "it has two codes in each byte");
  }
  if (tensor.view.dtype == DType::u8) return tensor.as_weight().reshape({bytes});
  TensorView view = tensor.view;
  view.dtype = DType::u8;
  view.shape = {bytes};
  return {std::move(view)};
}

/// A weight of 4 bits: `X` and its state.
void dequantize_4bit(QuantizedTensors& tensors, const StoredTensor& tensor, const StoredTensor& of_state) {
  const std::string key = tensor.view.key;
  const State state(tensors, of_state);
  const Dims shape = state.shape();
  const std::int64_t count = *element_count(shape), block = state.integer("blocksize");
  const StoredTensor& map = tensors.require(key + ".quant_map", tensor);
  tensors.take(tensor);
  tensors.take(of_state);
  tensors.take(map);
  if (count == 0) return tensors.add(key, Weight::constant(state.dtype(), shape, {}));

  PackedWeight packed{.bits = 4, .table = read_table(tensors, map, 16), .group_size = block};
  const Packing high_first{.bits = 4, .places = {1, 0, 3, 2, 5, 4, 7, 6}};
  const Weight bytes = read_bytes(tensors, tensor, count / 2 + count % 2);
  const Weight codes = unpack(bytes, high_first, count);
  packed.codes = codes.reshape(shape);
  packed.scales = read_absmax(tensors, tensor, state, divide_up(count, block));
  const Weight values = scale_all(look_up(codes, packed.table), packed.scales, block);
  const Weight rounded = values.reshape(shape).cast(state.dtype());
  tensors.add(key, described(rounded, std::move(packed)));
}

/// A weight of 8 bits: `X.weight` and `X.SCB`.
void dequantize_8bit(QuantizedTensors& tensors, const std::string& path, const StoredTensor& scale) {
  const StoredTensor& tensor = tensors.require(path + ".weight", scale);
  const Dims& shape = tensor.view.shape;
  if (tensor.view.dtype != DType::i8 || shape.size() != 2) {
    tensors.fail_tensor(tensor, "a matrix of int8",
                        fmt::format("'{}' has its scales", printable(scale.view.key)));
  }
  if (scale.view.dtype != DType::f32 || scale.view.shape != Dims{shape[0]}) {
    tensors.fail_tensor(scale, fmt::format("float32[{}]", shape[0]), "one scale for each output");
  }
  if (const StoredTensor* format = tensors.find(path + ".weight_format")) {
    const bool fits = is_integer(format->view.dtype) && format->view.numel() == 1;
    if (!fits || format->as_weight().to_ints()[0] != 0) {
      tensors.fail_tensor(*format, "uint8[] with the value 0",
                          "only rows are supported; save the checkpoint with bitsandbytes 0.45 or later");
    }
    tensors.take(*format);
  }
  tensors.take(tensor);
  tensors.take(scale);
  if (tensor.view.numel() == 0) return tensors.add(path + ".weight", Weight::constant(DType::f32, shape, {}));

  PackedWeight packed{.bits = 8, .zero_point = 128, .group_size = shape[1]};
  packed.codes = unpack(tensor.as_weight(), {.bits = 8, .increment = 128}, shape[1]);
  packed.scales = scale.as_weight().reshape({shape[0], 1});
  const Weight part = Weight::from_doubles(DType::f32, {1, 1}, std::array{7.874015718698502e-3});
  const Weight values = scale_blocks(affine(packed), part, shape[0], shape[1]);
  packed.scales = packed.scales.mul(part);
  tensors.add(path + ".weight", described(values, std::move(packed)));
}

}  // namespace

void dequantize_bitsandbytes(QuantizedTensors& tensors) {
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const StoredTensor& tensor = tensors[i];
    for (const std::string_view suffix : kStates) {
      const std::string_view key = stem(tensor.view.key, suffix);
      if (!key.empty()) dequantize_4bit(tensors, tensors.require(key, tensor), tensor);
    }
    const std::string_view path = stem(tensor.view.key, ".SCB");
    if (!path.empty()) dequantize_8bit(tensors, std::string(path), tensor);
  }
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (tensors.is_taken(tensors[i])) continue;
    for (const std::string_view suffix : {".absmax", ".quant_map"}) {
      const std::string_view key = stem(tensors[i].view.key, suffix);
      if (key.empty()) continue;
      fail(kBad, "tensor '{}' in {} belongs to a weight of 4 bits, but '{}{}' is missing",
           printable(tensors[i].view.key), tensors.file(), printable(key), kStates[0]);
    }
  }
}

}  // namespace onnxport
