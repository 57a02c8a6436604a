/// Models that see, as onnxruntime-genai runs them: a vision model, one that embeds tokens and writes the
/// features over placeholders, and a decoder.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "onnxport/plan.h"

namespace onnxport::layout {

/// Whether the plan has such components.
bool sees(const ExportPlan& plan);
/// The client's name for the type of such a plan.
std::string_view vision_client_type(const ExportPlan& plan);
/// The names of its files. Throws ExportError(unsupported) for a type that the client does not know.
ExportPlan arrange_vision(ExportPlan plan);

/// The keys of the vision model and of the embedding in genai_config.json, and the ids of special tokens.
void add_vision(const ExportPlan& plan, nlohmann::ordered_json& model);

inline constexpr const char* kVisionProcessor = "vision_processor.json";
/// The text of that file, by which the client prepares images. The numbers are those of
/// preprocessor_config.json. Empty for other plans. Throws ExportError(bad_config) for a missing file and
/// invalid numbers.
std::string vision_processor_config(const ExportPlan& plan);

}  // namespace onnxport::layout
