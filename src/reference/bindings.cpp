#include "reference/bindings.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "onnxport/error.h"
#include "support/shape.h"
#include "support/text.h"

namespace onnxport::reference {
namespace {

// An equation from an axis of an input: `dim` is `extent`.
struct Equation {
  Dim dim;
  std::int64_t extent;
  std::string where;
};

const Tensor& checked_input(const Case& inputs, const std::string& name, const TensorType& declared) {
  const auto misfit = [&](const std::string& what) {
    return ExportError(ErrorCode::invalid_argument, fmt::format("input '{}': {}", name, what));
  };
  const Tensor* tensor = find(inputs, name);
  if (tensor == nullptr) throw misfit("no tensor was given");
  const std::string got = fmt::format("{}{}", to_string(tensor->dtype), text::shape_text(tensor->shape));
  bool fits = tensor->dtype == declared.dtype && tensor->shape.size() == declared.shape.size();
  for (std::size_t i = 0; fits && i < tensor->shape.size(); ++i) {
    fits = !declared.shape[i].is_constant() || declared.shape[i] == Dim(tensor->shape[i]);
  }
  if (!fits) throw misfit(fmt::format("got {}, expected {}", got, to_string(declared)));
  const std::int64_t count = tensor->numel();
  if (element_count(tensor->shape) != count) throw misfit(fmt::format("{} with {} elements", got, count));
  return *tensor;
}

// Collects the values of symbols from equations, with their origins for messages.
class Solver {
 public:
  const DimBindings& values() const { return values_; }

  // Checks an equation without unknowns, or solves one with a single unknown (`past + now = 7` if `now` is
  // known). False if it needs more values.
  bool use(const Equation& equation) {
    const Dim rest = equation.dim.substitute({values_.begin(), values_.end()});
    const std::vector<std::string> unknown = rest.symbols();
    if (unknown.empty()) {
      if (rest == Dim(equation.extent)) return true;
      contradict(equation, fmt::format("{} = {}", equation.dim.str(), rest.str()));
    }
    if (unknown.size() > 1) return false;
    const Dim constant = rest.substitute({{unknown[0], Dim(0)}});
    const std::optional<Dim> coefficient = (rest - constant).exact_div(Dim::symbol(unknown[0]));
    if (!coefficient || !coefficient->is_constant()) return false;
    const std::int64_t factor = coefficient->evaluate({});
    const std::int64_t difference = equation.extent - constant.evaluate({});
    const std::int64_t value = difference / factor;
    if (value < 0 || value * factor != difference) contradict(equation, equation.dim.str());
    values_[unknown[0]] = value;
    origins_[unknown[0]] = equation.where;
    return true;
  }

 private:
  [[noreturn]] void contradict(const Equation& equation, const std::string& expected) const {
    std::string message = fmt::format("{} is {}, expected {}", equation.where, equation.extent, expected);
    for (const std::string& symbol : equation.dim.symbols()) {
      const auto value = values_.find(symbol);
      if (value == values_.end()) continue;
      message += fmt::format("; {} = {} by {}", symbol, value->second, origins_.at(symbol));
    }
    throw ExportError(ErrorCode::shape, message);
  }

  DimBindings values_;
  std::map<std::string, std::string, std::less<>> origins_;
};

}  // namespace

DimBindings bind(const Graph& graph, const Case& inputs) {
  std::vector<Equation> open;
  for (const auto& [name, value] : graph.inputs()) {
    const Tensor& tensor = checked_input(inputs, name, value.type());
    for (std::size_t axis = 0; axis < tensor.shape.size(); ++axis) {
      const std::string where = fmt::format("input '{}' axis {}", name, axis);
      open.push_back({value.shape()[axis], tensor.shape[axis], where});
    }
  }
  // Bare symbols come first, so that a contradiction is reported for the composite axis, whatever the order
  // of the inputs.
  std::stable_partition(open.begin(), open.end(),
                        [](const Equation& equation) { return equation.dim.is_symbol(); });

  Solver solver;
  for (std::size_t before = 0; before != open.size();) {
    before = open.size();
    std::erase_if(open, [&](const Equation& equation) { return solver.use(equation); });
  }
  if (!open.empty()) {
    const auto& [dim, extent, where] = open[0];
    throw ExportError(ErrorCode::shape, fmt::format("{} is {}, which does not determine the symbols of {}",
                                                    where, extent, dim.str()));
  }
  return solver.values();
}

}  // namespace onnxport::reference
