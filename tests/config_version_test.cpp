// The version of the library that saved a file, and values that depend on it.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "onnxport/config.h"
#include "onnxport/error.h"

namespace onnxport {
namespace {

PretrainedConfig parse(std::string_view text, std::string model_type = "bert") {
  return PretrainedConfig::from_json(text, "config.json", std::move(model_type));
}

TEST(PretrainedConfig, MajorVersionOfTheLibrary) {
  const auto major = [](const char* text) { return parse(text).transformers_major(); };
  EXPECT_EQ(major(R"({"transformers_version": "5.23.0"})"), 5);
  EXPECT_EQ(major(R"({"transformers_version": "4.50.0.dev0"})"), 4);
  EXPECT_EQ(major(R"({"transformers_version": null})"), 4);
  EXPECT_EQ(major(R"({"transformers_version": "unknown"})"), 4);
  EXPECT_EQ(major("{}"), 4);
  const auto whole = parse(R"({"transformers_version": "5.0.0", "text_config": {}})", "clip");
  EXPECT_EQ(whole.sub("text_config").transformers_major(), 5) << "the file has one version";
  const auto newer = parse(R"({"transformers_version": "4.46.1"})", "minimax_m2");
  EXPECT_EQ(newer.transformers_major(), 5) << "version 4 does not have the type";
}

// Version 5 writes floats that JSON does not have as objects.
TEST(PretrainedConfig, TaggedFloats) {
  const PretrainedConfig config =
      parse(R"({"limits": [0.0, {"__float__": "Infinity"}], "low": {"__float__": "-Infinity"},
                "nan": {"__float__": "NaN"}, "other": {"__float__": "1.5"}})");
  EXPECT_EQ(config.reals("limits"), (std::vector<double>{0, INFINITY}));
  EXPECT_EQ(config.real("low"), -INFINITY);
  EXPECT_TRUE(std::isnan(config.real("nan")));
  EXPECT_THROW(config.real("other"), ExportError);
}

TEST(PretrainedConfig, SettledValuesShareTheAccounting) {
  const auto config = parse(R"({"tie_word_embeddings": true, "layer_norm_eps": 0.5})");
  const auto settled = config.settled("tie_word_embeddings", "false");
  EXPECT_FALSE(settled.flag("tie_word_embeddings"));
  EXPECT_TRUE(config.flag("tie_word_embeddings"));
  EXPECT_EQ(settled.real("layer_norm_eps"), 0.5);
  EXPECT_TRUE(config.unread_knobs().empty()) << "read through the other";
}

}  // namespace
}  // namespace onnxport
