#include "validate/compare.h"

#include <algorithm>
#include <cmath>

namespace onnxport {

namespace validate {

double tolerance(const std::vector<double>& values, double atol) {
  double largest = 1;
  for (const double value : values) {
    if (std::abs(value) < kSentinel) largest = std::max(largest, std::abs(value));
  }
  return atol * largest;
}

bool passed(const ValidationCase& one) { return std::ranges::all_of(one.outputs, &OutputComparison::passed); }

}  // namespace validate

bool ValidationReport::passed() const {
  return problems.empty() && !cases.empty() &&
         std::all_of(drift.begin(), drift.end(), [](const Drift& one) { return one.passed(); }) &&
         std::ranges::all_of(cases, validate::passed);
}

namespace {

// Numbers of tokens and labels, and booleans: no tolerance applies to them.
void compare_integers(const Tensor& got, const Tensor& reference, OutputComparison& result) {
  const std::vector<double> a = got.to_doubles();
  const std::vector<double> b = reference.to_doubles();
  bool same = true;
  for (std::size_t i = 0; i < a.size(); ++i) {
    same = same && a[i] == b[i];
    if (!std::isnan(a[i])) result.max_difference = std::max(result.max_difference, std::abs(a[i] - b[i]));
  }
  result.tolerance = 0;
  // Doubles do not tell large integers apart.
  result.passed = got.dtype == reference.dtype ? got.data == reference.data : same;
}

void compare_floats(const Tensor& got, const Tensor& reference, double atol, NonFinite non_finite,
                    OutputComparison& result) {
  constexpr double kSentinelTolerance = 1e-2;
  const std::vector<double> a = got.to_doubles();
  const std::vector<double> b = reference.to_doubles();
  bool agree = true;
  for (std::size_t i = 0; i < a.size(); ++i) {
    result.non_finite += std::isfinite(a[i]) ? 0 : 1;
    result.reference_non_finite += std::isfinite(b[i]) ? 0 : 1;
    if (std::isnan(a[i]) || std::isnan(b[i])) {
      agree = agree && std::isnan(a[i]) && std::isnan(b[i]);
    } else if (std::isinf(a[i]) || std::isinf(b[i])) {  // any value lies within a part of infinity
      agree = agree && a[i] == b[i];
    } else if (std::abs(b[i]) >= validate::kSentinel) {
      agree = agree && std::abs(a[i] - b[i]) <= kSentinelTolerance * std::abs(b[i]);
    } else {
      result.max_difference = std::max(result.max_difference, std::abs(a[i] - b[i]));
    }
  }
  result.tolerance = validate::tolerance(b, atol);
  const bool all_finite = result.non_finite == 0 && result.reference_non_finite == 0;
  agree = agree && (all_finite || non_finite == NonFinite::allow);
  result.passed = agree && result.max_difference <= result.tolerance;
}

}  // namespace

OutputComparison compare_outputs(const std::string& name, const Tensor& got, const Tensor& reference,
                                 double atol, NonFinite non_finite) {
  OutputComparison result{name, got.shape, reference.shape, 0, atol};
  if (got.shape != reference.shape) return result;
  if (is_float(reference.dtype)) {
    compare_floats(got, reference, atol, non_finite, result);
  } else {
    compare_integers(got, reference, result);
  }
  return result;
}

double validation_atol(const OnnxConfig& config, std::optional<double> atol) {
  return validation_atol(config.interface(), atol);
}

double validation_atol(const Interface& interface, std::optional<double> atol) {
  if (atol) return *atol;
  // fp16 rounds every activation to 11 bits. A bf16 file is run widened, so that only its constants (the
  // scale of attention, the terms of gelu) carry the 8 bits that the reference does not round.
  constexpr double kHalf = 1e-2;
  constexpr double kBfloat16 = 5e-3;
  switch (interface.float_dtype) {
    case DType::f16:
      return std::max(kHalf, interface.atol);
    case DType::bf16:
      return std::max(kBfloat16, interface.atol);
    default:
      return interface.atol;
  }
}

}  // namespace onnxport
