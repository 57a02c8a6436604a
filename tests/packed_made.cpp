#include "packed_made.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "support/float16.h"

namespace onnxport::test {
namespace {

/// A matrix [N, K] as integers below 2^bits: (code - half) * scale of the group of a column, in float16.
struct Integers {
  std::int64_t rows, columns, groups;
  std::vector<std::int32_t> group_of;
  std::vector<std::uint32_t> codes;
  std::vector<std::uint16_t> scales;  ///< float16 [N, groups]
  std::vector<float> values;
};

Integers round(const Tensor& tensor, int bits, std::vector<std::int32_t> group_of) {
  const int half = 1 << (bits - 1);
  Integers result{tensor.shape[0],
                  tensor.shape[1],
                  1 + *std::max_element(group_of.begin(), group_of.end()),
                  std::move(group_of),
                  {},
                  {},
                  {}};
  const std::vector<double> original = tensor.to_doubles();
  const auto at = [&](std::int64_t i) {
    return static_cast<std::size_t>(i / result.columns * result.groups +
                                    result.group_of.at(static_cast<std::size_t>(i % result.columns)));
  };
  std::vector<float> largest(static_cast<std::size_t>(result.rows * result.groups), 1e-4F);
  for (std::int64_t i = 0; i < tensor.numel(); ++i) {
    largest[at(i)] =
        std::max(largest[at(i)], static_cast<float>(std::abs(original[static_cast<std::size_t>(i)])));
  }
  for (const float value : largest)
    result.scales.push_back(f16_from_float(value / static_cast<float>(half - 1)));
  for (std::int64_t i = 0; i < tensor.numel(); ++i) {
    const float scale = f16_to_float(result.scales[at(i)]);
    const auto code =
        std::clamp(std::lround(original[static_cast<std::size_t>(i)] / scale), 1L - half, half - 1L);
    result.codes.push_back(static_cast<std::uint32_t>(code + half));
    result.values.push_back(f16_to_float(f16_from_float(static_cast<float>(code) * scale)));
  }
  return result;
}

std::vector<std::int32_t> in_order(std::int64_t columns, std::int64_t size) {
  std::vector<std::int32_t> groups;
  for (std::int64_t k = 0; k < columns; ++k) groups.push_back(static_cast<std::int32_t>(k / size));
  return groups;
}

template <class T>
std::vector<T> transposed(const std::vector<T>& values, std::int64_t rows) {
  const auto height = static_cast<std::size_t>(rows), width = values.size() / height;
  std::vector<T> result(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) result[i % width * height + i / width] = values[i];
  return result;
}

/// Eight codes of a row in each word, code order[i] at place i.
std::vector<std::uint32_t> packed(const std::vector<std::uint32_t>& codes, std::array<std::size_t, 8> order) {
  std::vector<std::uint32_t> words(codes.size() / 8);
  for (std::size_t i = 0; i < codes.size(); ++i)
    words[i / 8] |= codes[i / 8 * 8 + order.at(i % 8)] << (i % 8 * 4);
  return words;
}

constexpr std::array<std::size_t, 8> kPlain = {0, 1, 2, 3, 4, 5, 6, 7}, kAwq = {0, 2, 4, 6, 1, 3, 5, 7};

}  // namespace

Made gptq(const std::string& path, const Tensor& tensor, std::int64_t group_size) {
  std::vector<std::int32_t> groups = in_order(tensor.shape[1], group_size);
  std::rotate(groups.begin(), groups.begin() + 11, groups.end());  // act-order
  std::swap(groups[3], groups[20]);
  const Integers w = round(tensor, 4, groups);
  const std::vector<std::uint32_t> zeros(static_cast<std::size_t>(w.groups * w.rows / 8), 0x77777777U);
  const auto words = transposed(packed(w.codes, kPlain), w.rows);
  return {{{path + ".qweight", "I32", {w.columns / 8, w.rows}, bytes_of(words)},
           {path + ".qzeros", "I32", {w.groups, w.rows / 8}, bytes_of(zeros)},
           {path + ".scales", "F16", {w.groups, w.rows}, bytes_of(transposed(w.scales, w.rows))},
           {path + ".g_idx", "I32", {w.columns}, bytes_of(w.group_of)}},
          "F16",
          w.values};
}

Made awq(const std::string& path, const Tensor& tensor) {
  const Integers w = round(tensor, 4, in_order(tensor.shape[1], 16));
  const std::vector<std::uint32_t> zeros(static_cast<std::size_t>(w.groups * w.rows / 8), 0x88888888U);
  const auto words = packed(transposed(w.codes, w.rows), kAwq);
  return {{{path + ".qweight", "I32", {w.columns, w.rows / 8}, bytes_of(words)},
           {path + ".qzeros", "I32", {w.groups, w.rows / 8}, bytes_of(zeros)},
           {path + ".scales", "F16", {w.groups, w.rows}, bytes_of(transposed(w.scales, w.rows))}},
          "F16",
          w.values};
}

Made compressed_pack(const std::string& path, const Tensor& tensor) {
  const Integers w = round(tensor, 4, in_order(tensor.shape[1], 16));
  const std::vector<std::int64_t> shape = {w.rows, w.columns};
  return {{{path + ".weight_packed", "I32", {w.rows, w.columns / 8}, bytes_of(packed(w.codes, kPlain))},
           {path + ".weight_shape", "I64", {2}, bytes_of(shape)},
           {path + ".weight_scale", "F16", {w.rows, w.groups}, bytes_of(w.scales)}},
          "F16",
          w.values};
}

Made compressed_int8(const std::string& path, const Tensor& tensor) {
  const Integers w = round(tensor, 8, in_order(tensor.shape[1], tensor.shape[1]));
  std::vector<std::int8_t> codes;
  for (const std::uint32_t code : w.codes)
    codes.push_back(static_cast<std::int8_t>(static_cast<int>(code) - 128));
  return {{{path + ".weight", "I8", tensor.shape, bytes_of(codes)},
           {path + ".weight_scale", "F16", {w.rows, 1}, bytes_of(w.scales)}},
          "F16",
          w.values};
}

Made bitsandbytes_8bit(const std::string& path, const Tensor& tensor) {
  Made made = compressed_int8(path, tensor);
  const Integers w = round(tensor, 8, in_order(tensor.shape[1], tensor.shape[1]));
  std::vector<float> scales;
  for (const std::uint16_t scale : w.scales) scales.push_back(f16_to_float(scale) * 127);
  made.tensors[1] = {path + ".SCB", "F32", {w.rows}, bytes_of(scales)};
  made.dtype = "F32";
  for (std::size_t i = 0; i < w.codes.size(); ++i) {
    const float product = static_cast<float>(static_cast<int>(w.codes[i]) - 128) *
                          scales[i / static_cast<std::size_t>(w.columns)];
    made.values[i] = product * static_cast<float>(7.874015718698502e-3);
  }
  return made;
}

std::vector<float> sine_table() {
  std::vector<float> table;
  for (int i = 0; i < 16; ++i) table.push_back(std::sin((static_cast<float>(i) - 7.5F) * 0.2F));
  return table;
}

Made bitsandbytes_4bit(const std::string& path, const Tensor& tensor, const std::vector<float>& table) {
  std::vector<float> absmax;
  const std::vector<double> original = tensor.to_doubles();
  std::vector<std::uint8_t> bytes((original.size() + 1) / 2);
  std::vector<float> values;
  for (std::size_t i = 0; i < original.size(); ++i) {
    if (i % 64 == 0) {
      float largest = 0;
      for (std::size_t j = i; j < std::min(i + 64, original.size()); ++j)
        largest = std::max(largest, static_cast<float>(std::abs(original[j])));
      absmax.push_back(largest);
    }
    std::size_t best = 0;
    for (std::size_t code = 1; code < 16; ++code) {
      const auto distance = [&](std::size_t c) { return std::abs(table[c] * absmax.back() - original[i]); };
      if (distance(code) < distance(best)) best = code;
    }
    bytes[i / 2] = static_cast<std::uint8_t>(bytes[i / 2] | best << (i % 2 == 0 ? 4 : 0));
    values.push_back(table[best] * absmax.back());
  }
  const std::string state =
      json{{"quant_type", "nf4"}, {"blocksize", 64}, {"dtype", "float32"}, {"shape", tensor.shape}}.dump();
  const std::vector<char> text(state.begin(), state.end());
  const auto size = [](const auto& list) { return static_cast<std::int64_t>(list.size()); };
  const std::string key = path + ".weight";
  return {{{key, "U8", {size(bytes), 1}, bytes_of(bytes)},
           {key + ".absmax", "F32", {size(absmax)}, bytes_of(absmax)},
           {key + ".quant_map", "F32", {16}, bytes_of(table)},
           {key + ".quant_state.bitsandbytes__nf4", "U8", {size(text)}, bytes_of(text)}},
          "F32",
          values};
}

}  // namespace onnxport::test
