/// How onnxruntime-genai prepares images and sounds, from the numbers of the processor's own files.
#pragma once

#include <string>

#include "onnxport/plan.h"

namespace onnxport::layout {

/// The text of kVisionProcessor, from preprocessor_config.json, or from image_processor of
/// processor_config.json. Empty for plans of other models. Throws ExportError(bad_config) for a missing file
/// and invalid numbers.
std::string vision_processor_config(const ExportPlan& plan);

/// The text of kSoundProcessor, from feature_extractor of processor_config.json, or from
/// preprocessor_config.json. Empty for models that do not hear, and for whisper without such a file. Throws
/// ExportError(bad_config) if another model has no such file, and for invalid numbers.
std::string sound_processor_config(const ExportPlan& plan);

}  // namespace onnxport::layout
