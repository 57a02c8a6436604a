#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdint>
#include <string>
#include <vector>

#include "onnxport/validate.h"

namespace onnxport {
namespace {

std::string shape_text(const std::vector<std::int64_t>& shape) {
  return fmt::format("({})", fmt::join(shape, ", "));
}

constexpr const char* kGood = "✓";
constexpr const char* kBad = "x";

// The line about values that are NaN or infinite; empty without such values.
std::string non_finite_line(const OutputComparison& output) {
  if (output.non_finite == 0 && output.reference_non_finite == 0) return {};
  std::string text =
      fmt::format("\t\t\t-[{}] {} values are NaN or infinite, {} in the reference",
                  output.passed ? kGood : kBad, output.non_finite, output.reference_non_finite);
  if (!output.passed && output.non_finite == output.reference_non_finite)
    text += "; if the original model computes them too, allow them with --allow-non-finite";
  return text + "\n";
}

// Whether a comparison failed only because both sides have NaN or infinities.
bool only_non_finite(const OutputComparison& output) {
  return output.shape == output.reference_shape && output.max_difference <= output.tolerance &&
         output.non_finite > 0 && output.non_finite == output.reference_non_finite;
}

std::string drift_line(const Drift& drift) {
  std::string text = fmt::format(
      "\t-[{}] quantization moves \"{}\" by {:.3g} at most, {:.3g} on average; cosine {:.5f}",
      drift.passed() ? kGood : kBad, drift.output, drift.max_difference, drift.mean_difference, drift.cosine);
  if (drift.agreement)
    text += fmt::format(", largest value the same in {:.1f} % of the rows", *drift.agreement * 100);
  if (!drift.passed()) text += fmt::format("; expected a cosine of {} or more", drift.bound);
  return text + "\n";
}

std::string verdict(const ValidationReport& report) {
  if (report.passed()) {
    return fmt::format("The ONNX model computes what its definition computes, on {} {} (atol: {}).\n",
                       report.cases.size(), report.cases.size() == 1 ? "case" : "cases", report.atol);
  }
  bool same = report.problems.empty() && !report.cases.empty(), finite = true;
  for (const ValidationCase& one : report.cases) {
    for (const OutputComparison& output : one.outputs) {
      same = same && (output.passed || only_non_finite(output));
      finite = finite && output.passed;
    }
  }
  if (!same) return "The ONNX model does NOT compute what its definition computes.\n";
  if (!finite) return "The ONNX model and its definition compute values that are NaN or infinite.\n";
  return "Quantization moves the outputs too far: a cosine is below its bound.\n";
}

}  // namespace

std::string to_string(const ValidationReport& report) {
  std::string text = fmt::format("Validating ONNX model {}...\n", report.file.string());
  for (const std::string& problem : report.problems) text += fmt::format("\t-[{}] {}\n", kBad, problem);
  for (const ValidationCase& one : report.cases) {
    text += fmt::format("\t- {}:\n", one.name);
    for (const OutputComparison& output : one.outputs) {
      text += fmt::format("\t\t- output \"{}\":\n", output.name);
      const bool same_shape = output.shape == output.reference_shape;
      text += fmt::format("\t\t\t-[{}] {} {} {}\n", same_shape ? kGood : kBad, shape_text(output.shape),
                          same_shape ? "matches" : "does not match", shape_text(output.reference_shape));
      if (!same_shape) continue;
      text += non_finite_line(output);
      text += fmt::format("\t\t\t-[{}] {} (max difference: {:.3g}, tolerance: {:.3g})\n",
                          output.passed ? kGood : kBad,
                          output.passed ? "all values close" : "values not close enough",
                          output.max_difference, output.tolerance);
    }
  }
  for (const Drift& one : report.drift) text += drift_line(one);
  return text + verdict(report);
}

}  // namespace onnxport
