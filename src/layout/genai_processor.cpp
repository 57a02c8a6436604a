#include "layout/genai_processor.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "layout/genai_steps.h"
#include "layout/genai_vision.h"
#include "onnxport/error.h"

namespace onnxport::layout {
namespace {

using nlohmann::ordered_json;

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

// Crops of one size that make up the image, and the image as a whole in that size.
Steps phi4_steps(const PretrainedConfig& processor) {
  check_known(processor, "patch_size", kPhi4Patch);
  for (const char* side : {"height", "width"})
    if (processor.given("size")) check_known(processor.sub("size"), side, kPhi4Crop);
  const std::vector<double> half(3, 0.5);
  const auto given = [&](const char* key) { return processor.given(key) ? processor.reals(key) : half; };
  const ordered_json normal = {{"mean", given("image_mean")}, {"std", given("image_std")}};
  ordered_json scaled = rescale(processor);
  scaled["operation"]["inputs"] = ordered_json::array({":0"});  // without the mask
  ordered_json crops = operation("crops", "Phi4VisionProcessor", {{"dyhd_base_resolution", kPhi4Crop}});
  crops["operation"]["inputs"] = ordered_json::array({":0", "cropped_size:1"});
  return {
      decode(),
      operation("cropped_size", "Phi4VisionDynamicPreprocess",
                {{"dynamic_hd", processor.integer("dynamic_hd", 36)}, {"dyhd_base_resolution", kPhi4Crop}}),
      scaled, operation("normalize", "Normalize", normal), crops};
}

Steps steps_of(const ExportPlan& plan, const PretrainedConfig& processor) {
  switch (image_steps(plan)) {
    case ImageSteps::one_size:
      return one_size_steps(processor);
    case ImageSteps::gemma4:
      return gemma4_steps(plan, processor);
    case ImageSteps::lfm2:
      return lfm2_steps(plan, processor);
    case ImageSteps::phi4:
      return phi4_steps(processor);
    case ImageSteps::pixtral:
      return pixtral_steps(plan, processor);
    case ImageSteps::qwen2_5:
      return qwen_steps(plan, processor, "qwen2_5_vl");
    case ImageSteps::qwen3:
      break;
  }
  return qwen_steps(plan, processor, "qwen3_vl");
}

}  // namespace

std::string vision_processor_config(const ExportPlan& plan) {
  if (!sees(plan)) return {};
  const Steps steps = steps_of(plan, settings_of(plan, "image_processor"));
  ordered_json processor = {{"name", "image_processor"}, {"transforms", steps}};
  if (image_steps(plan) == ImageSteps::phi4) processor["output_aligner"] = "phi4-vision-aligner";
  return ordered_json{{"processor", processor}}.dump(4) + "\n";
}

}  // namespace onnxport::layout
