#include "onnxport/dim.h"

#include <algorithm>
#include <cctype>
#include <set>

#include "onnxport/error.h"

namespace onnxport {
namespace {

using Terms = std::vector<Dim::Term>;

// Symbols first, in alphabetical order, the constant last: `a + b + 1`.
bool before(const Dim::Term& a, const Dim::Term& b) {
  if (a.factors.empty() != b.factors.empty()) return b.factors.empty();
  return a.factors < b.factors;
}

void add_term(Terms& terms, Dim::Term term) {
  if (term.coefficient == 0) return;
  auto it = std::lower_bound(terms.begin(), terms.end(), term, before);
  if (it != terms.end() && it->factors == term.factors) {
    it->coefficient += term.coefficient;
    if (it->coefficient == 0) terms.erase(it);
  } else {
    terms.insert(it, std::move(term));
  }
}

std::int64_t floor_division(std::int64_t a, std::int64_t b) {
  const std::int64_t q = a / b;
  return (a % b != 0 && (a < 0) != (b < 0)) ? q - 1 : q;
}

constexpr std::string_view kFloor = "floor(";

constexpr std::string_view kMin = "min(";

bool is_atom(std::string_view factor) {
  return (factor.starts_with(kFloor) || factor.starts_with(kMin)) && factor.ends_with(")");
}

// The value of an atom made by floor_div or min, with other values in its expression.
std::int64_t value_of(const Dim::Atom& atom, std::int64_t expression) {
  return atom.minimum ? std::min(expression, atom.n) : floor_division(expression, atom.n);
}
Dim value_of(const Dim::Atom& atom, const Dim& expression) {
  return atom.minimum ? expression.min(atom.n) : expression.floor_div(atom.n);
}

// A recursive descent over `expr := [-] product { (+|-) product }`, `product := factor { * factor | //
// integer }`, `factor := integer | floor(expr/n) | min(expr, n) | ( expr ) | symbol`.
class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Dim parse() {
    Dim result = sum(0);
    skip_space();
    if (at_ != text_.size()) fail();
    return result;
  }

 private:
  static constexpr int kMaxDepth = 64;

  [[noreturn]] void fail() const {
    throw ExportError(ErrorCode::invalid_argument,
                      "axis expression '" + std::string(text_) + "': unexpected character at position " +
                          std::to_string(at_) +
                          "; expected symbols, integers, +, -, *, // integer, floor(expression/integer), "
                          "min(expression, integer)");
  }
  void skip_space() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
  }
  bool take(std::string_view token) {
    skip_space();
    if (!text_.substr(at_).starts_with(token)) return false;
    at_ += token.size();
    return true;
  }
  bool take(char c) { return take(std::string_view(&c, 1)); }

  Dim sum(int depth) {
    if (depth > kMaxDepth) fail();
    const bool negative = take('-');
    Dim result = product(depth);
    if (negative) result = Dim(0) - result;
    while (true) {
      if (take('+')) {
        result = result + product(depth);
      } else if (take('-')) {
        result = result - product(depth);
      } else {
        return result;
      }
    }
  }

  Dim product(int depth) {
    Dim result = factor(depth);
    while (true) {
      if (take('*')) {
        result = result * factor(depth);
      } else if (take("//")) {
        result = result.floor_div(divisor());
      } else {
        return result;
      }
    }
  }

  Dim factor(int depth) {
    skip_space();
    if (take('(')) {
      Dim inner = sum(depth + 1);
      if (!take(')')) fail();
      return inner;
    }
    if (text_.substr(at_).starts_with(kFloor)) {
      at_ += kFloor.size();
      const Dim numerator = sum(depth + 1);
      if (!take('/')) fail();
      const Dim quotient = numerator.floor_div(divisor());
      if (!take(')')) fail();
      return quotient;
    }
    if (text_.substr(at_).starts_with(kMin)) {
      at_ += kMin.size();
      const Dim expression = sum(depth + 1);
      if (!take(',')) fail();
      const std::int64_t bound = integer();
      if (!take(')')) fail();
      return expression.min(bound);
    }
    if (at_ < text_.size() && std::isdigit(static_cast<unsigned char>(text_[at_])) != 0) return integer();
    const std::size_t end = std::min(text_.find_first_of("+-*/(),", at_), text_.size());
    std::string_view name = text_.substr(at_, end - at_);
    at_ = end;
    while (name.ends_with(" ")) name.remove_suffix(1);
    if (name.empty()) fail();
    return Dim::symbol(name);
  }

  std::int64_t divisor() {
    const std::int64_t value = integer();
    if (value == 0) fail();
    return value;
  }

  std::int64_t integer() {
    skip_space();
    std::int64_t value = 0;
    const std::size_t start = at_;
    for (; at_ < text_.size() && std::isdigit(static_cast<unsigned char>(text_[at_])) != 0; ++at_) {
      if (at_ - start >= 18) fail();
      value = value * 10 + (text_[at_] - '0');
    }
    if (at_ == start) fail();
    return value;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

Dim Dim::from_terms(std::vector<Term> terms) {
  if (terms.empty()) return Dim(0);
  if (terms.size() == 1 && terms[0].factors.empty()) return Dim(terms[0].coefficient);
  Dim result;
  result.terms_ = std::make_shared<const std::vector<Term>>(std::move(terms));
  return result;
}

Dim Dim::symbol(std::string_view name) { return from_terms({{{std::string(name)}, 1}}); }

Dim Dim::parse(std::string_view text) { return Parser(text).parse(); }

std::optional<std::int64_t> Dim::constant() const {
  if (!is_constant()) return std::nullopt;
  return constant_;
}

bool Dim::is_symbol() const {
  return terms_ && terms_->size() == 1 && terms_->front().coefficient == 1 &&
         terms_->front().factors.size() == 1 && !is_atom(terms_->front().factors.front());
}

std::vector<Dim::Term> Dim::terms() const {
  if (terms_) return *terms_;
  if (constant_ == 0) return {};
  return {{{}, constant_}};
}

std::vector<std::string> Dim::symbols() const {
  std::set<std::string> names;
  for (const Term& term : terms()) {
    for (const std::string& factor : term.factors) {
      if (const std::optional<Atom> atom = open_atom(factor)) {
        for (const std::string& inner : atom->expression.symbols()) names.insert(inner);
      } else {
        names.insert(factor);
      }
    }
  }
  return {names.begin(), names.end()};
}

std::string Dim::str() const {
  if (is_constant()) return std::to_string(constant_);
  std::string text;
  for (const Term& term : *terms_) {
    const bool negative = term.coefficient < 0;
    const std::int64_t magnitude = negative ? -term.coefficient : term.coefficient;
    if (!text.empty()) {
      text += negative ? " - " : " + ";
    } else if (negative) {
      text += "-";
    }
    if (magnitude != 1 || term.factors.empty()) {
      text += std::to_string(magnitude);
      if (!term.factors.empty()) text += "*";
    }
    for (std::size_t i = 0; i < term.factors.size(); ++i) text += (i == 0 ? "" : "*") + term.factors[i];
  }
  return text;
}

std::int64_t Dim::evaluate(const DimBindings& bindings) const {
  std::int64_t total = 0;
  for (const Term& term : terms()) {
    std::int64_t product = term.coefficient;
    for (const std::string& factor : term.factors) {
      if (const std::optional<Atom> atom = open_atom(factor)) {
        product *= value_of(*atom, atom->expression.evaluate(bindings));
        continue;
      }
      const auto it = bindings.find(factor);
      if (it == bindings.end()) {
        throw ExportError(ErrorCode::shape,
                          "dimension '" + str() + "': no value for the symbol '" + factor + "'");
      }
      product *= it->second;
    }
    total += product;
  }
  return total;
}

Dim Dim::substitute(const std::map<std::string, Dim, std::less<>>& values) const {
  Dim total = 0;
  for (const Term& term : terms()) {
    Dim product = term.coefficient;
    for (const std::string& factor : term.factors) {
      if (const std::optional<Atom> atom = open_atom(factor)) {
        product = product * value_of(*atom, atom->expression.substitute(values));
      } else if (const auto it = values.find(factor); it != values.end()) {
        product = product * it->second;
      } else {
        product = product * Dim::symbol(factor);
      }
    }
    total = total + product;
  }
  return total;
}

std::optional<Dim> Dim::exact_div(const Dim& divisor) const {
  const std::vector<Term> by = divisor.terms();
  if (by.size() != 1) return std::nullopt;
  std::vector<Term> quotient;
  for (Term term : terms()) {
    if (term.coefficient % by[0].coefficient != 0) return std::nullopt;
    term.coefficient /= by[0].coefficient;
    for (const std::string& factor : by[0].factors) {
      const auto it = std::find(term.factors.begin(), term.factors.end(), factor);
      if (it == term.factors.end()) return std::nullopt;
      term.factors.erase(it);
    }
    add_term(quotient, std::move(term));
  }
  return from_terms(std::move(quotient));
}

std::optional<Dim::Atom> Dim::open_atom(std::string_view factor) {
  if (!is_atom(factor)) return std::nullopt;
  const bool minimum = factor.starts_with(kMin);
  const std::size_t begin = minimum ? kMin.size() : kFloor.size();
  const std::size_t cut = factor.rfind(minimum ? ',' : '/');
  const std::string_view expression = factor.substr(begin, cut - begin);
  const std::string_view n = factor.substr(cut + 1, factor.size() - cut - 2);
  return Atom{minimum, parse(expression), std::stoll(std::string(n))};
}

bool Dim::has_floor() const {
  if (is_constant()) return false;
  return std::any_of(terms_->begin(), terms_->end(), [](const Term& term) {
    return std::any_of(term.factors.begin(), term.factors.end(),
                       [](const std::string& factor) { return factor.find(kFloor) != factor.npos; });
  });
}

Dim Dim::min(std::int64_t bound) const {
  if (is_constant()) return std::min(constant_, bound);
  return symbol(std::string(kMin) + str() + ", " + std::to_string(bound) + ")");
}

Dim Dim::floor_div(std::int64_t divisor) const {
  if (divisor == 1) return *this;
  if (is_constant()) return floor_division(constant_, divisor);
  if (const std::optional<Dim> exact = exact_div(divisor)) return *exact;
  // Moves terms without a remainder out, so equal sizes print alike: floor((2*a + 1)/2) = a + floor(1/2).
  std::vector<Term> whole;
  std::vector<Term> rest;
  for (Term term : *terms_) {
    const std::int64_t q = floor_division(term.coefficient, divisor);
    if (term.factors.empty()) {
      add_term(whole, {{}, q});
      add_term(rest, {{}, term.coefficient - q * divisor});
    } else if (term.coefficient % divisor == 0) {
      add_term(whole, {term.factors, q});
    } else {
      add_term(rest, std::move(term));
    }
  }
  const Dim remainder = from_terms(std::move(rest));
  const Dim even = from_terms(std::move(whole));
  if (remainder.is_constant()) return even + floor_division(*remainder.constant(), divisor);
  const std::string inner = remainder.str();
  const bool bare = remainder.terms_->size() == 1;
  return even + symbol(std::string(kFloor) + (bare ? inner : "(" + inner + ")") + "/" +
                       std::to_string(divisor) + ")");
}

Dim operator+(const Dim& a, const Dim& b) {
  if (a.is_constant() && b.is_constant()) return a.constant_ + b.constant_;
  std::vector<Dim::Term> sum = a.terms();
  for (Dim::Term& term : b.terms()) add_term(sum, std::move(term));
  return Dim::from_terms(std::move(sum));
}

Dim operator-(const Dim& a, const Dim& b) {
  if (a.is_constant() && b.is_constant()) return a.constant_ - b.constant_;
  std::vector<Dim::Term> sum = a.terms();
  for (Dim::Term& term : b.terms()) {
    term.coefficient = -term.coefficient;
    add_term(sum, std::move(term));
  }
  return Dim::from_terms(std::move(sum));
}

Dim operator*(const Dim& a, const Dim& b) {
  if (a.is_constant() && b.is_constant()) return a.constant_ * b.constant_;
  std::vector<Dim::Term> product;
  for (const Dim::Term& left : a.terms()) {
    for (const Dim::Term& right : b.terms()) {
      Dim::Term term{left.factors, left.coefficient * right.coefficient};
      term.factors.insert(term.factors.end(), right.factors.begin(), right.factors.end());
      std::sort(term.factors.begin(), term.factors.end());
      add_term(product, std::move(term));
    }
  }
  return Dim::from_terms(std::move(product));
}

bool operator==(const Dim& a, const Dim& b) {
  if (a.is_constant() || b.is_constant())
    return a.is_constant() && b.is_constant() && a.constant_ == b.constant_;
  return a.terms_ == b.terms_ || *a.terms_ == *b.terms_;
}

std::string to_string(const Shape& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + shape[i].str();
  return text + "]";
}

Dim numel(const Shape& shape) {
  // Handles numbers first, because products of polynomials are slow.
  Dim product = 1;
  std::int64_t factor = 1;
  for (const Dim& dim : shape) {
    std::int64_t next = 0;
    const std::optional<std::int64_t> extent = dim.constant();
    if (extent && !__builtin_mul_overflow(factor, *extent, &next)) {
      factor = next;
    } else {
      product = product * dim;
    }
  }
  return factor == 1 ? product : product * Dim(factor);
}

std::optional<std::vector<std::int64_t>> static_shape(const Shape& shape) {
  std::vector<std::int64_t> extents;
  for (const Dim& dim : shape) {
    if (!dim.is_constant()) return std::nullopt;
    extents.push_back(*dim.constant());
  }
  return extents;
}

std::optional<Shape> broadcast(const Shape& a, const Shape& b) {
  const std::size_t rank = std::max(a.size(), b.size());
  Shape result(rank);
  for (std::size_t i = 0; i < rank; ++i) {
    const Dim x = i + a.size() < rank ? Dim(1) : a[i + a.size() - rank];
    const Dim y = i + b.size() < rank ? Dim(1) : b[i + b.size() - rank];
    if (x == y || y == Dim(1)) {
      result[i] = x;
    } else if (x == Dim(1)) {
      result[i] = y;
    } else {
      return std::nullopt;
    }
  }
  return result;
}

}  // namespace onnxport
