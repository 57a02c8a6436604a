#include "layout/layout.h"

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "exporter/preprocessors.h"
#include "layout/genai_config.h"
#include "layout/genai_processor.h"
#include "layout/genai_speech.h"
#include "layout/genai_vision.h"
#include "layout/sentence_transformers.h"
#include "layout/sherpa.h"
#include "layout/transformers_js.h"
#include "onnxport/error.h"
#include "onnxport/tasks_manager.h"
#include "support/file.h"

namespace onnxport::layout {

ExportPlan arrange(ExportPlan plan) {
  if (plan.layout.name == "transformers.js" && plan.model.definition().library == "diffusers") {
    throw ExportError(
        ErrorCode::unsupported,
        "--layout transformers.js: the client has no pipelines of diffusers; use --layout optimum, "
        "whose folders Optimum's ORTDiffusionPipeline and examples/diffusion read");
  }
  if (plan.layout.name == "transformers.js") return arrange_transformers_js(std::move(plan));
  if (plan.layout.name == "sentence-transformers") return arrange_sentence_transformers(std::move(plan));
  if (plan.layout.name == "sherpa") return arrange_sherpa(std::move(plan));
  if (plan.layout.name != "genai") return plan;
  if (has_encoder(plan)) return arrange_speech(std::move(plan));
  if (sees(plan)) plan = arrange_vision(std::move(plan));
  decoder_of(plan);
  return plan;
}

bool may_share_cache(const ExportPlan& plan, const Component& component) {
  // The client counts the positions of each row; the length of a shared buffer says nothing about them.
  return plan.layout.name == "genai" && !has_encoder(plan) &&
         component.interface.find_input("position_ids") != nullptr;
}

std::vector<SideFile> side_files(const ExportPlan& plan, bool shared_cache) {
  if (plan.layout.name == "sherpa") return {{plan.layout.folder / "tokens.txt", sherpa_tokens(plan)}};
  if (plan.layout.name != "genai") return {};
  // The client reads one file of settings, which names one set of models.
  std::vector<SideFile> files = {
      {plan.layout.folder / "genai_config.json", genai_config(plan, shared_cache)}};
  const std::string audio = sound_processor_config(plan);
  if (!audio.empty()) files.push_back({plan.layout.folder / kSoundProcessor, audio});
  const std::string images = vision_processor_config(plan);
  if (!images.empty()) files.push_back({plan.layout.folder / kVisionProcessor, images});
  return files;
}

std::vector<std::pair<std::string, std::string>> metadata(const ExportPlan& plan,
                                                          const Component& component) {
  if (plan.layout.name != "sherpa") return {};
  return sherpa_metadata(plan, component);
}

std::vector<SideFile> settings_of_files(const ExportPlan& plan,
                                        const std::vector<std::filesystem::path>& written) {
  const std::filesystem::path config = plan.layout.folder / "config.json";
  if (plan.layout.name != "transformers.js" || !std::filesystem::exists(config)) return {};
  std::map<std::string, std::int64_t> data_files;  // <model>.onnx_data, <model>.onnx_data_1, …
  for (const std::filesystem::path& path : written) {
    const std::string name = path.filename().string();
    const std::size_t end = name.find(".onnx_data");
    if (end != std::string::npos) ++data_files[name.substr(0, end) + ".onnx"];
  }
  std::vector<SideFile> files = {{config, transformers_js_config(plan, read_text_file(config), data_files)}};
  // The client knows no other file with these settings.
  const std::filesystem::path preprocessor = plan.layout.folder / exporter::kPreprocessorFile;
  const auto settings = exporter::read_preprocessor(plan.model.folder());
  if (settings && !std::filesystem::exists(preprocessor))
    files.push_back({preprocessor, settings->values.dump(2) + "\n"});
  return files;
}

std::uint64_t largest_data_file(const ExportPlan& plan) {
  return plan.layout.name == "transformers.js" ? kLargestDataFile : 0;
}

}  // namespace onnxport::layout
