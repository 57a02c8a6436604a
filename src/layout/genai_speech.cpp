#include "layout/genai_speech.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "layout/component_inputs.h"
#include "layout/genai_config.h"
#include "layout/speech.h"

namespace onnxport::layout {
namespace {

constexpr const char* kFeatures = "input_features";
constexpr std::int64_t kFrames = 3000;  // the client's only length: 30 seconds

void check_encoder(const ExportPlan& plan, const Interface& encoder) {
  const std::vector<std::string> names = encoder.input_names();
  if (names != std::vector<std::string>{kFeatures}) {
    refuse_genai(plan, fmt::format("its encoder takes {}; the client has encoders of {} only",
                                   fmt::join(names, ", "), kFeatures));
  }
  const Shape& shape = encoder.inputs.front().shape;
  if (shape.size() != 3 || shape[2] != Dim(kFrames)) {
    refuse_genai(plan, fmt::format("its encoder takes {} of shape {}; the client gives {} frames", kFeatures,
                                   to_string(shape), kFrames));
  }
}

}  // namespace

ExportPlan arrange_speech(ExportPlan plan) {
  check_encoder(plan, find_part(plan, "encoder")->interface);
  std::optional<SpeechComponents> parts = speech_components(plan);
  if (!parts) refuse_genai(plan, fmt::format("task '{}' has no cache", plan.model.task()));
  plan.components = {std::move(parts->encoder), std::move(parts->step)};
  plan.merges.clear();
  return plan;
}

}  // namespace onnxport::layout
