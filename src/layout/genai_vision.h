/// Models that see, as onnxruntime-genai runs them: a vision model, one that embeds tokens and writes the
/// features over placeholders, and a decoder. Some also hear.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "onnxport/plan.h"

namespace onnxport::layout {

/// Whether the plan has such components, and whether one of them takes sounds.
bool sees(const ExportPlan& plan);
bool hears(const ExportPlan& plan);
/// The client's name for the type of such a plan.
std::string_view vision_client_type(const ExportPlan& plan);
/// The names of its files. Throws ExportError(unsupported) for a type that the client does not know.
ExportPlan arrange_vision(ExportPlan plan);

/// The keys of the vision model and of the embedding in genai_config.json, and the ids of special tokens.
void add_vision(const ExportPlan& plan, nlohmann::ordered_json& model);

/// How a type makes pixel_values of an image.
enum class ImageSteps : std::uint8_t {
  one_size,  ///< every image gets the same size (Gemma 3)
  gemma4,    ///< patches, resized so that their number is bounded
  lfm2,      ///< an image of a size that suits its squares of patches, which the client cuts
  phi4,      ///< crops of one size, and the whole in that size
  pixtral,   ///< the same as lfm2, not cut
  qwen2_5,   ///< the same, cut by an operation
  qwen3,
};
ImageSteps image_steps(const ExportPlan& plan);

/// The sides of Phi-4's crops and of their patches in pixels, which the client knows.
inline constexpr std::int64_t kPhi4Crop = 448, kPhi4Patch = 14;

/// Patches of images, and the squares of them that become one token.
struct PatchSizes {
  std::int64_t patch = 14, frames = 2, side = 2;
  explicit PatchSizes(const ExportPlan& plan);
};

inline constexpr const char* kVisionProcessor = "vision_processor.json";
inline constexpr const char* kSoundProcessor = "audio_processor_config.json";

}  // namespace onnxport::layout
