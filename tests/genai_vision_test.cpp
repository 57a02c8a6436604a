// Models that see, for onnxruntime-genai: names of inputs, processors, refusals.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "layout/genai_processor.h"
#include "layout_checkpoint.h"
#include "support/json.h"

namespace onnxport::test {
namespace {

using nlohmann::json;
using Checkpoint = LayoutCheckpoint;

constexpr const char* kLfm2 = "lfm2_vl/image-text-to-text-with-past";
constexpr const char* kGemma4 = "gemma4/image-text-to-text-with-past+audio";
constexpr const char* kPhi4 = "phi4_multimodal/image-text-to-text-with-past";

// The numbers that the client assumes.
void edit_for_client(const Checkpoint& phi4) {
  phi4.edit("config.json", [](json& config) {
    json& vision = config["vision_config"];
    vision["crop_size"] = vision["image_size"] = 448;
    vision["patch_size"] = 14;
    vision["image_token_id"] = 200010;
    config["audio_config"]["audio_token_id"] = 200011;
  });
}

// The operation of a type, among those of a processor.
json operation(const std::string& text, const char* sequence, const char* steps, const std::string& type) {
  const json processor = parse_json<json>(text);
  for (const json& step : processor.at(sequence).at(steps))
    if (step.at("operation").at("type") == type) return step.at("operation");
  return {};
}

json image_operation(const Checkpoint& checkpoint, const std::string& type) {
  return operation(layout::vision_processor_config(checkpoint.plan()), "processor", "transforms", type);
}

TEST(GenaiVision, NamesInputsAsTheClientDoes) {
  const json model = Checkpoint(kLfm2).settings()["model"];
  EXPECT_EQ(model["type"], "lfm2_vl");
  EXPECT_EQ(model["image_token_id"], 98);
  EXPECT_EQ(model["vision"]["filename"], "vision.onnx");
  EXPECT_EQ(model["vision"]["spatial_merge_size"], 2);
  EXPECT_EQ(model["vision"]["inputs"], parse_json<json>(R"({"pixel_values": "pixel_values",
    "attention_mask": "pixel_attention_mask", "image_sizes": "spatial_shapes"})"));
  EXPECT_EQ(model["decoder"]["inputs"]["past_conv_names"], "past_conv.%d");
  EXPECT_FALSE(model.contains("speech"));
}

TEST(GenaiVision, GivesAModelThatHearsItsOwnFile) {
  const json model = Checkpoint(kGemma4).settings()["model"];
  EXPECT_EQ(model["speech"]["filename"], "speech.onnx");
  EXPECT_EQ(model["speech"]["inputs"]["audio_embeds"], "input_features");
  EXPECT_EQ(model["audio_token_id"], 96);
  EXPECT_EQ(model["embedding"]["outputs"]["per_layer_inputs"], "per_layer_inputs");
  EXPECT_EQ(model["decoder"]["inputs"]["per_layer_inputs"], "per_layer_inputs");
  const json deaf = Checkpoint("gemma4/image-text-to-text-with-past").settings()["model"];
  EXPECT_EQ(deaf["speech"]["filename"], "") << "the client takes a missing section for its own default";
}

TEST(GenaiVision, FindsTokensAmongTheSettingsOfTheParts) {
  const Checkpoint phi4(kPhi4);
  edit_for_client(phi4);
  const json model = phi4.settings()["model"];
  EXPECT_EQ(model["type"], "phi4mm");
  EXPECT_EQ(model["image_token_id"], 200010);
  EXPECT_EQ(model["audio_token_id"], 200011);
  EXPECT_EQ(model["vision"]["inputs"], parse_json<json>(R"({"pixel_values": "pixel_values",
    "image_sizes": "image_sizes", "attention_mask": "image_attention_mask"})"));
  EXPECT_EQ(model["speech"]["inputs"], parse_json<json>(R"({"audio_embeds": "input_features",
    "audio_sizes": "audio_sizes", "audio_projection_mode": "audio_projection_mode"})"));
}

TEST(GenaiVision, Phi4HasDefaultsForItsProcessor) {
  const Checkpoint phi4(kPhi4);
  edit_for_client(phi4);
  phi4.write("preprocessor_config.json", parse_json<json>(R"({"dynamic_hd": 12})"));
  EXPECT_EQ(image_operation(phi4, "Phi4VisionDynamicPreprocess")["attrs"]["dynamic_hd"], 12);
  EXPECT_EQ(image_operation(phi4, "Normalize")["attrs"]["mean"], parse_json<json>("[0.5, 0.5, 0.5]"));
  EXPECT_EQ(image_operation(phi4, "Rescale")["inputs"], parse_json<json>(R"([":0"])"));
  const auto sound = [&] {
    return operation(layout::sound_processor_config(phi4.plan()), "feature_extraction", "sequence",
                     "Phi4AudioEmbed")["attrs"];
  };
  EXPECT_EQ(sound()["logmel/n_mel"], 80);
  phi4.write("processor_config.json", parse_json<json>(R"({"audio_processor": {"feature_size": 20}})"));
  EXPECT_EQ(sound()["logmel/n_mel"], 20);
}

TEST(GenaiVision, RefusesNumbersThatTheClientCannotHave) {
  const Checkpoint phi4(kPhi4);
  edit_for_client(phi4);
  const auto refusal = [&](const char* settings, const auto& write) {
    phi4.write("preprocessor_config.json", parse_json<json>(settings));
    return complaint(ErrorCode::unsupported, [&] { write(phi4.plan()); });
  };
  const std::string sound = refusal(R"({"sampling_rate": 8000})", layout::sound_processor_config);
  EXPECT_TRUE(contains(sound, "preprocessor_config.json: sampling_rate is 8000, expected 16000")) << sound;
  const std::string image = refusal(R"({"size": {"width": 384}})", layout::vision_processor_config);
  EXPECT_TRUE(contains(image, "width is 384, expected 448, the only one that the client has")) << image;
}

TEST(GenaiVision, TakesNumbersOfTheProcessor) {
  const Checkpoint lfm2(kLfm2);
  lfm2.write("preprocessor_config.json",
             parse_json<json>(R"({"image_mean": [0.5, 0.4, 0.3], "image_std": [1, 1, 1],
    "resample": 3, "min_image_tokens": 2, "max_image_tokens": 9})"));
  const json resize = image_operation(lfm2, "Resize")["attrs"];
  EXPECT_EQ(resize["interpolation"], "CUBIC");
  EXPECT_EQ(resize["min_pixels"], 2 * 64);  // a token has 2 by 2 patches of 4 by 4 pixels
  EXPECT_EQ(resize["max_pixels"], 9 * 64);
  EXPECT_EQ(image_operation(lfm2, "Normalize")["attrs"]["mean"], parse_json<json>("[0.5, 0.4, 0.3]"));
  EXPECT_EQ(parse_json<json>(layout::vision_processor_config(lfm2.plan()))["processor"]["transforms"]
                .back()["operation"]["type"],
            "PixtralImageSizes");
}

TEST(GenaiVision, ReadsTheFileThatAllPartsOfAProcessorShare) {
  const Checkpoint gemma4(kGemma4);
  gemma4.write("preprocessor_config.json", parse_json<json>(R"({"max_soft_tokens": 1})"));
  gemma4.write("processor_config.json", parse_json<json>(R"({"image_processor": {"max_soft_tokens": 70},
    "feature_extractor": {"feature_size": 16, "sampling_rate": 8000, "frame_length": 160}})"));
  EXPECT_EQ(image_operation(gemma4, "Gemma4ImageTransform")["attrs"]["max_soft_tokens"], 70);
  const json mel = operation(layout::sound_processor_config(gemma4.plan()), "feature_extraction", "sequence",
                             "Gemma4LogMel")["attrs"];
  EXPECT_EQ(mel["frame_length_ms"], 20.0);
  EXPECT_EQ(mel["feature_size"], 16);
  gemma4.write("processor_config.json", json::object());
  EXPECT_EQ(image_operation(gemma4, "Gemma4ImageTransform")["attrs"]["max_soft_tokens"], 1);
}

TEST(GenaiVision, NeedsAProcessor) {
  const Checkpoint lfm2(kLfm2);
  const ExportPlan plan = lfm2.plan();
  const std::string missing =
      complaint(ErrorCode::bad_config, [&] { layout::vision_processor_config(plan); });
  EXPECT_TRUE(contains(missing, "preprocessor_config.json' is missing")) << missing;
  EXPECT_TRUE(contains(missing, "has no image_processor")) << missing;
  lfm2.write("preprocessor_config.json",
             parse_json<json>(R"({"image_mean": [0, 0, 0], "image_std": [1, 1, 1], "resample": 5})"));
  const std::string resample =
      complaint(ErrorCode::bad_config, [&] { layout::vision_processor_config(lfm2.plan()); });
  EXPECT_TRUE(contains(resample, "resample is 5, expected 0 (nearest)")) << resample;
}

TEST(GenaiVision, RefusesWhatTheClientDoesNotKnow) {
  const std::string llava = Checkpoint("llava/image-text-to-text-with-past").refusal();
  EXPECT_TRUE(contains(llava, "of models that see, it knows gemma3, gemma4, lfm2-vl, lfm2_vl, mistral3"))
      << llava;
  const std::string gemma3 = Checkpoint("gemma3/image-text-to-text-with-past").refusal();
  EXPECT_TRUE(contains(gemma3,
                       "the client puts 256 tokens in the place of an image, and "
                       "mm_tokens_per_image is 4"))
      << gemma3;
  const Checkpoint phi4(kPhi4);
  EXPECT_TRUE(contains(phi4.refusal(),
                       "the client cuts images into crops with sides of 448 pixels, and crop_size is 16"))
      << phi4.refusal();
  edit_for_client(phi4);
  phi4.edit("config.json", [](json& config) { config["audio_config"]["audio_token_id"] = 97; });
  EXPECT_TRUE(
      contains(phi4.refusal(), "the client writes sounds over the token 200011, and audio_token_id is 97"))
      << phi4.refusal();
}

}  // namespace
}  // namespace onnxport::test
