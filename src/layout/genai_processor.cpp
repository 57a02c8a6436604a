#include "layout/genai_processor.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "exporter/preprocessors.h"
#include "layout/genai_config.h"
#include "layout/genai_vision.h"
#include "onnxport/error.h"

namespace onnxport::layout {
namespace {

using nlohmann::ordered_json;
using Steps = std::vector<ordered_json>;

// The settings of a part of the processor: in the shared file, which version 5 writes, or in one of its own.
PretrainedConfig settings_of(const ExportPlan& plan, const char* part) {
  const auto read = [&](const char* file) {
    return PretrainedConfig::from_json(plan.model.read_file(file), (plan.model.folder() / file).string(),
                                       part);
  };
  if (plan.model.has_file(exporter::kProcessorFile)) {
    const PretrainedConfig shared = read(exporter::kProcessorFile);
    if (shared.given(part)) return shared.sub(part, part);
  }
  if (plan.model.has_file(exporter::kPreprocessorFile)) return read(exporter::kPreprocessorFile);
  throw ExportError(ErrorCode::bad_config,
                    fmt::format("--layout genai: '{}' is missing, and '{}' in that folder has no {}; they "
                                "describe the inputs of the model",
                                (plan.model.folder() / exporter::kPreprocessorFile).string(),
                                exporter::kProcessorFile, part));
}

ordered_json operation(const char* name, const char* type, ordered_json attributes = {}) {
  ordered_json made = {{"name", name}, {"type", type}};
  if (!attributes.is_null()) made["attrs"] = std::move(attributes);
  return {{"operation", std::move(made)}};
}

// The smallest and largest number of pixels: of old files min_pixels and max_pixels, of new ones `size`.
std::int64_t pixels(const PretrainedConfig& processor, const char* old_key, const char* new_key,
                    std::int64_t fallback) {
  if (const auto given = processor.maybe_integer(old_key)) return *given;
  return processor.given("size") ? processor.sub("size").integer(new_key, fallback) : fallback;
}

// The client's name for a number of PIL.Image.Resampling.
const char* interpolation(const PretrainedConfig& processor, std::int64_t fallback) {
  constexpr const char* kKey = "resample";
  const std::int64_t number = processor.maybe_integer(kKey).value_or(fallback);
  switch (number) {
    case 0:
      return "NEAREST";
    case 1:
      return "LANCZOS";
    case 2:
      return "LINEAR";
    case 3:
      return "CUBIC";
    default:
      throw ExportError(ErrorCode::bad_config,
                        fmt::format("{}: {} is {}, expected 0 (nearest), 1 (Lanczos), 2 (bilinear) or 3 "
                                    "(bicubic)",
                                    processor.origin(), kKey, number));
  }
}

ordered_json decode() { return operation("decode_image", "DecodeImage", {{"color_space", "RGB"}}); }

ordered_json rescale(const PretrainedConfig& processor) {
  return operation("rescale", "Rescale", {{"rescale_factor", processor.real("rescale_factor", 1.0 / 255)}});
}

ordered_json mean_and_deviation(const PretrainedConfig& processor) {
  return {{"mean", processor.reals("image_mean")}, {"std", processor.reals("image_std")}};
}

// An image of sides that are multiples of a square of patches, with a number of pixels between two bounds.
ordered_json resize_to_squares(const ExportPlan& plan, std::int64_t smallest, std::int64_t largest) {
  const PatchSizes patches(plan);
  // With smart_resize, width and height have no effect, but must be there.
  return {{"width", 540},
          {"height", 360},
          {"smart_resize", 1},
          {"min_pixels", smallest},
          {"max_pixels", largest},
          {"patch_size", patches.patch},
          {"merge_size", patches.side}};
}

// `normalized`: the client's flag for pixels in the order of this type.
Steps qwen_steps(const ExportPlan& plan, const PretrainedConfig& processor, const char* normalized) {
  const PatchSizes patches(plan);
  ordered_json normalize = mean_and_deviation(processor);
  normalize[normalized] = 1;
  const std::int64_t smallest = pixels(processor, "min_pixels", "shortest_edge", 3136),
                     largest = pixels(processor, "max_pixels", "longest_edge", 12845056);
  return {decode(),
          operation("convert_to_rgb", "ConvertRGB"),
          operation("resize", "Resize", resize_to_squares(plan, smallest, largest)),
          rescale(processor),
          operation("normalize", "Normalize", normalize),
          operation("patch_image", "PatchImage",
                    {{"patch_size", patches.patch},
                     {"merge_size", patches.side},
                     {"temporal_patch_size", patches.frames}})};
}

// One image [3, height, width] behind `resize`.
Steps whole_image_steps(const PretrainedConfig& processor, ordered_json resize, std::int64_t resample) {
  resize["interpolation"] = interpolation(processor, resample);
  resize["keep_aspect_ratio"] = 0;
  return {decode(), operation("resize", "Resize", resize), rescale(processor),
          operation("normalize", "Normalize", mean_and_deviation(processor)),
          operation("to_channel_first", "Permute3D", {{"dims", {2, 0, 1}}})};
}

Steps one_size_steps(const PretrainedConfig& processor) {
  const PretrainedConfig size = processor.sub("size");
  return whole_image_steps(processor, {{"width", size.integer("width")}, {"height", size.integer("height")}},
                           2);
}

Steps sized(Steps steps) {
  steps.push_back(operation("image_sizes", "PixtralImageSizes"));
  return steps;
}

// The client bounds the number of pixels, the original the longer side.
Steps pixtral_steps(const ExportPlan& plan, const PretrainedConfig& processor) {
  const PatchSizes patches(plan);
  const std::int64_t square = patches.patch * patches.side;
  const std::int64_t longest =
      processor.given("size") ? processor.sub("size").integer("longest_edge", 1540) : 1540;
  return sized(whole_image_steps(processor, resize_to_squares(plan, square * square, longest * longest), 3));
}

// The client cuts no tiles: a large image becomes one of as many tokens as the whole image has beside tiles.
Steps lfm2_steps(const ExportPlan& plan, const PretrainedConfig& processor) {
  const PatchSizes patches(plan);
  const std::int64_t square = patches.patch * patches.side, token = square * square;
  const std::int64_t least = processor.integer("min_image_tokens", 64),
                     most = processor.integer("max_image_tokens", 256);
  return sized(whole_image_steps(processor, resize_to_squares(plan, least * token, most * token), 2));
}

Steps gemma4_steps(const ExportPlan& plan, const PretrainedConfig& processor) {
  const PretrainedConfig vision = plan.model.config().unaccounted().sub("vision_config");
  return {decode(), operation("patches", "Gemma4ImageTransform",
                              {{"patch_size", vision.integer("patch_size", 16)},
                               {"max_soft_tokens", processor.integer("max_soft_tokens", 280)},
                               {"pooling_kernel_size", vision.integer("pooling_kernel_size", 3)}})};
}

Steps steps_of(const ExportPlan& plan, const PretrainedConfig& processor) {
  switch (image_steps(plan)) {
    case ImageSteps::one_size:
      return one_size_steps(processor);
    case ImageSteps::gemma4:
      return gemma4_steps(plan, processor);
    case ImageSteps::lfm2:
      return lfm2_steps(plan, processor);
    case ImageSteps::pixtral:
      return pixtral_steps(plan, processor);
    case ImageSteps::qwen2_5:
      return qwen_steps(plan, processor, "qwen2_5_vl");
    case ImageSteps::qwen3:
      break;
  }
  return qwen_steps(plan, processor, "qwen3_vl");
}

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

std::optional<Steps> sound_steps(const ExportPlan& plan) {
  if (hears(plan)) return gemma4_sound_steps(settings_of(plan, "feature_extractor"));
  if (!has_encoder(plan)) return {};
  const auto found = exporter::read_preprocessor(plan.model.folder());
  if (!found) return {};
  return whisper_steps(
      PretrainedConfig::from_json(found->values.dump(), found->file.string(), "whisper_features"));
}

}  // namespace

std::string vision_processor_config(const ExportPlan& plan) {
  if (!sees(plan)) return {};
  const Steps steps = steps_of(plan, settings_of(plan, "image_processor"));
  return ordered_json{{"processor", {{"name", "image_processor"}, {"transforms", steps}}}}.dump(4) + "\n";
}

std::string sound_processor_config(const ExportPlan& plan) {
  const std::optional<Steps> steps = sound_steps(plan);
  if (!steps) return {};
  return ordered_json{{"feature_extraction", {{"sequence", *steps}}}}.dump(4) + "\n";
}

}  // namespace onnxport::layout
