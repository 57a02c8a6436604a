/// A decoder with and one without past in one file.
#pragma once

#include "onnx/onnx_graph.h"

namespace onnxport {

/// One graph with an If on `use_cache_branch` bool[1]. Its inputs are those of both and its outputs those of
/// `without`; where `with` lacks one (keys and values of the encoder's states, which do not change) that
/// branch gives an empty tensor of batch 0, which clients ignore. Both branches share their initializers.
OnnxGraph merge_decoders(const OnnxGraph& without, const OnnxGraph& with);

}  // namespace onnxport
