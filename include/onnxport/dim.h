/// Symbolic dimensions: integers and polynomials over named symbols.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "onnxport/export_macro.h"

namespace onnxport {

/// Values of symbols, for evaluating a Dim.
using DimBindings = std::map<std::string, std::int64_t, std::less<>>;

/// One extent of a shape: an integer, or an integer polynomial over named symbols such as
/// `past_sequence_length + sequence_length` or `4*batch_size*num_heads`.
///
/// Two Dims are equal if they are the same polynomial, so `(a + b) - b == a`. Floor divisions with a possible
/// remainder are atoms of the polynomial, written `floor((height - 2)/16)`.
///
/// A Dim is an immutable value, cheap to copy.
class ONNXPORT_API Dim {
 public:
  Dim() = default;
  Dim(std::int64_t value) : constant_(value) {}  // NOLINT: an integer is a Dim
  Dim(int value) : constant_(value) {}           // NOLINT

  /// A named symbol. The name may contain anything except the operators `+ - * / ( )`.
  static Dim symbol(std::string_view name);
  /// Parses the output of str(): integers, symbols, sums, products, `floor(expr/n)`, `min(expr, n)`. Also
  /// accepts Python's floor division, `expr // n`.
  static Dim parse(std::string_view text);

  bool is_constant() const { return terms_ == nullptr; }
  /// The integer, if it is one.
  std::optional<std::int64_t> constant() const;
  /// Whether it is a single bare symbol.
  bool is_symbol() const;
  /// Names of all symbols, including those inside floor(), sorted.
  std::vector<std::string> symbols() const;
  /// `past_sequence_length + sequence_length`; sorted, so equal Dims print alike.
  std::string str() const;
  /// The integer for these values. Throws ExportError(shape) that names the symbol if one has no value.
  std::int64_t evaluate(const DimBindings& bindings) const;
  /// This Dim with some symbols replaced.
  Dim substitute(const std::map<std::string, Dim, std::less<>>& values) const;

  /// One summand: `coefficient * factor * factor …`; a factor is a symbol, or an atom `floor(…)` or `min(…)`.
  struct Term {
    std::vector<std::string> factors;  ///< sorted; empty for the constant summand
    std::int64_t coefficient = 0;
    friend bool operator==(const Term&, const Term&) = default;
  };
  /// All summands, in the order of printing.
  std::vector<Term> terms() const;

  /// The quotient if `divisor` is one term that divides every summand; nothing otherwise.
  std::optional<Dim> exact_div(const Dim& divisor) const;
  /// floor(this / divisor), divisor > 0; exact if there is no remainder.
  Dim floor_div(std::int64_t divisor) const;
  /// The smaller of this and `bound`, which is not negative.
  Dim min(std::int64_t bound) const;

  /// A factor that is not a symbol: floor(expression / n), or min(expression, n).
  struct Atom;
  /// Whether any factor is a floor(…).
  bool has_floor() const;
  /// The content of such a factor; nothing for a symbol.
  static std::optional<Atom> open_atom(std::string_view factor);

  friend ONNXPORT_API Dim operator+(const Dim& a, const Dim& b);
  friend ONNXPORT_API Dim operator-(const Dim& a, const Dim& b);
  friend ONNXPORT_API Dim operator*(const Dim& a, const Dim& b);
  friend ONNXPORT_API bool operator==(const Dim& a, const Dim& b);

 private:
  static Dim from_terms(std::vector<Term> terms);
  std::int64_t constant_ = 0;
  std::shared_ptr<const std::vector<Term>> terms_;  // null for an integer
};

struct Dim::Atom {
  bool minimum = false;
  Dim expression;
  std::int64_t n = 0;
};

/// Extents of a tensor, outermost first.
using Shape = std::vector<Dim>;

/// `[batch_size, sequence_length, 32]`
ONNXPORT_API std::string to_string(const Shape& shape);
/// Product of all extents.
ONNXPORT_API Dim numel(const Shape& shape);
/// The extents, if all of them are integers.
ONNXPORT_API std::optional<std::vector<std::int64_t>> static_shape(const Shape& shape);
/// NumPy broadcasting of two shapes; nothing if they do not fit. Different symbols do not fit.
ONNXPORT_API std::optional<Shape> broadcast(const Shape& a, const Shape& b);

}  // namespace onnxport
