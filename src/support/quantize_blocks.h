/// Quantization of blocks: runs of successive values that share a scale and a zero point, as MatMulNBits and
/// MatMulBnb4 of ONNX Runtime read them.
///
/// All values must be finite; see count_non_finite(). The inner loops are vectors (support/vectors.h), and
/// the results equal those of the onnxruntime 1.31.1 package bit for bit.
#pragma once

#include <cstdint>

namespace onnxport {

enum class BlockAlgorithm {
  /// Rounds to nearest ("default" of MatMulNBitsQuantizer). Without zero points, the value with the largest
  /// magnitude becomes code 0, so its scale has the opposite sign.
  rtn,
  /// Searches scale and minimum of a block with the least weighted squared error, in 20 steps (the function
  /// make_qkx2_quants of llama.cpp). Always has zero points. Blocks of one repeated value keep it only if it
  /// is an integer, as in the original.
  k_quant,
};

struct BlockParameters {
  int bits = 4;                  ///< 2, 4 or 8 (k_quant: 4 or 8)
  std::int64_t block_size = 32;  ///< values: a power of two from 16 to 256
  bool symmetric = true;         ///< the zero point is half of the range; k_quant ignores it
  BlockAlgorithm algorithm = BlockAlgorithm::rtn;

  bool has_zero_points() const { return !symmetric || algorithm == BlockAlgorithm::k_quant; }
  std::int64_t block_bytes() const { return block_size * bits / 8; }
  /// The zero point of blocks that have none of their own.
  int half() const { return 1 << (bits - 1); }
  int largest_code() const { return (1 << bits) - 1; }
};

/// Where the results of successive blocks go.
struct BlockResults {
  std::uint8_t* codes;        ///< packed along the block, low bits first
  float* scales;              ///< one per block
  std::uint8_t* zero_points;  ///< one per block, in bytes of their own; may be null without zero points
};

/// How k_quant adds floats. NumPy adds along contiguous rows in eight interleaved sums, but column by column
/// if rows are not contiguous: the transposed matrix of several rows, each of which is a single block.
enum class SumOrder { pairwise, sequential };

/// Quantizes `count` values: blocks, of which the last one may be shorter. For `rtn`, codes behind the last
/// value are 0. For `k_quant`, the last block is filled with zeros, which count like values.
void quantize_blocks(const float* values, std::int64_t count, const BlockParameters& parameters,
                     BlockResults results, SumOrder order = SumOrder::pairwise);

/// Packs the zero points of a row of blocks, low bits first; unused bits of the last byte are those of
/// half().
void pack_zero_points(const std::uint8_t* zero_points, std::int64_t blocks, int bits, std::uint8_t* out);

/// The values of codes [first, first + count) of a block: (code - zero point) * scale, rounded once.
void dequantize_block(const std::uint8_t* codes, int bits, float scale, int zero_point, std::int64_t first,
                      std::int64_t count, float* out);
/// The same in double: exact.
void dequantize_block(const std::uint8_t* codes, int bits, float scale, int zero_point, std::int64_t first,
                      std::int64_t count, double* out);

/// Number of values that are NaN or infinite.
std::int64_t count_non_finite(const float* values, std::int64_t count);

/// Code `index` of packed codes.
inline int get_code(const std::uint8_t* codes, int bits, std::int64_t index) {
  const std::int64_t per_byte = 8 / bits;
  return (codes[index / per_byte] >> (index % per_byte * bits)) & ((1 << bits) - 1);
}

}  // namespace onnxport
