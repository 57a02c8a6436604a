#include "layout/layout.h"

#include <utility>

#include "layout/genai_config.h"
#include "layout/genai_speech.h"

namespace onnxport::layout {

ExportPlan arrange(ExportPlan plan) {
  if (plan.layout.name != "genai") return plan;
  if (has_encoder(plan)) return arrange_speech(std::move(plan));
  decoder_of(plan);
  return plan;
}

std::vector<SideFile> side_files(const ExportPlan& plan) {
  if (plan.layout.name != "genai") return {};
  // The client reads one file of settings, which names one set of models.
  std::vector<SideFile> files = {
      {plan.layout.folder / "genai_config.json", genai_config(plan, plan.variants.front())}};
  const std::string audio = audio_processor_config(plan);
  if (!audio.empty()) files.push_back({plan.layout.folder / "audio_processor_config.json", audio});
  return files;
}

}  // namespace onnxport::layout
