/// The implementation of Weight: computes its elements range by range.
///
/// A Source is one step of evaluation. It has elements in row-major order but no shape, so a reshape costs
/// nothing and keeps equal expressions equal. Steps that depend on a shape (permute, concat, …) store the
/// part of it that they need, with axes merged where possible.
///
/// Memory: while it is read, each step of a chain uses a few buffers of kTileBytes. A permutation that moves
/// its last axis also keeps up to two panels (see PermuteSource) until all their elements were read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "ir/weight_origin.h"
#include "onnxport/dtype.h"
#include "onnxport/weight.h"

namespace onnxport::detail {

using Dims = std::vector<std::int64_t>;

/// Size of the buffers in which a step handles its input: fits the second-level cache.
inline constexpr std::int64_t kTileBytes = 256 * 1024;

class Source {
 public:
  /// `text`: equal exactly for equal computations; long ones are replaced by a hash.
  Source(DType dtype, std::string text, int depth);
  virtual ~Source() = default;
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;

  DType dtype() const { return dtype_; }
  std::int64_t element_size() const { return static_cast<std::int64_t>(size_of(dtype_)); }
  const std::string& text() const { return text_; }
  /// Number of steps below.
  int depth() const { return depth_; }

  /// Writes elements [begin, begin + count), which the caller has checked. Thread-safe.
  virtual void read(std::int64_t begin, std::int64_t count, std::byte* out) const = 0;

  /// Runs that cover these elements, in order. A step that says nothing has no known origin; its elements are
  /// right all the same, but weights of the same bytes are read separately.
  virtual std::vector<Origin> origins(std::int64_t begin, std::int64_t count) const;

 private:
  DType dtype_;
  std::string text_;
  int depth_;
};
using SourcePtr = std::shared_ptr<const Source>;

struct WeightExpr {
  /// What can be simplified away by the next transform.
  enum class Kind { view, constant, cast, permute, concat, other };

  SourcePtr source;
  Dims shape;
  std::int64_t numel = 0;
  std::string name;
  std::string fingerprint;
  Kind kind = Kind::other;
  std::optional<TensorView> view;           ///< of kind view
  std::shared_ptr<const WeightExpr> input;  ///< of kinds cast and permute
  Dims axes;                                ///< of kind permute: output axis i is axes[i] of `input`
  std::vector<Weight> parts;                ///< of kind concat: its operands, in order

  /// The expression of a handle. Throws ExportError(internal) for an empty one.
  static const WeightExpr& of(const Weight& weight);
  static Weight wrap(WeightExpr expr);
};

SourcePtr make_view(const TensorView& view);
SourcePtr make_constant(DType dtype, std::shared_ptr<const std::vector<std::byte>> bytes);
SourcePtr make_cast(SourcePtr input, DType dtype);
/// Output axis i is axis axes[i] of `input`, seen in `shape`. Null when that moves no element.
SourcePtr make_permute(SourcePtr input, const Dims& shape, const Dims& axes);
/// Columns [first, first + length) of `input`, treated as a matrix with rows of `width` elements.
SourcePtr make_columns(SourcePtr input, std::int64_t rows, std::int64_t width, std::int64_t first,
                       std::int64_t length);

/// Parts side by side: each is a matrix with the same number of rows and `width` columns.
struct ConcatPart {
  SourcePtr source;
  std::int64_t width;
};
SourcePtr make_concat(std::vector<ConcatPart> parts, std::int64_t rows);

/// Square roots of the sums of squares at each index of the middle axis of `input`, treated as [outer,
/// extent, inner].
SourcePtr make_norm(SourcePtr input, std::int64_t outer, std::int64_t extent, std::int64_t inner);

enum class Function { sqrt, exp, sin, cos };
/// "sqrt", "exp", …
std::string_view to_string(Function function);
/// The function of each element, computed in double.
SourcePtr make_function(Function function, SourcePtr input);

/// The rows of `width` elements at these indices, in order.
SourcePtr make_take(SourcePtr input, std::int64_t width, Dims indices);

enum class Arithmetic { add, sub, mul, div };
/// "add", "sub", …
std::string_view to_string(Arithmetic op);
/// `a op b` of one dtype with broadcasting to `shape`; the shapes must broadcast to it. Integers are computed
/// modulo 2^64 and divided towards zero; a division by zero throws ExportError(invalid_argument).
SourcePtr make_arithmetic(Arithmetic op, SourcePtr a, const Dims& a_shape, SourcePtr b, const Dims& b_shape,
                          const Dims& shape);

}  // namespace onnxport::detail
