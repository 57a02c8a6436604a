/// Graphs for sherpa-onnx: its tensors around those of a definition.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "onnxport/plan.h"
#include "onnxport/tasks_manager.h"

namespace onnxport::layout {

using Metadata = std::vector<std::pair<std::string, std::string>>;

/// Makes the outputs of a component from the client's inputs. `original` is the definition's function.
using Adapter = std::function<NamedValues(const Inputs& inputs, const Model& model,
                                          const Component& component, const Forward& original)>;
/// The same model, in whose graphs `adapter` stands between the client's tensors and the definition's. The
/// definition's own components, which lack the input `mark`, stay as they are.
Model adapted(const Model& model, const std::string& mark, Adapter adapter);

/// A tensor of the client's. Symbols in the shape are dynamic axes of these names.
TensorSpec tensor(const std::string& name, DType dtype, Shape shape);

/// Limits of the test inputs.
struct ClientSizes {
  std::int64_t vocab_size = 1;
  std::int64_t most_frames = 300;
  std::int64_t most_tokens = 1 << 20;  ///< of a cache and new tokens together
};
/// The component with other inputs and outputs, without states. Test inputs have the extents that the names
/// of axes stand for: batch_size, num_frames, target_length, encoded_frames, cache_length.
Component with_tensors(Component component, std::vector<TensorSpec> inputs, std::vector<TensorSpec> outputs,
                       const ClientSizes& sizes);

// NeMo's interface.
ExportPlan arrange_nemo_ctc(ExportPlan plan);
ExportPlan arrange_nemo_transducer(ExportPlan plan);
Metadata nemo_ctc_metadata(const ExportPlan& plan);
Metadata nemo_transducer_metadata(const ExportPlan& plan);

// Whisper as OpenAI's package computes it: keys and values of all layers in one tensor.
ExportPlan arrange_whisper(ExportPlan plan);
Metadata whisper_metadata(const ExportPlan& plan);

}  // namespace onnxport::layout
