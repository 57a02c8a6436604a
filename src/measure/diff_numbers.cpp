#include "measure/diff_numbers.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "measure/node_values.h"
#include "onnxport/error.h"
#include "runtime/session.h"
#include "serialize/widen.h"
#include "support/temp_folder.h"
#include "validate/drift.h"

namespace onnxport::measure {
namespace {

namespace fs = std::filesystem;

bool has_type(const ModelSummary& model, std::string_view type) {
  const auto is = [&](const auto& one) { return one.type == type; };
  return std::ranges::any_of(model.graph.initializers, is) || std::ranges::any_of(model.graph.inputs, is) ||
         std::ranges::any_of(model.graph.outputs, is);
}

/// The tolerances of validation (docs/validation.md).
double default_atol(const ModelSummary& a, const ModelSummary& b) {
  constexpr double kFloat = 1e-5, kHalf = 1e-2, kBfloat16 = 5e-3;
  if (has_type(a, "float16") || has_type(b, "float16")) return kHalf;
  return has_type(a, "bfloat16") || has_type(b, "bfloat16") ? kBfloat16 : kFloat;
}

/// A file as ONNX Runtime's CPU kernels can run it: they do not cover bfloat16.
class Runnable {
 public:
  Runnable(const fs::path& file, const ModelSummary& model) : file_(file), model_(model) {
    if (!has_type(model, "bfloat16")) return;
    file_ = folder_.emplace().path() / "widened.onnx";
    serialize::widen_bfloat16(file, file_);
    model_ = summarize(file_);
  }
  const fs::path& file() const { return file_; }
  const ModelSummary& model() const { return model_; }

 private:
  std::optional<TempFolder> folder_;
  fs::path file_;
  ModelSummary model_;
};

/// The sizes of each case: as they are given, and, where nothing is given, other ones.
std::vector<AxisSizes> sizes_of_cases(const AxisSizes& given, const ModelSummary& model) {
  std::vector<AxisSizes> cases = {given};
  AxisSizes others = given;
  for (const auto& [name, size] :
       AxisSizes{{"batch_size", 1}, {"sequence_length", 5}, {"past_sequence_length", 3}})
    others.try_emplace(name, size);
  const FileInputs first = make_file_inputs(model, given), second = make_file_inputs(model, others);
  const auto shapes = [](const FileInputs& inputs) {
    std::vector<std::vector<std::int64_t>> all;
    for (const auto& [name, tensor] : inputs.tensors) all.push_back(tensor.shape);
    return all;
  };
  if (shapes(first) != shapes(second)) cases.push_back(std::move(others));
  return cases;
}

std::string name_of(const FileInputs& inputs) {
  std::vector<std::string> sizes;
  for (const auto& [name, size] : inputs.sizes) sizes.push_back(fmt::format("{} {}", name, size));
  return sizes.empty() ? "fixed sizes" : fmt::format("{}", fmt::join(sizes, ", "));
}

}  // namespace

void compare_numbers(const ModelSummary& a, const ModelSummary& b, const PairedNodes& nodes,
                     const DiffOptions& options, FileDiff& diff) {
  diff.atol = options.atol.value_or(default_atol(a, b));
  std::vector<std::string> outputs;
  for (const ValueSummary& output : a.graph.outputs) {
    if (std::ranges::find(b.graph.outputs, output.name, &ValueSummary::name) != b.graph.outputs.end())
      outputs.push_back(output.name);
  }
  if (outputs.empty()) {
    diff.run_error = "the files have no output in common";
    return;
  }
  const runtime::SessionOptions settings{.intra_op_threads = options.threads};
  std::vector<FileInputs> inputs;
  std::vector<NamedTensors> expected;
  const Runnable first(diff.a, a);
  {
    const runtime::Session session(first.file(), settings);
    for (const AxisSizes& sizes : sizes_of_cases(options.sizes, first.model())) {
      inputs.push_back(make_file_inputs(first.model(), sizes));
      expected.push_back(session.run(inputs.back().tensors, outputs));
    }
  }
  const Runnable second(diff.b, b);
  std::vector<NamedTensors> given;
  {
    const runtime::Session session(second.file(), settings);
    validate::DriftMeter meter(0);
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      AxisSizes sizes = options.sizes;
      sizes.insert(inputs[i].sizes.begin(), inputs[i].sizes.end());
      given.push_back(make_file_inputs(second.model(), sizes, inputs[i].tensors).tensors);
      const NamedTensors got = session.run(given.back(), outputs);
      ValidationCase& one = diff.cases.emplace_back();
      one.name = name_of(inputs[i]);
      for (std::size_t k = 0; k < outputs.size(); ++k) {
        one.outputs.push_back(
            compare_outputs(outputs[k], got[k].second, expected[i][k].second, diff.atol, options.non_finite));
      }
      meter.add(got, expected[i]);
    }
    diff.drift = meter.result();
  }
  expected.clear();
  const ValidationCase* failed = diff.first_failed();
  if (options.node_values == NodeValues::never) return;
  if (options.node_values == NodeValues::if_outputs_differ && failed == nullptr) return;
  const auto i = failed == nullptr ? 0 : static_cast<std::size_t>(failed - diff.cases.data());
  compare_node_values(nodes, {first.file(), inputs[i].tensors}, {second.file(), given[i]}, diff.cases[i],
                      options, diff);
}

}  // namespace onnxport::measure
