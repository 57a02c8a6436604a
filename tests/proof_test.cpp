// Proof by fixtures: classes of values, and the comparison of a configuration with the exercised values.
#include "onnxport/proof.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "exporter/proof.h"
#include "onnxport/error.h"
#include "onnxport/tasks_manager.h"

namespace onnxport::test {
namespace {

using exporter::Exercised;
using exporter::TypeFixtures;
using Strings = std::vector<std::string>;

// The lookups of a definition.
void read(const PretrainedConfig& c) {
  c.string("hidden_act", "gelu");
  c.string("position_embedding_type", "absolute");
  c.flag("bias", true);
  c.integer("hidden_size", 64);
  c.integer("offset", 0);
  c.real("scale", 1.0);
  c.maybe_integer("window");
  c.maybe_integer("row_token_id");
  c.integer("num_key_value_heads", c.integer("num_attention_heads", 4));
  c.integer("head_dim", 16);
  if (c.has("layer_types")) c.strings("layer_types");
  if (c.has("rope_scaling")) {
    const PretrainedConfig rope = c.sub("rope_scaling");
    if (rope.string("rope_type", "default") == "yarn") rope.real("factor");
  }
  if (c.has("encoder")) c.sub("encoder").string("hidden_act", "gelu");
}

std::vector<Exercised> exercised(const std::string& text, const std::string& type = "made-up") {
  const PretrainedConfig config = PretrainedConfig::from_json(text, "test", type);
  read(config);
  return exporter::exercised("made-up", config.read_keys());
}

// Fixtures with these configurations for the task "own", and with those for "other".
TypeFixtures fixtures(const Strings& own, const Strings& others = {}) {
  TypeFixtures type;
  const auto add = [&](const std::string& task, const std::string& config) {
    ++type[task].count["1.2.3"];
    for (const Exercised& value : exercised(config)) type[task].tokens.insert(value.token);
  };
  for (const std::string& config : own) add("own", config);
  for (const std::string& config : others) add("other", config);
  return type;
}

Strings not_covered(const TypeFixtures& type, const std::string& config) {
  const Proof proof = exporter::compare(type, "own", exercised(config));
  EXPECT_EQ(proof.covered_elsewhere, Strings{});
  return proof.not_covered;
}

TEST(Proof, OfTheSameValuesIsComplete) {
  const std::string config = R"({"hidden_act": "relu", "bias": false, "window": 7, "layer_types": ["a", "b"],
                                 "rope_scaling": {"rope_type": "yarn", "factor": 2.0}})";
  EXPECT_EQ(not_covered(fixtures({config}), config), Strings{});
  const Proof proof = exporter::compare(fixtures({config, "{}"}), "own", exercised(config));
  EXPECT_EQ(proof.fixtures, 2);
  EXPECT_EQ(proof.versions, Strings{"1.2.3"});
}

TEST(Proof, StringsCountAsTheyAre) {
  const TypeFixtures type = fixtures({R"({"hidden_act": "relu"})", R"({"hidden_act": "gelu_10"})"});
  EXPECT_EQ(not_covered(type, R"({"hidden_act": "gelu_10"})"), Strings{});
  EXPECT_EQ(not_covered(type, R"({"hidden_act": "relu2"})"), Strings{"hidden_act=relu2"});
  const std::string odd(80, '"');
  const Strings named = not_covered(type, nlohmann::json({{"hidden_act", odd}}).dump());
  ASSERT_EQ(named.size(), 1U);
  EXPECT_TRUE(named[0].ends_with("…") && named[0].size() < 80) << named[0];
}

TEST(Proof, FlagsCountAsTheyAre) {
  EXPECT_EQ(not_covered(fixtures({"{}"}), R"({"bias": false})"), Strings{"bias=false"});
  EXPECT_EQ(not_covered(fixtures({R"({"bias": false})"}), R"({"bias": true})"), Strings{"bias=true"});
  EXPECT_EQ(not_covered(fixtures({R"({"bias": false})"}), R"({"bias": 0})"), Strings{});
}

TEST(Proof, AbsentKeysHaveTheirDefault) {
  EXPECT_EQ(not_covered(fixtures({"{}"}), R"({"hidden_act": "gelu", "bias": true})"), Strings{});
  EXPECT_EQ(not_covered(fixtures({R"({"hidden_act": "gelu", "bias": true})"}), "{}"), Strings{});
  EXPECT_EQ(not_covered(fixtures({R"({"hidden_act": "relu"})"}), "{}"), Strings{"hidden_act=gelu"});
  // That of the class comes before that of the call.
  const auto of_class = exercised(R"({"model_type": "electra"})");
  const auto is = [](const char* token) { return [=](const Exercised& one) { return one.token == token; }; };
  EXPECT_TRUE(std::any_of(of_class.begin(), of_class.end(), is("(electra).hidden_act=gelu")));
  EXPECT_TRUE(
      std::any_of(of_class.begin(), of_class.end(), is("(electra).position_embedding_type=absolute")));
}

TEST(Proof, SizesAreAlike) {
  const TypeFixtures type = fixtures({R"({"hidden_size": 32, "scale": 0.5})"});
  EXPECT_EQ(not_covered(type, R"({"hidden_size": 4096, "scale": 3})"), Strings{});
  EXPECT_EQ(not_covered(type, R"({"hidden_size": 1, "scale": 1})"), Strings{});
}

TEST(Proof, NeutralNumbersDoNotShowThatANumberIsUsed) {
  const TypeFixtures type = fixtures({R"({"scale": 1, "offset": 0})"});
  EXPECT_EQ(not_covered(type, R"({"scale": 2})"), Strings{"scale=2.0"});
  EXPECT_EQ(not_covered(type, R"({"offset": 2})"), Strings{"offset=2"});
  const TypeFixtures other = fixtures({R"({"offset": 2})"});
  EXPECT_EQ(not_covered(other, "{}"), Strings{"offset=0"});
  EXPECT_EQ(not_covered(other, R"({"offset": -1})"), Strings{"offset=-1"});
}

TEST(Proof, NumbersAreThereOrNot) {
  EXPECT_EQ(not_covered(fixtures({"{}"}), R"({"window": 16})"), Strings{"window=16"});
  EXPECT_EQ(not_covered(fixtures({R"({"window": 16})"}), R"({"window": null})"), Strings{"window=null"});
  const TypeFixtures id = fixtures({R"({"row_token_id": 0})"});
  EXPECT_EQ(not_covered(id, R"({"row_token_id": 50256})"), Strings{});
  EXPECT_EQ(not_covered(id, "{}"), Strings{"row_token_id=null"});
}

TEST(Proof, SomeNumbersAreComparedWithEachOther) {
  const auto heads = [](int keys) { return R"({"num_key_value_heads": )" + std::to_string(keys) + "}"; };
  EXPECT_EQ(not_covered(fixtures({heads(4)}), heads(2)), Strings{"num_key_value_heads=2"});
  EXPECT_EQ(not_covered(fixtures({heads(2)}), heads(4)), Strings{"num_key_value_heads=4"});
  EXPECT_EQ(not_covered(fixtures({heads(2)}), heads(1)), Strings{"num_key_value_heads=1"});
  EXPECT_EQ(not_covered(fixtures({heads(2)}), heads(3)), Strings{});
  EXPECT_EQ(not_covered(fixtures({R"({"head_dim": 16})"}), R"({"head_dim": 32})"), Strings{"head_dim=32"});
  EXPECT_EQ(not_covered(fixtures({R"({"head_dim": 32})"}), R"({"head_dim": 16})"), Strings{});
}

TEST(Proof, NamesInListsCountEachForItself) {
  const TypeFixtures type = fixtures({R"({"layer_types": ["full", "stage4"]})"});
  EXPECT_EQ(not_covered(type, R"({"layer_types": ["stage12", "stage24"]})"), Strings{});
  EXPECT_EQ(not_covered(type, R"({"layer_types": ["full", "sliding"]})"), Strings{"layer_types=sliding"});
}

TEST(Proof, NestedKeys) {
  const std::string linear = R"({"rope_scaling": {"rope_type": "linear"}})";
  const std::string yarn = R"({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}})";
  EXPECT_EQ(not_covered(fixtures({linear}), yarn),
            (Strings{"rope_scaling.factor=4.0", "rope_scaling.rope_type=yarn"}));
  // An object that no fixture has stands for its content.
  EXPECT_EQ(not_covered(fixtures({"{}"}), yarn), Strings{"rope_scaling"});
  EXPECT_EQ(not_covered(fixtures({yarn}), "{}"), Strings{"rope_scaling=null"});
}

TEST(Proof, PartsWithATypeOfTheirOwn) {
  const auto with = [](const char* type, const char* act) {
    return nlohmann::json({{"encoder", {{"model_type", type}, {"hidden_act", act}}}}).dump();
  };
  const TypeFixtures type = fixtures({with("vit", "gelu"), with("swin", "relu")});
  EXPECT_EQ(not_covered(type, with("swin", "relu")), Strings{});
  EXPECT_EQ(not_covered(type, with("vit", "relu")), Strings{"encoder.hidden_act=relu"});
  EXPECT_EQ(not_covered(type, with("beit", "gelu")), Strings{"encoder.model_type=beit"});
  EXPECT_EQ(not_covered(type, R"({"model_type": "bert"})"), Strings{"model_type=bert"});
}

TEST(Proof, FixturesOfOtherTasks) {
  const TypeFixtures type =
      fixtures({"{}"}, {R"({"hidden_act": "relu"})", R"({"rope_scaling": {"rope_type": "linear"}})"});
  const auto compare = [&](const char* config) { return exporter::compare(type, "own", exercised(config)); };
  EXPECT_EQ(compare(R"({"hidden_act": "relu"})").covered_elsewhere, Strings{"hidden_act=relu"});
  const Proof proof = compare(R"({"rope_scaling": {"rope_type": "yarn", "factor": 2}})");
  EXPECT_EQ(proof.covered_elsewhere, Strings{"rope_scaling"});
  EXPECT_EQ(proof.not_covered, (Strings{"rope_scaling.factor=2.0", "rope_scaling.rope_type=yarn"}));
  EXPECT_EQ(exporter::compare(type, "third", exercised("{}")).fixtures, 0);
}

TEST(Proof, LookupsAreKeptWithTheValuesThatTheyGave) {
  const PretrainedConfig config = PretrainedConfig::from_json(
      R"({"model_type": "bert", "a": 0, "b": [1, 2], "c": {"d": "x"}, "unread": 1})", "test");
  config.flag("a");
  config.integers("b");
  config.sub("c").string("d");
  config.maybe_string("e");
  config.integer("e", 3);
  config.string("hidden_act");
  EXPECT_THROW(config.integer("f"), ExportError);
  Strings lines;
  for (const ReadKey& read : config.unaccounted().read_keys()) lines.push_back(read.key);
  EXPECT_EQ(lines, Strings{});
  for (const ReadKey& read : config.read_keys())
    lines.push_back(read.path + "|" + read.model_type + "|" + read.key + "|" + read.value);
  EXPECT_EQ(lines, (Strings{"|bert|a|false", "|bert|b|[1,2]", "|bert|c|true", "|bert|e|null", "|bert|e|3",
                            R"(|bert|hidden_act|"gelu")", R"(c|bert.c|d|"x")"}));
}

TEST(Proof, AnEmptyTypeOfANestedObjectIsNone) {
  const PretrainedConfig config =
      PretrainedConfig::from_json(R"({"model_type": "sam", "vision_config": {"model_type": ""}})", "test");
  EXPECT_EQ(config.sub("vision_config", "sam_vision_model").model_type(), "sam_vision_model");
  EXPECT_EQ(config.sub("vision_config").model_type(), "sam.vision_config");
}

TEST(Proof, HarmlessKeysDoNotCount) {
  const PretrainedConfig config = PretrainedConfig::from_json(R"({"use_cache": false, "knob": 1})", "", "x");
  config.flag("use_cache", true);
  config.integer("knob");
  EXPECT_EQ(config.read_keys().size(), 1U);
  config.harmless({"knob"});
  EXPECT_EQ(config.read_keys().size(), 0U);
}

TEST(Proof, InWords) {
  EXPECT_EQ(to_string(Proof{}), "no fixture proves this definition");
  EXPECT_EQ(to_string(Proof{1, {"4.57.6"}, {}, {}}), "definition proven by 1 fixture (transformers 4.57.6)");
  EXPECT_EQ(to_string(Proof{31, {"4.57.6", "5.0.0"}, {"bias=true"}, {"hidden_act=relu2", "window=null"}}),
            "definition proven by 31 fixtures (transformers 4.57.6, 5.0.0); not covered by any of them: "
            "hidden_act=relu2, window=null; covered only by those of other tasks: bias=true");
}

struct Registry : TasksManager {
  using TasksManager::mark_built_in;
};

TEST(Proof, ReplacedDefinitionsAreNotBuiltIn) {
  Registry registry;
  const auto define = [&] {
    registry.register_model<TextEncoderOnnxConfig>({.model_type = "mine",
                                                    .tasks = {"feature-extraction"},
                                                    .forward = [](auto&&...) { return NamedValues(); }});
  };
  define();
  EXPECT_FALSE(registry.is_built_in("mine"));
  registry.mark_built_in();
  EXPECT_TRUE(registry.is_built_in("mine"));
  EXPECT_FALSE(registry.is_built_in("mine", "sentence_transformers"));
  registry.register_alias("like-mine", "mine");
  EXPECT_FALSE(registry.is_built_in("like-mine"));
  define();
  EXPECT_FALSE(registry.is_built_in("mine"));
  EXPECT_TRUE(TasksManager::instance().is_built_in("bert"));
}

}  // namespace
}  // namespace onnxport::test
