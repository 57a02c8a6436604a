/// Merges the decoders with and without past into one file.
#pragma once

#include "onnx/onnx_graph.h"

namespace onnxport {

/// Returns one graph with an If on `use_cache_branch` bool[1]. It has the inputs of both and the outputs of
/// `without`. If `with` lacks an output (keys and values of the encoder's states, which do not change), its
/// branch returns an empty tensor of batch size 0, which clients ignore. Both branches share their
/// initializers.
OnnxGraph merge_decoders(const OnnxGraph& without, const OnnxGraph& with);

}  // namespace onnxport
