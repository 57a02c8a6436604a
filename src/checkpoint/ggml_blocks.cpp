#include "checkpoint/ggml_blocks.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "checkpoint/ggml_formats.h"
#include "ir/weight_packed.h"

// The bits must not depend on compiler or processor. cmake/targets.cmake compiles this file without fused
// multiply-adds, so every product is rounded, as in the original.

namespace onnxport::gguf {
namespace {

template <class Block>
void values(const Block& block, float* out) {
  Byte codes[Block::kElements];
  float scales[Block::kGroups], minima[Block::kGroups];
  block.codes(codes);
  block.scales(scales);
  if constexpr (Block::kMinimum != 0) block.minima(minima);
  for (int group = 0; group < Block::kGroups; ++group, out += Block::kGroup) {
    const Byte* q = codes + group * Block::kGroup;
    const float d = scales[group];
    for (int i = 0; i < Block::kGroup; ++i) {
      if constexpr (requires { Block::kValues; }) {
        out[i] = d * Block::kValues[q[i]];
        continue;
      }
      const float product = d * static_cast<float>(q[i] - Block::kZero);
      if constexpr (Block::kMinimum == 0) {
        out[i] = product;
      } else {
        out[i] = Block::kMinimum > 0 ? product + minima[group] : product - minima[group];
      }
    }
  }
}

/// The middle of the codes, for formats that have a minimum instead of a zero point: products with codes
/// around 0 lose less when they are added.
template <class Block>
constexpr int kMiddle = Block::kMinimum == 0 ? Block::kZero : 1 << (Block::kBits - 1);

template <class Block>
void offsets(const Block& block, float* out) {
  float scales[Block::kGroups];
  block.scales(scales);
  block.minima(out);
  for (int group = 0; group < Block::kGroups; ++group) {
    const float middle = scales[group] * static_cast<float>(kMiddle<Block>);
    out[group] = Block::kMinimum > 0 ? middle + out[group] : middle - out[group];
  }
}

/// `each(block, out)` makes `count` elements of every block.
template <class Block, class Element, int count, auto each>
void decode(const std::byte* blocks, std::int64_t number, std::byte* out) {
  for (std::int64_t i = 0; i < number; ++i) {
    Block block;
    Element elements[count];
    std::memcpy(&block, blocks + i * static_cast<std::int64_t>(sizeof(Block)), sizeof(Block));
    each(block, elements);
    std::memcpy(out + i * static_cast<std::int64_t>(sizeof elements), elements, sizeof elements);
  }
}

template <class Block>
struct Format {
  static_assert(alignof(Block) == 1);
  static constexpr auto codes_of = [](const Block& block, Byte* out) { block.codes(out); };
  static constexpr auto scales_of = [](const Block& block, float* out) { block.scales(out); };

  static constexpr detail::BlockFormat whole(std::string_view name) {
    return {name, sizeof(Block), Block::kElements, decode<Block, float, Block::kElements, values<Block>>};
  }
  static constexpr BlockParts parts(std::string_view codes, std::string_view scales,
                                    std::string_view minima = {}) {
    BlockParts made{
        .codes = {codes, sizeof(Block), Block::kElements, decode<Block, Byte, Block::kElements, codes_of>,
                  DType::u8},
        .scales = {scales, sizeof(Block), Block::kGroups, decode<Block, float, Block::kGroups, scales_of>},
        .bits = Block::kBits,
        .zero_point = kMiddle<Block>,
        .group_size = Block::kGroup};
    if constexpr (Block::kMinimum != 0) {
      made.offsets = {minima, sizeof(Block), Block::kGroups,
                      decode<Block, float, Block::kGroups, offsets<Block>>};
    }
    return made;
  }
};

#define ONNXPORT_BLOCKS(name)                                         \
  constexpr detail::BlockFormat k##name = Format<name>::whole(#name); \
  constexpr BlockParts k##name##_parts =                              \
      Format<name>::parts(#name ".codes", #name ".scales", #name ".offsets")
ONNXPORT_BLOCKS(Q4_0);
ONNXPORT_BLOCKS(Q4_1);
ONNXPORT_BLOCKS(Q5_0);
ONNXPORT_BLOCKS(Q5_1);
ONNXPORT_BLOCKS(Q8_0);
ONNXPORT_BLOCKS(Q2_K);
ONNXPORT_BLOCKS(Q3_K);
ONNXPORT_BLOCKS(Q4_K);
ONNXPORT_BLOCKS(Q5_K);
ONNXPORT_BLOCKS(Q6_K);
#undef ONNXPORT_BLOCKS
constexpr detail::BlockFormat kMXFP4 = Format<MXFP4>::whole("MXFP4");

constexpr TensorType plain(std::uint32_t number, std::string_view name, DType dtype) {
  return {.number = number, .name = name, .dtype = dtype};
}
constexpr TensorType blocks(std::uint32_t number, const detail::BlockFormat& format,
                            const BlockParts* parts = nullptr) {
  return {.number = number, .name = format.name, .blocks = &format, .parts = parts};
}
constexpr TensorType other(std::uint32_t number, std::string_view name) {
  return {.number = number, .name = name, .supported = false};
}

constexpr std::array kTypes = {plain(0, "F32", DType::f32),
                               plain(1, "F16", DType::f16),
                               plain(30, "BF16", DType::bf16),
                               blocks(8, kQ8_0, &kQ8_0_parts),
                               blocks(2, kQ4_0, &kQ4_0_parts),
                               blocks(3, kQ4_1, &kQ4_1_parts),
                               blocks(6, kQ5_0, &kQ5_0_parts),
                               blocks(7, kQ5_1, &kQ5_1_parts),
                               blocks(10, kQ2_K, &kQ2_K_parts),
                               blocks(11, kQ3_K, &kQ3_K_parts),
                               blocks(12, kQ4_K, &kQ4_K_parts),
                               blocks(13, kQ5_K, &kQ5_K_parts),
                               blocks(14, kQ6_K, &kQ6_K_parts),
                               blocks(39, kMXFP4),
                               plain(28, "F64", DType::f64),
                               plain(24, "I8", DType::i8),
                               plain(25, "I16", DType::i16),
                               plain(26, "I32", DType::i32),
                               plain(27, "I64", DType::i64),
                               other(9, "Q8_1"),
                               other(15, "Q8_K"),
                               other(16, "IQ2_XXS"),
                               other(17, "IQ2_XS"),
                               other(18, "IQ3_XXS"),
                               other(19, "IQ1_S"),
                               other(20, "IQ4_NL"),
                               other(21, "IQ3_S"),
                               other(22, "IQ2_S"),
                               other(23, "IQ4_XS"),
                               other(29, "IQ1_M"),
                               other(34, "TQ1_0"),
                               other(35, "TQ2_0"),
                               other(40, "NVFP4"),
                               other(41, "Q1_0")};

}  // namespace

const TensorType* find_type(std::uint32_t number) {
  const auto* const found = std::find_if(kTypes.begin(), kTypes.end(),
                                         [&](const TensorType& type) { return type.number == number; });
  return found == kTypes.end() ? nullptr : found;
}

Weight read_blocks(const TensorType& type, const TensorView& bytes, const std::vector<std::int64_t>& shape) {
  Weight values = detail::decode_blocks(bytes, *type.blocks, shape);
  if (type.parts == nullptr || shape.size() != 2 || values.numel() == 0) return values;
  const BlockParts& parts = *type.parts;
  const std::vector<std::int64_t> groups = {shape[0], shape[1] / parts.group_size};
  PackedWeight packed{.codes = detail::decode_blocks(bytes, parts.codes, shape),
                      .bits = parts.bits,
                      .scales = detail::decode_blocks(bytes, parts.scales, groups),
                      .zero_point = parts.zero_point,
                      .group_size = parts.group_size};
  if (parts.offsets.decode != nullptr) packed.offsets = detail::decode_blocks(bytes, parts.offsets, groups);
  return described(values, std::move(packed));
}

std::vector<std::string> supported_types() {
  std::vector<std::string> names;
  for (const TensorType& type : kTypes) {
    if (type.supported) names.emplace_back(type.name);
  }
  return names;
}

}  // namespace onnxport::gguf
