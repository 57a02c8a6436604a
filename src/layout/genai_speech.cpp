#include "layout/genai_speech.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "exporter/preprocessors.h"
#include "layout/genai_config.h"
#include "layout/speech.h"

namespace onnxport::layout {
namespace {

using nlohmann::ordered_json;

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
  check_encoder(plan, encoder_of(plan)->interface);
  std::optional<SpeechComponents> parts = speech_components(plan);
  if (!parts) refuse_genai(plan, fmt::format("task '{}' has no cache", plan.model.task()));
  plan.components = {std::move(parts->encoder), std::move(parts->step)};
  plan.merges.clear();
  return plan;
}

std::string audio_processor_config(const ExportPlan& plan) {
  if (!has_encoder(plan)) return {};
  const auto found = exporter::read_preprocessor(plan.model.folder());
  if (!found) return {};
  const auto config =
      PretrainedConfig::from_json(found->values.dump(), found->file.string(), "whisper_features");
  const std::int64_t window = config.integer("n_fft", 400), step = config.integer("hop_length", 160);
  const auto operation = [](const char* name, const char* type) {
    return ordered_json{{"name", name}, {"type", type}};
  };
  ordered_json decode = operation("audio_decoder", "AudioDecoder");
  ordered_json transform = operation("STFT", "STFTNorm");
  transform["attrs"] = {{"n_fft", window}, {"frame_length", window}, {"hop_length", step}};
  ordered_json mel = operation("log_mel_spectrogram", "LogMelSpectrum");
  mel["attrs"] = {{"chunk_size", config.integer("chunk_length", 30)},
                  {"hop_length", step},
                  {"n_fft", window},
                  {"n_mel", config.integer("feature_size", 80)}};
  ordered_json steps = ordered_json::array();
  for (ordered_json* one : {&decode, &transform, &mel}) steps.push_back({{"operation", std::move(*one)}});
  return ordered_json{{"feature_extraction", {{"sequence", std::move(steps)}}}}.dump(4) + "\n";
}

}  // namespace onnxport::layout
