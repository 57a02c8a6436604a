#include "onnxport/config.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "errors.h"
#include "onnxport/error.h"
#include "support/temp_folder.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;
using Strings = std::vector<std::string>;
using Integers = std::vector<std::int64_t>;

testing::AssertionResult contains(const std::string& text, const std::string& part) {
  if (text.find(part) != text.npos) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "\"" << text << "\" has no \"" << part << '"';
}

PretrainedConfig parse(std::string_view text, std::string model_type = "bert") {
  return PretrainedConfig::from_json(text, "config.json", std::move(model_type));
}

/// The message of the ExportError(bad_config) that `action` throws.
std::string complaint(const std::function<void()>& action) {
  return test::complaint(ErrorCode::bad_config, action);
}

void write(const fs::path& file, std::string_view text) { std::ofstream(file) << text; }

// ---- reading ----

TEST(ConfigReading, ReadsAFolder) {
  const TempFolder folder;
  write(folder.path() / "config.json",
        R"({"model_type": "bert", "hidden_size": 32, "architectures": ["BertModel"]})");
  const auto config = PretrainedConfig::from_pretrained(folder.path());
  EXPECT_EQ(config.model_type(), "bert");
  EXPECT_EQ(config.origin(), (folder.path() / "config.json").string());
  EXPECT_EQ(config.integer("hidden_size"), 32);
  EXPECT_EQ(config.architectures(), (Strings{"BertModel"}));
  EXPECT_TRUE(contains(config.text(), "\"hidden_size\": 32"));
}

TEST(ConfigReading, NamesWhatIsMissing) {
  const TempFolder folder;
  const auto open = [](const fs::path& path) { return [path] { PretrainedConfig::from_pretrained(path); }; };
  EXPECT_TRUE(
      contains(complaint(open(folder.path())), folder.path().string() + ": no config.json in this folder"));
  EXPECT_TRUE(contains(complaint(open(folder.path() / "none")), "none: no such folder"));
  write(folder.path() / "file", "{}");
  EXPECT_TRUE(contains(complaint(open(folder.path() / "file")), "file: not a folder"));
  fs::create_directory(folder.path() / "config.json");
  EXPECT_TRUE(contains(complaint(open(folder.path())), "config.json: not a regular file"));
}

TEST(ConfigReading, NamesLineAndColumnOfBrokenJson) {
  EXPECT_TRUE(contains(complaint([] { parse("{\n  \"a\": 1,\n  \"b\" 2\n}"); }),
                       "config.json: line 3, column 7: broken json: syntax error"));
  EXPECT_TRUE(contains(complaint([] { parse(""); }), "line 1, column 1: broken json"));
  EXPECT_TRUE(contains(complaint([] { parse("{\"a\": 1e999}"); }), "broken json: number overflow"));
  EXPECT_TRUE(contains(complaint([] { parse("{\"a\": \"\xff\"}"); }), "line 1, column 8"));
  EXPECT_LT(complaint([] { parse("{\"a\": \"" + std::string(100'000, 'x')); }).size(), 400U);
}

TEST(ConfigReading, RefusesWhatIsTooLargeOrTooDeep) {
  std::string spaces;
  spaces.resize(10'000'001, ' ');
  EXPECT_TRUE(contains(complaint([&] { parse(spaces); }), "10000001 bytes of json, expected at most"));
  const std::string deep = "{\"a\": " + std::string(1'000'000, '[');
  EXPECT_TRUE(contains(complaint([&] { parse(deep); }), "line 1, column 70: nested deeper than 64 levels"));
  EXPECT_NO_THROW(parse("{\"a\": \"" + std::string(100, '[') + "\\\"[\"}"));
}

TEST(ConfigReading, WantsAnObjectWithAModelType) {
  EXPECT_TRUE(contains(complaint([] { parse("[1, 2]"); }), "expected a json object, got [1,2]"));
  EXPECT_TRUE(contains(complaint([] { parse("{}", ""); }), "key 'model_type' is missing"));
  EXPECT_TRUE(
      contains(complaint([] { parse("{\"model_type\": 7}"); }), "key 'model_type' is 7, expected a string"));
  EXPECT_TRUE(contains(complaint([] { parse("{\"model_type\": \"\"}"); }), "key 'model_type' is \"\""));
  EXPECT_EQ(parse("{\"model_type\": null}").model_type(), "bert");
  EXPECT_EQ(parse("{\"model_type\": \"albert\"}").model_type(), "albert");
}

TEST(ConfigReading, TakesWhatPythonWrites) {
  const auto config =
      parse(R"({"limits": [0.0, Infinity], "low": -Infinity, "nan": NaN, "text": "NaN -Infinity"})");
  EXPECT_EQ(config.reals("limits")[1], INFINITY);
  EXPECT_EQ(config.real("low"), -INFINITY);
  EXPECT_TRUE(std::isnan(config.real("nan")));
  EXPECT_EQ(config.string("text"), "NaN -Infinity");
}

// ---- lookups ----

TEST(ConfigLookup, FileThenClassThenBaseThenFallback) {
  const auto config = parse(R"({"hidden_size": 32})");
  EXPECT_EQ(config.integer("hidden_size", 5), 32);
  EXPECT_EQ(config.integer("num_hidden_layers", 5), 12);
  EXPECT_EQ(config.integer("max_length", 5), 20);
  EXPECT_EQ(config.integer("nothing", 5), 5);
  EXPECT_EQ(config.string("hidden_act"), "gelu");
  EXPECT_TRUE(config.flag("tie_word_embeddings"));
  EXPECT_DOUBLE_EQ(config.real("layer_norm_eps"), 1e-12);
  EXPECT_EQ(complaint([&] { config.integer("nothing"); }),
            "config.json: key 'nothing' is missing, expected an integer; the class of 'bert' has no default "
            "for it");
}

TEST(ConfigLookup, ConvertsOnlyWhatIsExact) {
  const auto config = parse(R"({"whole": 768.0, "half": 0.5, "large": 1e30, "unsigned": 18446744073709551615,
                               "one": 1, "zero": 0, "two": 2, "yes": true, "text": "abc"})");
  EXPECT_EQ(config.integer("whole"), 768);
  EXPECT_EQ(config.real("two"), 2.0);
  EXPECT_TRUE(config.flag("one"));
  EXPECT_FALSE(config.flag("zero"));
  EXPECT_EQ(complaint([&] { config.integer("text"); }),
            "config.json: key 'text' is \"abc\", expected an integer");
  EXPECT_TRUE(contains(complaint([&] { config.integer("half"); }), "'half' is 0.5, expected an integer"));
  EXPECT_TRUE(contains(complaint([&] { config.integer("yes"); }), "'yes' is true, expected an integer"));
  EXPECT_TRUE(contains(complaint([&] { config.integer("large"); }), "expected an integer of 64 bits"));
  EXPECT_TRUE(contains(complaint([&] { config.integer("unsigned"); }),
                       "is 18446744073709551615, expected an integer of 64"));
  EXPECT_TRUE(contains(complaint([&] { config.flag("two"); }), "expected true or false"));
  EXPECT_TRUE(contains(complaint([&] { config.real("text"); }), "expected a number"));
  EXPECT_TRUE(contains(complaint([&] { config.string("one"); }), "expected a string"));
}

TEST(ConfigLookup, Lists) {
  const auto config =
      parse(R"({"integers": [1, 2.0], "one": 3, "reals": [1, 2.5], "texts": ["a", "b"], "none": null})");
  EXPECT_EQ(config.integers("integers"), (Integers{1, 2}));
  EXPECT_EQ(config.integers("one"), (Integers{3}));
  EXPECT_EQ(config.reals("reals"), (std::vector<double>{1.0, 2.5}));
  EXPECT_EQ(config.strings("texts"), (Strings{"a", "b"}));
  EXPECT_TRUE(contains(complaint([&] { config.integers("reals"); }),
                       "'reals' is [1,2.5], expected a list of integers"));
  EXPECT_TRUE(
      contains(complaint([&] { config.strings("none"); }), "'none' is null, expected a list of strings"));
  EXPECT_TRUE(contains(complaint([&] { config.strings("absent"); }), "'absent' is missing"));
}

TEST(ConfigLookup, NullIsTheNoneOfTheOriginal) {
  const auto config = parse(R"({"pad_token_id": null, "is_decoder": null, "architectures": null})");
  EXPECT_FALSE(config.has("pad_token_id"));
  EXPECT_EQ(config.maybe_integer("pad_token_id"), std::nullopt);
  EXPECT_EQ(config.integer("pad_token_id", 7), 7);  // and not 0, the default of the class
  EXPECT_TRUE(contains(complaint([&] { config.integer("pad_token_id"); }),
                       "'pad_token_id' is null, expected an integer"));
  EXPECT_FALSE(config.flag("is_decoder"));
  EXPECT_EQ(config.architectures(), Strings{});

  const auto absent = parse("{}");
  EXPECT_TRUE(absent.has("pad_token_id"));
  EXPECT_EQ(absent.maybe_integer("pad_token_id"), 0);
  EXPECT_FALSE(absent.has("eos_token_id"));  // null in the class
  EXPECT_EQ(absent.maybe_integer("eos_token_id"), std::nullopt);
  EXPECT_EQ(absent.maybe_real("nothing"), std::nullopt);
  EXPECT_EQ(absent.maybe_string("hidden_act"), "gelu");
}

TEST(ConfigLookup, NumLabels) {
  EXPECT_EQ(parse("{}").num_labels(), 2);
  EXPECT_EQ(parse("{}", "bart").num_labels(), 3);
  EXPECT_EQ(parse(R"({"num_labels": 5})").num_labels(), 5);
  EXPECT_EQ(parse(R"({"id2label": {"0": "a"}})").num_labels(), 1);
  EXPECT_EQ(parse(R"({"id2label": {"0": "a"}, "num_labels": 5})").num_labels(),
            1);  // as the original class decides
  EXPECT_EQ(parse(R"({"id2label": null, "num_labels": 5})").num_labels(), 5);
  EXPECT_TRUE(contains(complaint([] { parse(R"({"id2label": 3})").num_labels(); }), "expected an object"));
  EXPECT_TRUE(contains(complaint([] { parse(R"({"num_labels": -1})").num_labels(); }),
                       "is -1, expected an integer >= 0"));
}

// ---- nested objects ----

TEST(ConfigSub, HasTheDefaultsOfItsClass) {
  const auto config =
      parse(R"({"model_type": "clip", "text_config": {"model_type": "clip_text_model", "hidden_size": 8},
                               "vision_config": {"hidden_size": "x"}, "projection_dim": 4})");
  const auto text = config.sub("text_config");
  EXPECT_EQ(text.model_type(), "clip_text_model");
  EXPECT_EQ(text.integer("hidden_size"), 8);
  EXPECT_EQ(text.integer("num_hidden_layers"), 12);
  const auto vision = config.sub("vision_config", "clip_vision_model");
  EXPECT_EQ(vision.integer("patch_size"), 32);
  EXPECT_TRUE(contains(complaint([&] { vision.integer("hidden_size"); }),
                       "key 'vision_config.hidden_size' is \"x\""));
  EXPECT_TRUE(contains(complaint([&] { config.sub("projection_dim"); }),
                       "'projection_dim' is 4, expected an object"));
}

TEST(ConfigSub, AbsentMeansTheClassAlone) {
  const auto config = parse("{}", "clip");
  EXPECT_EQ(config.sub("text_config", "clip_text_model").integer("hidden_size"), 512);
  EXPECT_TRUE(contains(complaint([&] { config.sub("text_config"); }),
                       "'text_config' is missing, expected an object"));
  EXPECT_EQ(parse("{}", "sam").sub("mask_decoder_config").integer("num_multimask_outputs"), 3);
}

TEST(ConfigSub, OutlivesItsOwner) {
  const auto sub = [] { return parse(R"({"text_config": {"hidden_size": 8}})").sub("text_config"); }();
  EXPECT_EQ(sub.integer("hidden_size"), 8);
}

// ---- accounting ----

TEST(ConfigAccounting, NamesKnobsThatNobodyRead) {
  const auto config =
      parse(R"({"hidden_size": 32, "num_hidden_layers": 12, "layer_norm_eps": 1e-5, "is_decoder": true,
                               "quantization_config": {"bits": 4}, "pruned_heads": {}, "position_embedding_type": "absolute"})");
  const PretrainedConfig copy = config;  // NOLINT: copies share the accounting
  copy.integer("hidden_size");
  EXPECT_EQ(config.unread_knobs(),
            (Strings{"is_decoder = true (default false)", "layer_norm_eps = 1e-05 (default 1e-12)",
                     "quantization_config = {\"bits\":4} (default null)"}));
  config.harmless({"quantization_config"});
  config.real("layer_norm_eps");
  EXPECT_TRUE(config.has("is_decoder"));  // did not look at the value
  EXPECT_EQ(copy.unread_knobs(), (Strings{"is_decoder = true (default false)"}));
  EXPECT_TRUE(config.flag("is_decoder"));
  EXPECT_EQ(config.unread_knobs(), Strings{});
}

TEST(ConfigAccounting, ComparesValuesNotSpellings) {
  EXPECT_EQ(
      parse(
          R"({"hidden_size": 768.0, "layer_norm_eps": 0.000000000001, "is_decoder": null, "pruned_heads": null,
                       "cross_attention_hidden_size": null})")
          .unread_knobs(),
      Strings{});
  EXPECT_EQ(parse(R"({"pad_token_id": null})").unread_knobs(), (Strings{"pad_token_id = null (default 0)"}));
}

TEST(ConfigAccounting, KnowsHarmlessKeys) {
  EXPECT_EQ(parse(R"({"hidden_dropout_prob": 0.5, "attention_probs_dropout_prob": 0.5, "initializer_range": 1,
                       "use_cache": false, "dtype": "float16", "torch_dtype": "float16", "architectures": ["X"],
                       "id2label": {"0": "a"}, "label2id": {"a": 0}, "problem_type": "regression", "num_beams": 4,
                       "transformers_version": "9", "bos_token_id": 7, "max_length": 99, "output_attentions": true,
                       "chunk_size_feed_forward": 3, "_name_or_path": "x", "classifier_dropout": 0.3})")
                .unread_knobs(),
            Strings{});
  EXPECT_EQ(parse(R"({"max_length": 512})", "audio-spectrogram-transformer").unread_knobs(),
            (Strings{"max_length = 512 (default 1024)"}));
  EXPECT_EQ(parse(R"({"token_dropout": true})", "esm").unread_knobs(),
            (Strings{"token_dropout = true (default false)"}));
  for (const char* key : {"add_cross_attention", "is_encoder_decoder"}) {
    EXPECT_EQ(parse(std::string("{\"") + key + "\": true}").unread_knobs().size(), 1U) << key;
  }
  EXPECT_EQ(parse(R"({"tie_word_embeddings": false})").unread_knobs(), Strings{});  // heads read it
}

TEST(ConfigAccounting, UnknownKeysAreNotKnobs) {
  const auto config = parse(R"({"hidden_size": 32, "my_key": 1, "read_key": 2, "layer_dropout_x": 3})");
  config.integer("read_key");
  EXPECT_EQ(config.unknown_keys(), (Strings{"my_key"}));
  EXPECT_EQ(config.unread_knobs(), (Strings{"hidden_size = 32 (default 768)"}));
  EXPECT_EQ(parse(R"({"a": 1})", "unheard_of").unknown_keys(), (Strings{"a"}));
}

TEST(ConfigAccounting, CoversNestedObjects) {
  const auto config =
      parse(R"({"model_type": "clip", "text_config": {"hidden_size": 8, "vocab_size": 9, "odd": 1},
                               "vision_config": {"hidden_size": 8}})");
  const auto text = config.sub("text_config", "clip_text_model");
  text.integer("hidden_size");
  EXPECT_EQ(config.unread_knobs(), (Strings{"vision_config = {\"hidden_size\":8} (default null)",
                                            "text_config.vocab_size = 9 (default 49408)"}));
  EXPECT_EQ(config.unknown_keys(), (Strings{"text_config.odd"}));
  text.harmless({"vocab_size"});
  config.sub("vision_config", "clip_vision_model").integer("hidden_size");
  EXPECT_EQ(config.unread_knobs(), Strings{});
}

TEST(ConfigAccounting, EveryKeyOfAClasslessObjectIsAKnob) {
  const auto config =
      parse(R"({"model_type": "llama", "rope_scaling": {"rope_type": "linear", "factor": 2.0}})");
  EXPECT_EQ(config.unread_knobs().size(), 1U);
  const auto rope = config.sub("rope_scaling");
  EXPECT_EQ(rope.string("rope_type"), "linear");
  EXPECT_EQ(config.unread_knobs(), (Strings{"rope_scaling.factor = 2.0 (no default)"}));
  EXPECT_EQ(rope.real("factor"), 2.0);
  EXPECT_EQ(config.unread_knobs(), Strings{});
  EXPECT_EQ(config.unknown_keys(), Strings{});
}

TEST(ConfigAccounting, AnUnaccountedCopyReadsInSilence) {
  const auto config = parse(R"({"hidden_size": 32})");
  EXPECT_EQ(config.unaccounted().integer("hidden_size"), 32);
  EXPECT_EQ(NormalizedTextConfig(config)["hidden_size"], 32);
  EXPECT_EQ(config.unread_knobs().size(), 1U);
}

// ---- class defaults ----

TEST(ConfigDefaults, OfAPlugin) {
  PretrainedConfig::register_class_defaults("config_test_type", R"({"width": 7, "depth": 1})");
  const auto config = parse(R"({"depth": 2})", "config_test_type");
  EXPECT_EQ(config.integer("width"), 7);
  EXPECT_EQ(config.unread_knobs(), (Strings{"depth = 2 (default 1)"}));
  EXPECT_TRUE(contains(complaint([] { PretrainedConfig::register_class_defaults("x", "[]"); }),
                       "class defaults of 'x'"));
  EXPECT_TRUE(
      contains(complaint([] { PretrainedConfig::register_class_defaults("x", "{"); }), "broken json"));
}

TEST(ConfigDefaults, AreLookedUpInMicroseconds) {
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 100; ++i) parse("{}");
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(500));
}

// ---- normalized ----

TEST(Normalized, FindsQuantitiesUnderTheirNames) {
  const auto text = NormalizedTextConfig(parse(R"({"num_hidden_layers": 3})"));
  EXPECT_EQ(text["num_layers"], 3);
  EXPECT_EQ(text["num_attention_heads"], 12);
  EXPECT_EQ(text.maybe("eos_token_id"), std::nullopt);
  EXPECT_EQ(text.maybe("no_such_quantity"), std::nullopt);
  EXPECT_TRUE(contains(complaint([&] { text["no_such_quantity"]; }), "'no_such_quantity' is missing"));

  const auto distil = NormalizedTextConfig(parse(R"({"dim": 5})", "distilbert"))
                          .with_args({{"hidden_size", "dim"}, {"num_layers", "n_layers"}});
  EXPECT_EQ(distil["hidden_size"], 5);
  EXPECT_EQ(distil["num_layers"], 6);
}

TEST(Normalized, ReachesIntoNestedObjects) {
  const auto config = parse(R"({"text_config": {"model_type": "bert", "hidden_size": 9}})", "clip");
  const auto normalized =
      NormalizedVisionConfig(config).with_args({{"hidden_size", "text_config.hidden_size"}});
  EXPECT_EQ(normalized["hidden_size"], 9);
  EXPECT_EQ(normalized.maybe("hidden_size"), 9);
}

TEST(PretrainedConfig, CountsAndSizesAreOfThisWorld) {
  const auto config = [](const char* text) {
    return PretrainedConfig::from_json(text, "config.json", "bert");
  };
  EXPECT_EQ(complaint([&] { config(R"({"num_attention_heads": 0})").integer("num_attention_heads"); }),
            "config.json: key 'num_attention_heads' is 0, expected 1 to 65536");
  EXPECT_EQ(complaint([&] { config(R"({"encoder_layers": 1000000})").integer("encoder_layers"); }),
            "config.json: key 'encoder_layers' is 1000000, expected 0 to 10000");
  EXPECT_EQ(complaint([&] { config(R"({"image_size": [32, -1]})").integers("image_size"); }),
            "config.json: key 'image_size' is -1, expected 1 to 2147483647");
  EXPECT_EQ(config(R"({"type_vocab_size": 0})").integer("type_vocab_size"), 0);
  EXPECT_EQ(config(R"({"pad_token_id": -1})").integer("pad_token_id"), -1);
}

}  // namespace
}  // namespace onnxport
