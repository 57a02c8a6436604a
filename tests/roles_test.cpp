// Models that are made of others find their parts by role.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "errors.h"
#include "golden_fixture.h"
#include "onnxport/op.h"
#include "onnxport/tasks_manager.h"
#include "support/file.h"
#include "support/json.h"
#include "support/temp_folder.h"

namespace onnxport::models {
void register_dpt(TasksManager& tasks);
}

namespace onnxport::test {
namespace {

using nlohmann::json;
using Strings = std::vector<std::string>;

bool offers(Role role, const std::string& type) {
  const Strings types = TasksManager::instance().get_model_types_with_role(role);
  return std::find(types.begin(), types.end(), type) != types.end();
}

TEST(Roles, AreThoseOfTheModalityAndThoseThatADefinitionNames) {
  const TasksManager& tasks = TasksManager::instance();
  for (const char* type : {"beit", "bit", "dinov2", "resnet", "swin", "vitdet"})
    EXPECT_TRUE(offers(Role::backbone, type)) << type;
  for (const char* type : {"bert", "vit", "detr"}) EXPECT_FALSE(offers(Role::backbone, type)) << type;
  EXPECT_EQ(tasks.get_model_types_with_role(Role::cross_decoder),
            (Strings{"bart", "bert", "camembert", "gpt2", "mbart", "roberta", "trocr", "xlm-roberta"}));
  for (const char* type : {"bert", "t5", "bart", "marian", "llama", "clip_text_model", "siglip_text_model"}) {
    EXPECT_TRUE(offers(Role::text_model, type)) << type;
    EXPECT_FALSE(offers(Role::vision_tower, type)) << type;
    EXPECT_FALSE(offers(Role::audio_encoder, type)) << type;
  }
  for (const char* type : {"vit", "swin", "donut-swin", "deit", "clip_vision_model", "siglip_vision_model"}) {
    EXPECT_TRUE(offers(Role::vision_tower, type)) << type;
    EXPECT_FALSE(offers(Role::text_model, type)) << type;
  }
  for (const char* type : {"wav2vec2", "hubert", "whisper"}) {
    EXPECT_TRUE(offers(Role::audio_encoder, type)) << type;
    EXPECT_FALSE(offers(Role::text_model, type)) << type;
  }
  EXPECT_TRUE(tasks.get_definition("clip")->roles.all().empty());  // of both modalities
  EXPECT_EQ(tasks.get_definition("dinov2")->roles.all(), (std::vector{Role::vision_tower, Role::backbone}));
  EXPECT_EQ(to_string(Role::audio_encoder), "audio encoder");
  const Roles none;
  EXPECT_THROW(none.encoder(Role::text_model), ExportError);
  EXPECT_THROW(none.encoder(Role::backbone), ExportError);
}

TEST(Roles, ATypeWithARoleMayHaveNoTasks) {
  TasksManager tasks;
  const auto refuse = [&](ModelDefinition definition) {
    return complaint(ErrorCode::invalid_argument,
                     [&] { tasks.register_model<VisionOnnxConfig>(std::move(definition)); });
  };
  EXPECT_EQ(refuse({.model_type = "none", .tasks = {}, .forward = {}}), "definition of 'none' has no tasks");
  EXPECT_EQ(
      refuse({.model_type = "empty", .tasks = {}, .forward = {}, .roles = {.vision_tower = EncoderRole{}}}),
      "definition of 'empty' has no forward function");

  const TempFolder folder;
  synthesize(read_fixture("dpt/depth-estimation+hybrid"), folder.path());
  std::ofstream(folder.path() / "config.json") << R"({"model_type": "trocr"})";
  EXPECT_NE(complaint(ErrorCode::unsupported,
                      [&] { TasksManager::instance().get_model_from_task("auto", folder.path()); })
                .find("model type 'trocr' is only supported as a part of other models (cross decoder)"),
            std::string::npos);
}

/// A DPT in front of which a backbone of a plugin stands.
class PluginBackbone : public testing::Test {
 protected:
  PluginBackbone() {
    models::register_dpt(tasks);
    synthesize(read_fixture("dpt/depth-estimation+dinov2"), folder.path());
    json config = parse_json<json>(read_text_file(folder.path() / "config.json"));
    config["backbone_config"] = {{"model_type", "stripes"}, {"hidden_size", 32}};
    std::ofstream(folder.path() / "config.json") << config.dump();
  }

  void offer(BackboneRole backbone) {
    tasks.register_model<VisionOnnxConfig>(
        {.model_type = "stripes", .tasks = {}, .forward = {}, .roles = {.backbone = std::move(backbone)}});
  }

  Graph build() {
    const Model model = tasks.get_model_from_task("depth-estimation", folder.path());
    return model.build(*tasks.get_exporter_config_constructor(model)(model.config(), model.task(), {}));
  }

  TempFolder folder;
  TasksManager tasks;
};

TEST_F(PluginBackbone, IsFoundByTheTypeOfItsConfiguration) {
  std::string path;
  offer({[&](const Scope& s, const PretrainedConfig& config, Value pixel_values) -> BackboneFeatures {
    path = s.path();
    const std::int64_t width = config.integer("hidden_size");
    BackboneFeatures features;
    features.rows = pixel_values.dim(2).floor_div(8);
    features.columns = pixel_values.dim(3).floor_div(8);
    const Dim tokens = 1 + features.rows * features.columns;
    const Value one = op::scalar(pixel_values.graph(), 1, pixel_values.dtype());
    const Value states = op::expand(op::reshape(one, {1, 1, 1}), {pixel_values.dim(0), tokens, width});
    features.stages = {states, states, states, states};
    return features;
  }});
  const Graph graph = build();
  EXPECT_EQ(path, "backbone");
  EXPECT_EQ(graph.outputs().front().first, "predicted_depth");
}

TEST_F(PluginBackbone, HasToOfferTheRole) {
  EXPECT_NE(
      complaint(ErrorCode::unsupported, [&] { build(); })
          .find("backbone_config is of type 'stripes', which does not offer the role 'backbone'; 0 types do"),
      std::string::npos);
  offer({[](const Scope&, const PretrainedConfig& config, Value pixel_values) -> BackboneFeatures {
    config.harmless({"hidden_size"});
    return {{pixel_values}};
  }});
  EXPECT_NE(complaint(ErrorCode::unsupported, [&] { build(); })
                .find("a backbone of type 'stripes' returns images, expected tokens"),
            std::string::npos);
}

TEST(Towers, AreOfATypeWithTheirRole) {
  const TempFolder folder;
  synthesize(read_fixture("clip/feature-extraction"), folder.path());
  const TasksManager& tasks = TasksManager::instance();
  const Model opened = tasks.get_model_from_task("feature-extraction", folder.path());
  json text = parse_json<json>(opened.config().text())["text_config"];
  text["model_type"] = "vit";
  const Model model = opened.with_config(opened.config().with("text_config", text.dump()));
  const auto config = tasks.get_exporter_config_constructor(model)(model.config(), model.task(), {});
  const std::string said = complaint(ErrorCode::unsupported, [&] { model.build(*config); });
  EXPECT_NE(said.find("text_config is of type 'vit', which does not offer the role 'text model'"),
            std::string::npos)
      << said;
}

// A network of convolutions is no encoder of hidden states, though it has the task.
TEST(Encoders, GiveHiddenStates) {
  const TempFolder folder;
  synthesize(read_fixture("resnet/feature-extraction"), folder.path());
  const TasksManager& tasks = TasksManager::instance();
  const Model model = tasks.get_model_from_task("feature-extraction", folder.path());
  const auto config = tasks.get_exporter_config_constructor(model)(model.config(), model.task(), {});
  Graph graph;
  const Inputs inputs({{"pixel_values", graph.input("pixel_values", {DType::f32, {2, 3, 32, 32}})}});
  const std::string said = complaint(ErrorCode::unsupported, [&] {
    model.definition().roles.encoder(Role::vision_tower).encode(inputs, model, config->component());
  });
  EXPECT_NE(said.find("an encoder of type 'resnet' returns last_hidden_state of float32[2, "),
            std::string::npos)
      << said;
  EXPECT_NE(said.find("expected hidden states [batch, sequence, width]"), std::string::npos) << said;
}

}  // namespace
}  // namespace onnxport::test
