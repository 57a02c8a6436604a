/// Execution providers of ONNX Runtime.
#pragma once

#include <onnxruntime_c_api.h>

#include <string>

namespace onnxport::runtime {

/// Adds a provider ("cpu", "cuda", "openvino", …; upper and lower case mean the same) to the options of a
/// session. Nodes that it does not take run on the CPU. Throws ExportError(runtime) that lists the providers
/// of the library if it is not one of them.
void add_provider(OrtSessionOptions* options, const std::string& provider);

}  // namespace onnxport::runtime
