// What the fixtures of models of images do not show: old spellings, broken configurations, variants.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "golden_fixture.h"
#include "onnxport/error.h"
#include "onnxport/export.h"
#include "onnxport/plan.h"
#include "onnxport/tasks_manager.h"
#include "support/json.h"
#include "support/temp_folder.h"

namespace onnxport::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::string read(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// A fixture's checkpoint, whose config.json changes.
class Checkpoint {
 public:
  explicit Checkpoint(const std::string& name) : fixture_(read_fixture(name)) {
    synthesize(fixture_, folder_.path());
    config = parse_json<json>(read(folder_.path() / "config.json"));
  }
  Model open() const {
    std::ofstream(folder_.path() / "config.json") << config;
    return TasksManager::instance().get_model_from_task(fixture_.task, folder_.path());
  }
  static std::shared_ptr<const OnnxConfig> config_of(const Model& model) {
    return TasksManager::instance().get_exporter_config_constructor(model)(model.config(), model.task(), {});
  }
  /// The bytes of the exported file.
  std::string exported() const {
    const Model model = open();
    const fs::path file = folder_.path() / "model.onnx";
    export_onnx(model, *config_of(model), file);
    return read(file);
  }
  /// What building says of the configuration.
  std::string complaint(ErrorCode code = ErrorCode::bad_config) const {
    try {
      const Model model = open();
      for (const Component& component : make_plan(model, {.split = Split::monolith}).components)
        model.build(component);
    } catch (const ExportError& error) {
      EXPECT_EQ(error.code(), code);
      return error.what();
    }
    return {};
  }

  json config;

 private:
  GoldenFixture fixture_;
  TempFolder folder_;
};

TEST(Clip, OldPartsOfTheConfigurationWin) {
  Checkpoint clip("clip/feature-extraction");
  const std::string expected = clip.exported();
  for (const char* part : {"text_config", "vision_config"}) {
    clip.config[std::string(part) + "_dict"] = clip.config[part];
    clip.config[part]["hidden_size"] = 999;
  }
  EXPECT_TRUE(clip.exported() == expected);
}

TEST(Clip, RefusesSizesThatDoNotFit) {
  for (const char* name : {"clip/feature-extraction", "siglip/feature-extraction"}) {
    const auto message = [&](const char* part, const char* key, int value) {
      Checkpoint checkpoint(name);
      checkpoint.config[part][key] = value;
      return checkpoint.complaint();
    };
    EXPECT_NE(message("text_config", "num_attention_heads", 0).find("num_attention_heads' is 0"),
              std::string::npos);
    EXPECT_NE(message("vision_config", "num_attention_heads", 5).find("num_attention_heads 5"),
              std::string::npos);
    EXPECT_NE(message("vision_config", "patch_size", 0).find("patch_size' is 0"), std::string::npos);
    EXPECT_NE(message("vision_config", "image_size", 7).find("image_size is 7"), std::string::npos);
  }
}

TEST(Siglip, WantsTwoVectorsToCompare) {
  Checkpoint siglip("siglip/feature-extraction");
  siglip.config["vision_config"]["vision_use_head"] = false;
  EXPECT_NE(siglip.complaint().find("vision_use_head"), std::string::npos);
}

TEST(Sam, VariantsHaveTheirFiles) {
  const Checkpoint sam("sam/feature-extraction");
  const Model model = sam.open();
  const auto stems = [&](const std::string& variant, bool monolith) {
    std::vector<std::string> names;
    const Split split = monolith ? Split::monolith : Split::merged;
    for (const Component& component : make_plan(model, {.variant = variant, .split = split}).components)
      names.push_back(component.stem);
    return names;
  };
  const std::vector<std::string> split = {"vision_encoder", "prompt_encoder_mask_decoder"};
  EXPECT_EQ(stems("default", false), split);
  EXPECT_EQ(stems("split", false), split);
  EXPECT_EQ(stems("split", true), std::vector<std::string>{"model"});
  EXPECT_EQ(stems("monolith", false), std::vector<std::string>{"model"});
}

TEST(Sam, RefusesSizesThatDoNotFit) {
  const auto message = [](const char* part, const char* key, int value) {
    Checkpoint sam("sam/feature-extraction");
    sam.config[part][key] = value;
    return sam.complaint();
  };
  EXPECT_NE(message("vision_config", "num_attention_heads", 0).find("num_attention_heads' is 0"),
            std::string::npos);
  EXPECT_NE(message("vision_config", "patch_size", 0).find("patch_size' is 0"), std::string::npos);
  EXPECT_NE(message("vision_config", "window_size", -1).find("window_size -1"), std::string::npos);
  EXPECT_NE(message("vision_config", "output_channels", 8).find("output_channels (8)"), std::string::npos);
  EXPECT_NE(message("prompt_encoder_config", "image_size", 128).find("images of 128"), std::string::npos);
  EXPECT_NE(message("mask_decoder_config", "attention_downsample_rate", 0).find("rate 0"), std::string::npos);
  EXPECT_NE(message("mask_decoder_config", "num_multimask_outputs", 0).find("outputs 0"), std::string::npos);
}

TEST(Owl, WantsAsManyTextsForEachImage) {
  const Checkpoint owl("owlvit/zero-shot-object-detection");
  const Model model = owl.open();
  const auto rows = [&](std::int64_t images, std::int64_t texts) {
    const DummyShapes shapes{.batch_size = images, .text_batch_size = texts};
    const NamedTensors inputs = Checkpoint::config_of(model)->generate_dummy_inputs(shapes);
    return std::pair(inputs.at(0).second.shape.at(0), inputs.at(1).second.shape.at(0));
  };
  EXPECT_EQ(rows(3, 0), (std::pair<std::int64_t, std::int64_t>(3, 6)));
  EXPECT_EQ(rows(3, 4), (std::pair<std::int64_t, std::int64_t>(3, 6)));
  EXPECT_EQ(rows(2, 6), (std::pair<std::int64_t, std::int64_t>(2, 6)));
}

TEST(ClipSeg, RefusesLayersThatDoNotExist) {
  Checkpoint seg("clipseg/image-segmentation");
  seg.config["extract_layers"] = {0, 1, 4};
  EXPECT_NE(seg.complaint().find("extract_layers has 4, expected a layer from 0 to 3"), std::string::npos);
  seg.config["extract_layers"] = {0, 1, 2};
  seg.config["conditional_layer"] = 3;
  EXPECT_NE(seg.complaint().find("conditional_layer has 3, expected a layer from 0 to 2"), std::string::npos);
}

TEST(GroupVit, RefusesStagesThatDoNotFit) {
  const auto message = [](const char* key, const json& value) {
    Checkpoint groups("groupvit/feature-extraction");
    groups.config["vision_config"][key] = value;
    return groups.complaint();
  };
  EXPECT_NE(message("num_output_groups", {5, 4, 4}).find("num_output_groups [5, 4, 4]"), std::string::npos);
  EXPECT_NE(message("depths", {2, 1}).find("depths [2, 1]"), std::string::npos);
  EXPECT_NE(message("assign_mlp_ratio", {0, 4}).find("assign_mlp_ratio is [0, 4]"), std::string::npos);
}

TEST(DualEncoder, WantsATowerOfText) {
  Checkpoint both("vision-text-dual-encoder/feature-extraction");
  both.config["text_config"]["model_type"] = "vit";
  EXPECT_NE(both.complaint(ErrorCode::unsupported).find("text_config is of type 'vit'"), std::string::npos);
}

TEST(BridgeTower, RefusesWhatTheOriginalCannotRun) {
  const auto message = [](const char* key, const json& value, ErrorCode code) {
    Checkpoint bridge("bridgetower/feature-extraction");
    bridge.config[key] = value;
    return bridge.complaint(code);
  };
  EXPECT_NE(message("link_tower_type", "multiply", ErrorCode::bad_config).find("'multiply'"),
            std::string::npos);
  EXPECT_NE(message("num_hidden_layers", 4, ErrorCode::bad_config).find("4 layers"), std::string::npos);
  EXPECT_NE(message("share_link_tower_layers", true, ErrorCode::unsupported).find("cannot run"),
            std::string::npos);
}

TEST(Vilt, RefusesToLeaveOutPatchesAtRandom) {
  Checkpoint vilt("vilt/visual-question-answering");
  vilt.config["max_image_length"] = 100;
  EXPECT_NE(vilt.complaint(ErrorCode::unsupported).find("max_image_length is 100"), std::string::npos);
}

}  // namespace
}  // namespace onnxport::test
