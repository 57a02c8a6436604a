/// Speech to text with onnxruntime-genai: its client for whisper.
#pragma once

#include "onnxport/plan.h"

namespace onnxport::layout {

/// The plan with the two components that the client for whisper runs. Its encoder also returns the keys and
/// values of the decoder's attention to it, and one decoder serves the first call and all others: it takes
/// those, and its own cache, which is empty in the first call. It does not take the encoder's states. Throws
/// ExportError(unsupported) for other encoders with a decoder.
ExportPlan arrange_speech(ExportPlan plan);

}  // namespace onnxport::layout
