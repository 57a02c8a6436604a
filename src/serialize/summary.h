/// Reads the content of an .onnx file; the interface is public.
#pragma once

#include "onnxport/inspect.h"

namespace onnx {
class ValueInfoProto;
}

namespace onnxport::serialize {

using onnxport::GraphSummary;
using onnxport::InitializerSummary;
using onnxport::ModelSummary;
using onnxport::NodeSummary;
using onnxport::summarize;
using onnxport::summarize_with_types;
using onnxport::ValueSummary;

/// Name, type and shape of a value.
ValueSummary describe_value(const onnx::ValueInfoProto& value);

}  // namespace onnxport::serialize
