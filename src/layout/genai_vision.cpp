#include "layout/genai_vision.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <vector>

#include "layout/component_inputs.h"
#include "layout/genai_config.h"
#include "layout/generation_settings.h"
#include "onnxport/error.h"
#include "onnxport/placeholders.h"

namespace onnxport::layout {
namespace {

using nlohmann::ordered_json;

// Types in config.json and those of the client. It knows others, too: phi3v; models made for one kind of
// processor.
struct VisionType {
  std::string_view model_type, name;
  ImageSteps steps;
};
constexpr auto kTypes = std::to_array<VisionType>({
    {"gemma3", "gemma3", ImageSteps::one_size},
    {"gemma4", "gemma4", ImageSteps::gemma4},
    {"lfm2-vl", "lfm2_vl", ImageSteps::lfm2},
    {"lfm2_vl", "lfm2_vl", ImageSteps::lfm2},
    {"mistral3", "mistral3", ImageSteps::pixtral},
    {"phi4_multimodal", "phi4mm", ImageSteps::phi4},
    {"qwen2_5_vl", "qwen2_5_vl", ImageSteps::qwen2_5},
    {"qwen3_5", "qwen3_5", ImageSteps::qwen3},
    {"qwen3_5_moe", "qwen3_5_moe", ImageSteps::qwen3},
    {"qwen3_vl", "qwen3_vl", ImageSteps::qwen3},
    {"qwen3_vl_moe", "qwen3_vl", ImageSteps::qwen3},
});

const VisionType* type_of(const ExportPlan& plan) {
  const std::string type = plan.model.config().model_type();
  const auto found = std::find_if(kTypes.begin(), kTypes.end(),
                                  [&](const VisionType& one) { return one.model_type == type; });
  return found == kTypes.end() ? nullptr : &*found;
}

// The client's names for inputs that it calls by other names than the file does.
const std::map<std::string, std::string, std::less<>> kInputs = {
    {"image_attention_mask", "attention_mask"}, {"input_features", "audio_embeds"},
    {"input_features_mask", "attention_mask"},  {"pixel_attention_mask", "attention_mask"},
    {"spatial_shapes", "image_sizes"},
};

ordered_json file_of(const ExportPlan& plan, const std::string& component) {
  const Component& one = plan.component(component);
  const auto file = plan.layout.path(one, plan.variant_of(one)).lexically_relative(plan.layout.folder);
  ordered_json names = ordered_json::object();
  for (const TensorSpec& input : one.interface.inputs) {
    const auto own = kInputs.find(input.name);
    names[own == kInputs.end() ? input.name : own->second] = input.name;
  }
  ordered_json outputs = ordered_json::object();
  for (const TensorSpec& output : one.interface.outputs) outputs[output.name] = output.name;
  return {{"filename", file.generic_string()}, {"inputs", names}, {"outputs", outputs}};
}

// Refuses models for which an assumption of the client about images or sounds is wrong.
void check_assumptions(const ExportPlan& plan) {
  const PretrainedConfig config = plan.model.config().unaccounted();
  const auto check = [&](const char* what, const char* key, std::int64_t found, std::int64_t assumed) {
    if (found != assumed)
      refuse_genai(plan, fmt::format("the client {}, and {} is {}", fmt::format(fmt::runtime(what), assumed),
                                     key, found));
  };
  constexpr std::int64_t kTokens = 256;
  const ImageSteps steps = image_steps(plan);
  if (steps == ImageSteps::one_size)
    check("puts {} tokens in the place of an image", "mm_tokens_per_image",
          config.integer("mm_tokens_per_image", kTokens), kTokens);
  if (steps != ImageSteps::phi4) return;
  const PretrainedConfig vision = config.sub("vision_config", "phi4_multimodal_vision");
  const PretrainedConfig audio = config.sub("audio_config", "phi4_multimodal_audio");
  for (const char* key : {"crop_size", "image_size"})
    check("cuts images into crops with sides of {} pixels", key, vision.integer(key), kPhi4Crop);
  check("cuts crops into patches with sides of {} pixels", "patch_size", vision.integer("patch_size"),
        kPhi4Patch);
  check("writes images over the token {}", "image_token_id", vision.integer("image_token_id"), 200010);
  check("writes sounds over the token {}", "audio_token_id", audio.integer("audio_token_id"), 200011);
}

}  // namespace

bool sees(const ExportPlan& plan) { return find_part(plan, "embedding") != nullptr; }

bool hears(const ExportPlan& plan) { return sees(plan) && find_part(plan, "audio_encoder") != nullptr; }

std::string_view vision_client_type(const ExportPlan& plan) { return type_of(plan)->name; }

ImageSteps image_steps(const ExportPlan& plan) { return type_of(plan)->steps; }

ExportPlan arrange_vision(ExportPlan plan) {
  if (type_of(plan) == nullptr) {
    std::vector<std::string_view> known;
    for (const VisionType& one : kTypes) known.push_back(one.model_type);
    refuse_genai(plan, fmt::format("of models that see, it knows {}", fmt::join(known, ", ")));
  }
  check_assumptions(plan);
  for (Component& component : plan.components) {
    if (component.name == "vision_encoder") component.stem = "vision";
    if (component.name == "audio_encoder") component.stem = "speech";
    if (component.name == "decoder_model_merged") component.stem = "model";
  }
  return plan;
}

PatchSizes::PatchSizes(const ExportPlan& plan) {
  const PretrainedConfig config = plan.model.config().unaccounted(), vision = config.sub("vision_config");
  patch = vision.integer("patch_size", 14);
  frames = vision.integer("temporal_patch_size", 2);
  for (const char* key : {"spatial_merge_size", "downsample_factor"})
    side = config.maybe_integer(key).value_or(vision.maybe_integer(key).value_or(side));
}

void add_vision(const ExportPlan& plan, ordered_json& model) {
  const PretrainedConfig config = plan.model.config().unaccounted(), vision = config.sub("vision_config");
  for (const char* key : {"image_token_id", "video_token_id", "vision_start_token_id"}) {
    if (const auto id = config.maybe_integer(key)) model[key] = *id;
  }
  if (const auto id = placeholder_id(config, "image_features")) model["image_token_id"] = *id;
  const PatchSizes patches(plan);
  ordered_json section = file_of(plan, "vision_encoder");
  section["config_filename"] = kVisionProcessor;
  section["spatial_merge_size"] = patches.side;
  section["patch_size"] = patches.patch;
  if (const auto window = vision.maybe_integer("window_size")) section["window_size"] = *window;
  section["tokens_per_second"] = vision.real("tokens_per_second", 2);
  model["vision"] = std::move(section);
  if (image_steps(plan) == ImageSteps::gemma4)  // without names, the client takes it for a model that hears
    model["speech"] = {{"filename", ""}, {"config_filename", ""}};
  if (hears(plan)) {
    if (const auto id = placeholder_id(config, "audio_features")) model["audio_token_id"] = *id;
    if (const auto id = config.maybe_integer("boa_token_id")) model["boa_token_id"] = *id;
    ordered_json sounds = file_of(plan, "audio_encoder");
    sounds["config_filename"] = kSoundProcessor;
    model["speech"] = std::move(sounds);
  }
  model["embedding"] = file_of(plan, "embedding");
}

}  // namespace onnxport::layout
