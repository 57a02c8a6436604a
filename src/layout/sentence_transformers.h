/// The files that sentence-transformers loads with backend="onnx".
///
/// Source: backend/load.py, backend/utils.py and backend/quantize.py of version 5.1.2, and
/// onnxruntime/modeling.py of optimum-onnx 0.1.0.
#pragma once

#include "onnxport/plan.h"

namespace onnxport::layout {

/// The model goes to the folder `onnx` beside config.json and the tokenizer. It returns only what the first
/// module of the client takes from it, because the client computes all other modules itself. Throws
/// ExportError(unsupported) for a model without modules or with a first module that the client does not run
/// with ONNX Runtime, and ExportError(invalid_argument) for two variants with the same name.
ExportPlan arrange_sentence_transformers(ExportPlan plan);

}  // namespace onnxport::layout
