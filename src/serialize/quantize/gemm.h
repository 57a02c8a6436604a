/// Gemm as MatMul and Add, which have quantized forms.
#pragma once

#include "serialize/lazy_model.h"

namespace onnxport::serialize {

/// Replaces each Gemm without factors (`alpha`, `beta`) and without a transposed A by MatMul and, if it has a
/// C, Add, also in inner graphs. A transposed constant B is stored the other way round: under its own name
/// if all that read it want it transposed, else under `<name>_Transposed`. A B that is no constant gets a
/// Transpose. Names are those of quantize_dynamic of the onnxruntime package, which takes a constant for the
/// weight of one Gemm only.
void replace_gemm(LazyModel& model);

}  // namespace onnxport::serialize
