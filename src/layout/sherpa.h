/// Files for sherpa-onnx 2.0: graphs with the client's tensors, and settings as metadata of the files.
///
/// Source: the client's readers (sherpa-onnx/csrc of its repository).
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "onnxport/plan.h"

namespace onnxport::layout {

/// The plan with components that the client runs. Throws ExportError(unsupported), with the reason, for a
/// model that the client does not know.
ExportPlan arrange_sherpa(ExportPlan plan);

/// The metadata that the client reads from the component's file. Throws ExportError(bad_config) if a token
/// that the client needs is missing.
std::vector<std::pair<std::string, std::string>> sherpa_metadata(const ExportPlan& plan,
                                                                 const Component& component);

/// The text of tokens.txt: a symbol and its id on each line. Throws ExportError(bad_config) if the checkpoint
/// has no tokenizer, or one that the client cannot use.
std::string sherpa_tokens(const ExportPlan& plan);

}  // namespace onnxport::layout
