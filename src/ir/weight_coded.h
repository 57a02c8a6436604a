/// Weights with the values of codes: a graph computes with the values, and a file stores the codes.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <variant>

#include "ir/weight_quantized.h"
#include "onnxport/weight.h"

namespace onnxport {

/// Codes in blocks along the columns of a matrix.
struct BlockCodes {
  QuantizedBlocks parts;
  BlockParameters parameters;
  std::int64_t columns = 0;
};

/// Codes of NF4 or FP4, in blocks of all values of a matrix.
struct Bnb4Codes {
  QuantizedBnb4 parts;
  Bnb4Type type = Bnb4Type::nf4;
  std::int64_t block_size = 64;
  std::int64_t columns = 0;  ///< of the matrix
};

/// Codes of 8 bits with one scale, or one for each index of `axis`.
struct TensorCodes {
  QuantizedTensor parts;
  std::optional<std::int64_t> axis = {};  ///< counted from the front
};

using Codes = std::variant<BlockCodes, Bnb4Codes, TensorCodes>;

/// The values of codes, float32: [N, columns] for blocks, NF4 and FP4, else the shape of the codes. Products
/// are rounded once. Throws ExportError(shape) for parts that do not fit each other.
Weight coded(Codes codes);

/// The codes of a weight that coded() made, perhaps cast or in another shape with the same order of elements;
/// else null.
std::shared_ptr<const Codes> codes_of(const Weight& weight);

/// Bytes of codes, scales and zero points in a file whose scales have this dtype.
std::int64_t stored_bytes(const Codes& codes, DType scales);

/// The codes, if they are of this kind; else null.
template <class Kind>
const Kind* codes_of_kind(const std::shared_ptr<const Codes>& codes) {
  return codes ? std::get_if<Kind>(codes.get()) : nullptr;
}

}  // namespace onnxport
