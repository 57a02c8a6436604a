#include "validate/rows.h"

#include <algorithm>

#include "onnxport/inspect.h"
#include "onnxport/onnx_config.h"
#include "validate/compact.h"

namespace onnxport::validate {
namespace {

bool has_group_query(const GraphSummary& graph) {
  for (const NodeSummary& node : graph.nodes) {
    if (node.op_type == "GroupQueryAttention") return true;
    for (const auto& [name, body] : node.graphs) {
      if (has_group_query(body)) return true;
    }
  }
  return false;
}

Tensor row_of(const Tensor& batch, std::int64_t row) {
  if (batch.shape.empty() || batch.shape[0] <= 1) return batch;
  std::vector<std::int64_t> shape = batch.shape;
  shape[0] = 1;
  Tensor result(batch.dtype, shape);
  const std::size_t bytes = result.data.size();
  std::copy_n(batch.data.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(row) * bytes), bytes,
              result.data.begin());
  return result;
}

void append_row(Tensor& batch, const Tensor& row) {
  batch.shape[0] += row.shape[0];
  batch.data.insert(batch.data.end(), row.data.begin(), row.data.end());
}

// Several new tokens of several rows, after a past.
bool continues_rows(const NamedTensors& inputs) {
  const Tensor* ids = find(inputs, "input_ids");
  const bool has_past = std::any_of(inputs.begin(), inputs.end(), [](const auto& input) {
    return input.first.starts_with("past_key_values.") && input.second.shape.size() == 4 &&
           input.second.shape[2] > 0;
  });
  return has_past && ids != nullptr && ids->shape.size() == 2 && ids->shape[0] > 1 && ids->shape[1] > 1;
}

// Runs each row of a batch separately. The first axis of all inputs and outputs is the batch, unless its
// extent is 1.
NamedTensors run_by_row(const runtime::Session& session, const NamedTensors& inputs,
                        const std::vector<std::string>& outputs) {
  std::int64_t rows = 1;
  for (const auto& [name, tensor] : inputs) {
    if (!tensor.shape.empty()) rows = std::max(rows, tensor.shape[0]);
  }
  NamedTensors whole;
  for (std::int64_t row = 0; row < rows; ++row) {
    NamedTensors one;
    for (const auto& [name, tensor] : inputs) one.emplace_back(name, row_of(tensor, row));
    NamedTensors made = session.run(one, outputs);
    if (row == 0) {
      whole = std::move(made);
      continue;
    }
    for (std::size_t i = 0; i < made.size(); ++i) append_row(whole[i].second, made[i].second);
  }
  return whole;
}

}  // namespace

BatchRunner::BatchRunner(const std::filesystem::path& file, const runtime::Session& session) {
  const std::vector<runtime::Session::Info>& inputs = session.inputs();
  const bool has_past = std::any_of(inputs.begin(), inputs.end(), [](const runtime::Session::Info& input) {
    return input.name.starts_with("past_key_values.");
  });
  if (!has_past) return;  // which the operator needs
  const GraphSummary graph = summarize(file).graph;
  has_group_query_ = has_group_query(graph);
  counts_tokens_ = has_group_query_ && counts_tokens(graph);
}

std::pair<NamedTensors, std::string> BatchRunner::operator()(const runtime::Session& session,
                                                             const NamedTensors& inputs,
                                                             const std::vector<std::string>& outputs,
                                                             const NamedTensors& expected) const {
  if (counts_tokens_) {
    return {run_compacted(session, inputs, outputs, expected), ", the tokens of each row moved to its front"};
  }
  if (has_group_query_ && continues_rows(inputs))
    return {run_by_row(session, inputs, outputs), ", row by row"};
  return {session.run(inputs, outputs), ""};
}

}  // namespace onnxport::validate
