/// The content of a changed .onnx file, with gaps for its large tensors.
#pragma once

#include "serialize/data_files.h"
#include "serialize/layout.h"
#include "serialize/lazy_model.h"

namespace onnxport::serialize {

/// The whole ModelProto. `data`: takes the large initializers of the main graph; null: all tensors stay
/// inside. Tensors of nodes and of inner graphs always do.
Layout lazy_layout(const LazyModel& model, DataFiles* data);

}  // namespace onnxport::serialize
