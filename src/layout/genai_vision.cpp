#include "layout/genai_vision.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <vector>

#include "exporter/preprocessors.h"
#include "layout/genai_config.h"
#include "layout/generation_settings.h"
#include "onnxport/error.h"

namespace onnxport::layout {
namespace {

using nlohmann::ordered_json;

// Types in config.json and those of the client; `normalized`: its flag for their pixels. It knows others,
// too: gemma3 with exactly 256 tokens in an image, mistral3 with images of one size in a call, phi3v.
struct VisionType {
  std::string_view model_type, name, normalized;
};
constexpr auto kTypes = std::to_array<VisionType>({
    {"qwen2_5_vl", "qwen2_5_vl", "qwen2_5_vl"},
    {"qwen3_5", "qwen3_5", "qwen3_vl"},
    {"qwen3_5_moe", "qwen3_5_moe", "qwen3_vl"},
    {"qwen3_vl", "qwen3_vl", "qwen3_vl"},
    {"qwen3_vl_moe", "qwen3_vl", "qwen3_vl"},
});

const VisionType* type_of(const ExportPlan& plan) {
  const std::string type = plan.model.config().model_type();
  const auto found = std::find_if(kTypes.begin(), kTypes.end(),
                                  [&](const VisionType& one) { return one.model_type == type; });
  return found == kTypes.end() ? nullptr : &*found;
}

ordered_json file_of(const ExportPlan& plan, const std::string& component) {
  const Component& one = plan.component(component);
  const auto file = plan.layout.path(one, plan.variant_of(one)).lexically_relative(plan.layout.folder);
  ordered_json names = ordered_json::object();
  for (const TensorSpec& input : one.interface.inputs) names[input.name] = input.name;
  ordered_json outputs = ordered_json::object();
  for (const TensorSpec& output : one.interface.outputs) outputs[output.name] = output.name;
  return {{"filename", file.generic_string()}, {"inputs", names}, {"outputs", outputs}};
}

ordered_json operation(const char* name, const char* type, ordered_json attributes = {}) {
  ordered_json made = {{"name", name}, {"type", type}};
  if (!attributes.is_null()) made["attrs"] = std::move(attributes);
  return {{"operation", std::move(made)}};
}

// The sizes of patches, as vision_config says them.
struct Patches {
  std::int64_t patch, frames, side;
  explicit Patches(const PretrainedConfig& vision)
      : patch(vision.integer("patch_size", 14)),
        frames(vision.integer("temporal_patch_size", 2)),
        side(vision.integer("spatial_merge_size", 2)) {}
};

PretrainedConfig vision_config(const ExportPlan& plan) {
  return plan.model.config().unaccounted().sub("vision_config");
}

// The smallest and largest number of pixels: of old files min_pixels and max_pixels, of new ones `size`.
std::int64_t pixels(const PretrainedConfig& processor, const char* old_key, const char* new_key,
                    std::int64_t fallback) {
  if (const auto given = processor.maybe_integer(old_key)) return *given;
  return processor.given("size") ? processor.sub("size").integer(new_key, fallback) : fallback;
}

}  // namespace

bool sees(const ExportPlan& plan) {
  return std::any_of(plan.components.begin(), plan.components.end(),
                     [](const Component& one) { return one.part == "embedding"; });
}

std::string_view vision_client_type(const ExportPlan& plan) { return type_of(plan)->name; }

ExportPlan arrange_vision(ExportPlan plan) {
  if (type_of(plan) == nullptr) {
    std::vector<std::string_view> known;
    for (const VisionType& one : kTypes) known.push_back(one.model_type);
    refuse_genai(plan, fmt::format("of models that see, it knows {}", fmt::join(known, ", ")));
  }
  for (Component& component : plan.components) {
    if (component.name == "vision_encoder") component.stem = "vision";
    if (component.name == "decoder_model_merged") component.stem = "model";
  }
  return plan;
}

void add_vision(const ExportPlan& plan, ordered_json& model) {
  const PretrainedConfig config = plan.model.config().unaccounted();
  for (const char* key : {"image_token_id", "video_token_id", "vision_start_token_id"}) {
    if (const auto id = config.maybe_integer(key)) model[key] = *id;
  }
  const PretrainedConfig vision = vision_config(plan);
  const Patches patches(vision);
  ordered_json section = file_of(plan, "vision_encoder");
  section["config_filename"] = kVisionProcessor;
  section["spatial_merge_size"] = patches.side;
  section["patch_size"] = patches.patch;
  if (const auto window = vision.maybe_integer("window_size")) section["window_size"] = *window;
  section["tokens_per_second"] = vision.real("tokens_per_second", 2);
  model["vision"] = std::move(section);
  model["embedding"] = file_of(plan, "embedding");
}

std::string vision_processor_config(const ExportPlan& plan) {
  if (!sees(plan)) return {};
  const auto found = exporter::read_preprocessor(plan.model.folder());
  if (!found) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("--layout genai: '{}' is missing; it says how images become pixel_values",
                                  (plan.model.folder() / exporter::kPreprocessorFile).string()));
  }
  const auto given =
      PretrainedConfig::from_json(found->values.dump(), found->file.string(), "image_processor");
  const Patches patches(vision_config(plan));
  const std::int64_t smallest = pixels(given, "min_pixels", "shortest_edge", 3136),
                     largest = pixels(given, "max_pixels", "longest_edge", 12845056);
  ordered_json normalize = {{"mean", given.reals("image_mean")}, {"std", given.reals("image_std")}};
  normalize[std::string(type_of(plan)->normalized)] = 1;
  const ordered_json sizes = {{"patch_size", patches.patch}, {"merge_size", patches.side}};
  // With smart_resize, width and height have no effect, but must be there.
  ordered_json resize = {{"width", 540},
                         {"height", 360},
                         {"smart_resize", 1},
                         {"min_pixels", smallest},
                         {"max_pixels", largest}};
  resize.update(sizes);
  ordered_json patch = sizes;
  patch["temporal_patch_size"] = patches.frames;
  const ordered_json steps = {
      operation("decode_image", "DecodeImage", {{"color_space", "RGB"}}),
      operation("convert_to_rgb", "ConvertRGB"),
      operation("resize", "Resize", resize),
      operation("rescale", "Rescale", {{"rescale_factor", given.real("rescale_factor", 1.0 / 255)}}),
      operation("normalize", "Normalize", normalize),
      operation("patch_image", "PatchImage", patch)};
  return ordered_json{{"processor", {{"name", "image_processor"}, {"transforms", steps}}}}.dump(4) + "\n";
}

}  // namespace onnxport::layout
