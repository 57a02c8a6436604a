/// Weights: views of checkpoint bytes, and lazy expressions over them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "onnxport/dtype.h"
#include "onnxport/export_macro.h"

namespace onnxport {

class File;  // src/support/file.h: an open file, read by position

/// A tensor in a checkpoint file: its address, without its content.
struct ONNXPORT_API TensorView {
  std::string key;                   ///< name in the checkpoint, as it is stored there
  DType dtype = DType::f32;          ///< storage dtype
  std::vector<std::int64_t> shape;   ///< row-major
  std::shared_ptr<const File> file;  ///< the file that holds the bytes
  std::uint64_t offset = 0;          ///< first byte in the file
  std::int64_t numel() const;
  std::uint64_t bytes() const { return static_cast<std::uint64_t>(numel()) * size_of(dtype); }
};

namespace detail {
struct WeightExpr;
}

/// An immutable, lazily evaluated tensor that does not depend on any input: a view of checkpoint bytes, a
/// small constant, or a transform of other weights. Nothing is computed until the writer or the interpreter
/// reads a range of elements, and then only that range. A Weight is a handle: copying it is cheap.
class ONNXPORT_API Weight {
 public:
  Weight() = default;
  Weight(TensorView view);  // NOLINT: a view is a weight

  /// A constant from the bytes of its elements (row-major, little-endian). `name` is the requested
  /// initializer name; empty: named after the node that uses it.
  static Weight constant(DType dtype, std::vector<std::int64_t> shape, std::vector<std::byte> bytes,
                         std::string name = {});
  /// A constant of `dtype` with values rounded to it.
  static Weight from_doubles(DType dtype, std::vector<std::int64_t> shape, std::span<const double> values,
                             std::string name = {});
  static Weight from_ints(std::vector<std::int64_t> shape, std::span<const std::int64_t> values,
                          DType dtype = DType::i64, std::string name = {});

  explicit operator bool() const { return expr_ != nullptr; }
  DType dtype() const;
  const std::vector<std::int64_t>& shape() const;
  std::int64_t numel() const;
  /// The checkpoint key, followed by a suffix for each transform that changes the bytes (`.fp16`, `.T`).
  const std::string& name() const;
  /// The view if the bytes are the checkpoint's (also after a reshape), or null.
  const TensorView* view() const;
  /// Whether it is a constant in memory.
  bool is_constant() const;
  /// A text that is equal if and only if the expressions are equal.
  const std::string& fingerprint() const;

  // Transforms. All are lazy. If a transform has no effect, it returns the weight itself.
  Weight cast(DType dtype) const;
  Weight permute(std::vector<std::int64_t> axes) const;
  Weight reshape(std::vector<std::int64_t> shape) const;
  /// If this weight is only the transpose of a matrix, perhaps with a cast: that matrix; else empty.
  Weight transpose_of() const;
  /// Elements [begin, end) of an axis.
  Weight slice(std::int64_t axis, std::int64_t begin, std::int64_t end) const;
  /// Elementwise with broadcasting, computed in double and rounded to the common dtype (both dtypes must
  /// agree).
  Weight add(const Weight& other) const;
  Weight sub(const Weight& other) const;
  Weight mul(const Weight& other) const;
  Weight div(const Weight& other) const;
  /// For each index of an axis, the square root of the sum of squares over all other axes, whose extents
  /// become 1. Computed in double at the first read. (torch.norm_except_dim)
  Weight norm_except(std::int64_t axis) const;
  /// Elementwise, computed in double and rounded to the dtype.
  Weight sqrt() const;
  Weight exp() const;
  Weight sin() const;
  Weight cos() const;
  /// The rows at these indices of the first axis: [n, ...] -> [...indices.shape, ...]. (torch.embedding)
  /// `indices`: an integer constant. Throws ExportError(shape) if one is out of range.
  Weight take(const Weight& indices) const;
  /// The same bytes with another requested initializer name.
  Weight named(std::string name) const;
  static Weight concat(std::span<const Weight> parts, std::int64_t axis);

  /// Writes elements [begin, begin + count), in row-major order, to `out` (count * size_of(dtype()) bytes).
  void read(std::int64_t begin, std::int64_t count, std::byte* out) const;
  /// All elements as doubles. For small weights and for the interpreter.
  std::vector<double> to_doubles() const;
  /// All elements of an integer or bool weight.
  std::vector<std::int64_t> to_ints() const;

 private:
  explicit Weight(std::shared_ptr<const detail::WeightExpr> expr) : expr_(std::move(expr)) {}
  std::shared_ptr<const detail::WeightExpr> expr_;
  friend struct detail::WeightExpr;
};

}  // namespace onnxport
