/// Running padded inputs on files that take padding only behind the tokens of a row.
#pragma once

#include <string>
#include <vector>

#include "onnxport/inspect.h"
#include "onnxport/tensor.h"
#include "runtime/session.h"

namespace onnxport::validate {

/// Whether a node of the graph counts the tokens of each row in attention_mask.
bool counts_tokens(const GraphSummary& graph);

/// Moves the tokens of each row to the front, in the cache and among the new ones, and runs the file. Rows
/// run one by one if several new tokens follow a past, as the CPU kernel demands. Results are moved back. At
/// padded positions they are those of `expected`, because the file's have no meaning there.
///
/// Inputs: attention_mask [B, P + S], input_ids and position_ids [B, S], past [B, H, P, D]. Outputs: [B, S,
/// …] and [B, H, P + S, D]. A result of another shape than expected is returned as it is.
NamedTensors run_compacted(const runtime::Session& session, const NamedTensors& inputs,
                           const std::vector<std::string>& outputs, const NamedTensors& expected);

}  // namespace onnxport::validate
