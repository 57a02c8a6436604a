/// Types of the values of a changed model.
#pragma once

#include <onnx/onnx_pb.h>

#include "serialize/lazy_model.h"

namespace onnxport::serialize {

/// A copy of the graph without large data, in which shape inference has declared what it could find out
/// (`value_info`). Its nodes are those of the original, in the same order.
onnx::GraphProto inferred_types(const LazyModel& model);

}  // namespace onnxport::serialize
