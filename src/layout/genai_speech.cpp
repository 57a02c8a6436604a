#include "layout/genai_speech.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "exporter/preprocessors.h"
#include "layout/component_inputs.h"
#include "layout/genai_config.h"

namespace onnxport::layout {
namespace {

using nlohmann::ordered_json;

constexpr const char* kFeatures = "input_features";
constexpr std::int64_t kFrames = 3000;  // the client's only length: 30 seconds

bool is_of_encoder(const StateSpec& state) { return state.part.starts_with("encoder."); }

const Component* find(const ExportPlan& plan, const auto& is_wanted) {
  const auto it = std::find_if(plan.components.begin(), plan.components.end(), is_wanted);
  return it == plan.components.end() ? nullptr : &*it;
}

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

// The encoder with the keys and values that the decoder's first call would compute.
Component with_cache(Component encoder, const Component& first) {
  for (const StateSpec& state : first.interface.states) {
    if (!is_of_encoder(state)) continue;
    const auto& outputs = first.interface.outputs;
    const auto output = std::find_if(outputs.begin(), outputs.end(),
                                     [&](const TensorSpec& one) { return one.name == state.output; });
    encoder.interface.outputs.push_back(*output);
    encoder.interface.states.push_back(state);
  }
  return encoder;
}

}  // namespace

ExportPlan arrange_speech(ExportPlan plan) {
  const auto takes_past = [](const Component& one) { return one.interface.takes_past(); };
  const auto returns_past = [](const Component& one) {
    return !one.interface.takes_past() &&
           std::any_of(one.interface.states.begin(), one.interface.states.end(), is_of_encoder);
  };
  const Component* encoder = find(plan, [](const Component& one) { return one.part == "encoder"; });
  const Component* first = find(plan, returns_past);
  const Component* next = find(plan, takes_past);
  check_encoder(plan, encoder->interface);
  if (first == nullptr || next == nullptr)
    refuse_genai(plan, fmt::format("task '{}' has no cache", plan.model.task()));
  plan.components = {with_cache(*encoder, *first), without_input(*next, "encoder_hidden_states")};
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
