#include "onnxport/validate.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <limits>
#include <set>
#include <vector>

#include "checkpoint/safetensors.h"
#include "onnxport/error.h"
#include "onnxport/ops.h"
#include "reference/interpreter.h"
#include "runtime/session.h"
#include "serialize/widen.h"
#include "support/file.h"
#include "support/temp_folder.h"
#include "validate/cases.h"
#include "validate/compare.h"
#include "validate/decisions.h"
#include "validate/drift.h"
#include "validate/reference.h"
#include "validate/row_order.h"
#include "validate/rows.h"

namespace onnxport {
namespace {

std::vector<std::string> names_of(const std::vector<runtime::Session::Info>& infos) {
  std::vector<std::string> names;
  for (const auto& info : infos) names.push_back(info.name);
  return names;
}

// The file must have exactly the inputs and outputs of the interface, in its order.
std::vector<std::string> interface_problems(const Interface& interface, const runtime::Session& session,
                                            const std::vector<std::string>& outputs) {
  std::vector<std::string> problems;
  const std::vector<std::string> expected = interface.input_names();
  const std::vector<std::string> inputs = names_of(session.inputs());
  if (inputs != expected) {
    problems.push_back(
        fmt::format("inputs are ({}), expected ({})", fmt::join(inputs, ", "), fmt::join(expected, ", ")));
  }
  const std::vector<std::string> given = names_of(session.outputs());
  if (given != outputs) {
    problems.push_back(
        fmt::format("outputs are ({}), expected ({})", fmt::join(given, ", "), fmt::join(outputs, ", ")));
  }
  return problems;
}

// What two values must have in common.
struct Rule {
  double atol;
  NonFinite non_finite;
  bool masks;                     // the definition writes -infinity into outputs
  std::set<std::int64_t> ranked;  // numbers of rows that the graph ranks by scores
};

bool writes_minus_infinity(const Graph& graph) {
  return std::any_of(graph.nodes().begin(), graph.nodes().end(), [](const Node& node) {
    return node.op == Op::weight && is_float(node.weight.dtype()) && node.weight.numel() == 1 &&
           node.weight.to_doubles().front() == -std::numeric_limits<double>::infinity();
  });
}

// -infinity passes where the definition writes it, as for padded tokens. Any other value that is not finite
// passes only if the user allows it.
NonFinite non_finite_in(const Tensor& reference, const Rule& rule) {
  if (!rule.masks || !is_float(reference.dtype)) return rule.non_finite;
  const std::vector<double> values = reference.to_doubles();
  const bool masked = std::all_of(values.begin(), values.end(), [](double value) {
    return std::isfinite(value) || value == -std::numeric_limits<double>::infinity();
  });
  return masked ? NonFinite::allow : rule.non_finite;
}

// Outputs of one number of rows that the graph ranks pass if they have the same rows in another order.
void match_ranked_rows(const NamedTensors& got, const NamedTensors& reference, const Rule& rule,
                       ValidationCase& result) {
  for (const std::int64_t rows : rule.ranked) {
    std::vector<validate::RankedOutput> outputs;
    bool passed = true;
    for (std::size_t i = 0; i < reference.size(); ++i) {
      const Tensor& tensor = reference[i].second;
      const Tensor* other = find(got, reference[i].first);
      const bool is_ranked = is_float(tensor.dtype) && tensor.shape.size() >= 2 && tensor.shape[1] == rows;
      if (!is_ranked || other == nullptr || other->shape != tensor.shape) continue;
      passed = passed && result.outputs[i].passed;
      outputs.push_back({*other, tensor, result.outputs[i]});
    }
    if (!passed) validate::match_rows(outputs);
  }
}

ValidationCase compare_case(std::string name, const NamedTensors& got, const NamedTensors& reference,
                            const Rule& rule) {
  ValidationCase result{std::move(name), {}};
  for (const auto& [output, tensor] : reference) {
    const Tensor* other = find(got, output);
    if (other == nullptr) {
      result.outputs.push_back({output, {}, tensor.shape, 0, rule.atol});
    } else {
      result.outputs.push_back(
          compare_outputs(output, *other, tensor, rule.atol, non_finite_in(tensor, rule)));
    }
  }
  match_ranked_rows(got, reference, rule, result);
  return result;
}

ValidationCase compare_recorded(const std::filesystem::path& file, const runtime::Session& session,
                                const validate::BatchRunner& run, const Rule& rule) {
  NamedTensors inputs;
  NamedTensors outputs;
  for (const StoredTensor& stored : safetensors::read(File::open(file))) {
    const TensorView& view = stored.view;
    Tensor tensor(view.dtype, view.shape);
    stored.as_weight().read(0, view.numel(), tensor.data.data());
    if (view.key.starts_with("in/")) {
      inputs.emplace_back(view.key.substr(3), std::move(tensor));
    } else if (view.key.starts_with("out/")) {
      outputs.emplace_back(view.key.substr(4), std::move(tensor));
    }
  }
  for (const auto& info : session.inputs()) {
    if (find(inputs, info.name) == nullptr) {
      throw ExportError(
          ErrorCode::invalid_argument,
          fmt::format("{} has no tensor 'in/{}', which the model takes", file.string(), info.name));
    }
  }
  if (outputs.empty()) {
    throw ExportError(ErrorCode::invalid_argument,
                      fmt::format("{} has no tensor 'out/…' to compare with", file.string()));
  }
  const auto [got, how] = run(session, inputs, names_of(session.outputs()), outputs);
  return compare_case("recorded in " + file.filename().string() + how, got, outputs, rule);
}

// Inputs of a file whose bfloat16 was widened.
NamedTensors widened(NamedTensors inputs) {
  for (auto& [name, tensor] : inputs) {
    if (tensor.dtype == DType::bf16)
      tensor = Tensor::from_doubles(DType::f32, tensor.shape, tensor.to_doubles());
  }
  return inputs;
}

// Adds the inputs that a merged decoder takes besides those of one branch: the choice of the branch and, for
// the branch without a past, an unused past with 0 or 1 rows and positions.
void add_merged_inputs(NamedTensors& inputs, const runtime::Session& session, bool with_past,
                       std::int64_t extent) {
  for (const auto& info : session.inputs()) {
    if (find(inputs, info.name) != nullptr) continue;
    if (info.name == "use_cache_branch") {
      const std::int64_t branch = with_past ? 1 : 0;
      inputs.emplace_back(info.name, Tensor::from_ints(DType::boolean, {1}, {&branch, 1}));
      continue;
    }
    std::vector<std::int64_t> shape = info.shape;
    for (std::int64_t& axis : shape) axis = axis < 0 ? extent : axis;
    inputs.emplace_back(info.name, Tensor(info.dtype, std::move(shape)));
  }
}

}  // namespace

namespace validate {

NamedTensors named_outputs(const Graph& graph, std::vector<reference::HostTensor> results) {
  NamedTensors named;
  for (std::size_t i = 0; i < results.size(); ++i) {
    if (results[i].dtype == DType::bf16) results[i].dtype = DType::f32;
    named.emplace_back(graph.outputs()[i].first, reference::to_tensor(results[i]));
  }
  return named;
}

const std::vector<InputCase>& Reference::cases() {
  if (cases_.empty()) cases_ = input_cases(component_.interface, graph_);
  return cases_;
}

const std::vector<NamedTensors>& Reference::outputs() {
  if (!outputs_.empty()) return outputs_;
  std::vector<reference::Case> inputs;
  for (const InputCase& one : cases()) inputs.push_back(one.inputs);
  if (on_detail_)
    on_detail_(fmt::format("interpreting component {} on {} cases", component_.name, inputs.size()));
  for (std::vector<reference::HostTensor>& results : reference::interpret(graph_, inputs))
    outputs_.push_back(named_outputs(graph_, std::move(results)));
  return outputs_;
}

ValidationReport check_file(Reference& reference, const std::filesystem::path& file,
                            const std::vector<std::string>& outputs, const FileOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  const Interface& interface = reference.component().interface;
  ValidationReport report;
  report.file = file;
  report.atol = validation_atol(interface, options.atol);
  const Rule rule{report.atol, options.non_finite, writes_minus_infinity(reference.graph()),
                  ranked_extents(reference.graph())};

  // ONNX Runtime's CPU kernels do not cover bfloat16, so such a file runs with its weights widened to
  // float32.
  std::optional<TempFolder> folder;
  std::filesystem::path runnable = file;
  if (interface.float_dtype == DType::bf16) {
    runnable = folder.emplace().path() / "widened.onnx";
    serialize::widen_bfloat16(file, runnable);
  }
  const runtime::Session session(runnable);
  const BatchRunner run(runnable, session);
  if (!options.branch) report.problems = interface_problems(interface, session, outputs);
  if (report.problems.empty()) {
    const std::vector<InputCase>& cases = reference.cases();
    const std::vector<NamedTensors>& expected = reference.outputs();
    DriftMeter meter(options.smallest_cosine);
    std::optional<Decisions> decisions;
    for (std::size_t i = 0; i < cases.size(); ++i) {
      NamedTensors given = widened(cases[i].inputs);
      if (options.branch)
        add_merged_inputs(given, session, *options.branch, static_cast<std::int64_t>(i % 2));
      const auto [got, how] = run(session, given, outputs, expected[i]);
      report.cases.push_back(compare_case(cases[i].name + how, got, expected[i], rule));
      if (!passed(report.cases.back()) && how.empty() && !options.branch) {
        if (!decisions) decisions.emplace(runnable);
        const auto followed = decisions->outputs(reference.graph(), cases[i].inputs, given, rule.atol);
        if (followed) {
          report.cases.back() = compare_case(
              cases[i].name + ", with the file's decisions between equal values", got, *followed, rule);
        }
      }
      if (options.original != nullptr)
        meter.add(got, options.original->outputs()[i], VisibleTokens(interface, cases[i].inputs));
    }
    report.drift = meter.result();
    if (options.recorded) report.cases.push_back(compare_recorded(*options.recorded, session, run, rule));
  }
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace validate

ValidationReport compare_model_outputs(const OnnxConfig& config, const Model& model,
                                       const std::filesystem::path& onnx_model,
                                       const std::vector<std::string>& onnx_named_outputs,
                                       std::optional<double> atol, const ValidationOptions& options) {
  const Component component = config.component({}, options.shapes, options.dynamic_axes);
  const Graph graph = model.build(component);
  validate::Reference reference(component, graph);
  return validate::check_file(
      reference, onnx_model, onnx_named_outputs,
      {.atol = atol, .recorded = options.reference, .non_finite = options.non_finite});
}

ValidationReport validate_model_outputs(const OnnxConfig& config, const Model& model,
                                        const std::filesystem::path& onnx_model,
                                        const std::vector<std::string>& onnx_named_outputs,
                                        std::optional<double> atol, const ValidationOptions& options) {
  ValidationReport report =
      compare_model_outputs(config, model, onnx_model, onnx_named_outputs, atol, options);
  if (!report.passed()) throw ExportError(ErrorCode::validation_failed, to_string(report));
  return report;
}

}  // namespace onnxport
