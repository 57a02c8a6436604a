#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "exporter/preprocessors.h"
#include "layout/genai_config.h"
#include "layout/genai_processor.h"
#include "layout/genai_steps.h"
#include "layout/genai_vision.h"

namespace onnxport::layout {
namespace {

using nlohmann::ordered_json;

Steps whisper_steps(const PretrainedConfig& given) {
  const std::int64_t window = given.integer("n_fft", 400), step = given.integer("hop_length", 160);
  return {operation("audio_decoder", "AudioDecoder"),
          operation("STFT", "STFTNorm", {{"n_fft", window}, {"frame_length", window}, {"hop_length", step}}),
          operation("log_mel_spectrogram", "LogMelSpectrum",
                    {{"chunk_size", given.integer("chunk_length", 30)},
                     {"hop_length", step},
                     {"n_fft", window},
                     {"n_mel", given.integer("feature_size", 80)}})};
}

Steps gemma4_sound_steps(const PretrainedConfig& given) {
  const std::int64_t rate = given.integer("sampling_rate", 16000);
  // The original's files have lengths in samples, its arguments in milliseconds.
  const auto milliseconds = [&](const std::string& key, double fallback) {
    const auto samples = given.maybe_integer(key);
    return samples ? 1000.0 * static_cast<double>(*samples) / static_cast<double>(rate)
                   : given.real(key + "_ms", fallback);
  };
  ordered_json mel = {{"feature_size", given.integer("feature_size", 128)},
                      {"sampling_rate", rate},
                      {"frame_length_ms", milliseconds("frame_length", 20)},
                      {"hop_length_ms", milliseconds("hop_length", 10)},
                      {"min_frequency", given.real("min_frequency", 0)},
                      {"max_frequency", given.real("max_frequency", 8000)},
                      {"preemphasis", given.real("preemphasis", 0)},
                      {"preemphasis_htk_flavor", given.flag("preemphasis_htk_flavor", true) ? 1 : 0},
                      {"fft_overdrive", given.flag("fft_overdrive", false) ? 1 : 0},
                      {"mel_floor", given.real("mel_floor", 1e-3)}};
  for (const char* key : {"per_bin_mean", "per_bin_stddev"})
    if (given.given(key)) mel[key] = given.reals(key);
  return {operation("audio_decoder", "AudioDecoder"), operation("log_mel", "Gemma4LogMel", mel)};
}

Steps phi4_sound_steps(const PretrainedConfig& given) {
  constexpr std::int64_t kRate = 16000;
  check_known(given, "sampling_rate", kRate);
  check_known(given, "preemphasis", 0.97);
  check_known(given, "audio_downsample_rate", 1);
  const std::int64_t window = given.integer("n_fft", 512);
  // A sound is not cut after the 30 seconds of Whisper.
  return {operation("audio_decoder", "AudioDecoderEx",
                    {{"target_sample_rates", ordered_json::array({kRate})}, {"max_samples", 0}}),
          operation("log_mel", "Phi4AudioEmbed",
                    {{"audio_compression_rate", given.integer("audio_compression_rate", 8)},
                     {"stft_normal/n_fft", window},
                     {"stft_normal/frame_length", given.integer("win_length", 400)},
                     {"stft_normal/hop_length", given.integer("hop_length", 160)},
                     {"stft_normal/win_fn", "hamming"},
                     {"logmel/n_fft", window},
                     {"logmel/n_mel", given.integer("feature_size", 80)}})};
}

std::optional<Steps> sound_steps(const ExportPlan& plan) {
  if (hears(plan) && image_steps(plan) == ImageSteps::phi4)
    return phi4_sound_steps(settings_of(plan, "audio_processor"));
  if (hears(plan)) return gemma4_sound_steps(settings_of(plan, "feature_extractor"));
  if (!has_encoder(plan)) return {};
  const auto found = exporter::read_preprocessor(plan.model.folder());
  if (!found) return {};
  return whisper_steps(
      PretrainedConfig::from_json(found->values.dump(), found->file.string(), "whisper_features"));
}

}  // namespace

std::string sound_processor_config(const ExportPlan& plan) {
  const std::optional<Steps> steps = sound_steps(plan);
  if (!steps) return {};
  ordered_json extraction = {{"sequence", *steps}};
  if (hears(plan) && image_steps(plan) == ImageSteps::phi4)
    extraction["output_aligner"] = "phi4-audio-aligner";
  return ordered_json{{"feature_extraction", extraction}}.dump(4) + "\n";
}

}  // namespace onnxport::layout
