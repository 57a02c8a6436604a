// Settings of rotation, as files of transformers 4 and 5 spell them.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "models/decoders/common/layers.h"
#include "onnxport/nn/rotary.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport {
namespace {

struct Row {
  const char* what;
  const char* config;      ///< of a llama with max_position_embeddings 64
  const char* layer_type;  ///< that asks
  std::string type;
  double theta, factor, attention_factor;
  std::int64_t dim, original_length;
};

PretrainedConfig parse(const std::string& keys) {
  return PretrainedConfig::from_json("{\"max_position_embeddings\": 64, " + keys + "}", "config.json",
                                     "llama");
}

TEST(RopeParameters, AsFilesSpellThem) {
  const double long4 = std::sqrt(1 + std::log(4.0) / std::log(16.0));
  const double long8 = std::sqrt(1 + std::log(8.0) / std::log(16.0));
  const Row rows[] = {
      {"nothing", R"("vocab_size": 9)", "", "default", 10000, 1, 1, 8, 64},
      {"4: beside each other", R"("rope_theta": 5.0, "rope_scaling": {"type": "linear", "factor": 2})", "",
       "linear", 5, 2, 1, 8, 64},
      {"5: one object", R"("rope_parameters": {"rope_type": "linear", "rope_theta": 5.0, "factor": 2})", "",
       "linear", 5, 2, 1, 8, 64},
      {"5: the object wins over a leftover",
       R"("rope_theta": 7, "partial_rotary_factor": 1.0,
          "rope_parameters": {"rope_type": "default", "rope_theta": 5, "partial_rotary_factor": 0.5})",
       "", "default", 5, 1, 1, 4, 64},
      {"4: partial rotation", R"("partial_rotary_factor": 0.5)", "", "default", 10000, 1, 1, 4, 64},
      {"5: this type of layer",
       R"("rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 5},
                              "sliding_attention": {"rope_type": "linear", "rope_theta": 6, "factor": 3}})",
       "sliding_attention", "linear", 6, 3, 1, 8, 64},
      {"5: one object for all layers", R"("rope_parameters": {"rope_type": "default", "rope_theta": 5})",
       "sliding_attention", "default", 5, 1, 1, 8, 64},
      {"4: longrope ignores the length inside",
       R"("rope_scaling": {"rope_type": "longrope", "short_factor": [1, 1, 1, 1], "long_factor": [2, 2, 2, 2],
                           "factor": 1.0, "original_max_position_embeddings": 16})",
       "", "longrope", 10000, 1, 1, 8, 64},
      {"4: longrope takes the length beside it, and ignores the factor",
       R"("original_max_position_embeddings": 16,
          "rope_scaling": {"type": "su", "short_factor": [1, 1, 1, 1], "long_factor": [2, 2, 2, 2], "factor": 8.0})",
       "", "longrope", 10000, 4, long4, 8, 16},
      {"5: longrope takes the length inside",
       R"("rope_parameters": {"rope_type": "longrope", "short_factor": [1, 1, 1, 1], "long_factor": [2, 2, 2, 2],
                              "original_max_position_embeddings": 16})",
       "", "longrope", 10000, 4, long4, 8, 16},
      {"5: longrope takes the factor first",
       R"("rope_parameters": {"rope_type": "longrope", "short_factor": [1, 1, 1, 1], "long_factor": [2, 2, 2, 2],
                              "factor": 8.0, "original_max_position_embeddings": 16})",
       "", "longrope", 10000, 8, long8, 8, 16},
      {"5: the length beside the object wins",
       R"("original_max_position_embeddings": 16,
          "rope_parameters": {"rope_type": "longrope", "short_factor": [1, 1, 1, 1], "long_factor": [2, 2, 2, 2],
                              "original_max_position_embeddings": 32})",
       "", "longrope", 10000, 4, long4, 8, 16},
      {"5: yarn without a factor",
       R"("rope_parameters": {"rope_type": "yarn", "original_max_position_embeddings": 16})", "", "yarn",
       10000, 4, 0.1 * std::log(4.0) + 1, 8, 16},
      {"5: proportional turns a part, but has a frequency for all",
       R"("rope_parameters": {"rope_type": "proportional", "rope_theta": 5, "partial_rotary_factor": 0.5})",
       "", "proportional", 5, 1, 1, 8, 64},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.what);
    const PretrainedConfig config = parse(row.config);
    const nn::RopeParameters p = rope_parameters(config, 8, {.layer_type = row.layer_type});
    EXPECT_EQ(p.type, row.type);
    EXPECT_EQ(p.theta, row.theta);
    EXPECT_EQ(p.factor, row.factor);
    EXPECT_DOUBLE_EQ(p.attention_factor, row.attention_factor);
    EXPECT_EQ(p.dim, row.dim);
    EXPECT_EQ(p.original_max_position_embeddings, row.original_length);
  }
}

TEST(RopeParameters, ValuesOfTheClass) {
  const RopeKeys keys = {.theta = 5, .partial_rotary_factor = 0.25};
  const auto old_file = parse(R"("rope_theta": 7.0)");
  EXPECT_EQ(rope_parameters(old_file, 8, keys).theta, 5) << "win over the common keys";
  EXPECT_EQ(rope_parameters(old_file, 8, keys).dim, 2);
  const auto new_file =
      parse(R"("rope_parameters": {"rope_type": "default", "rope_theta": 6, "partial_rotary_factor": 0.5})");
  EXPECT_EQ(rope_parameters(new_file, 8, keys).theta, 6) << "but not over the object";
  EXPECT_EQ(rope_parameters(new_file, 8, keys).dim, 4);
}

TEST(RopeParameters, SectionsOfTheClass) {
  const std::string sizes =
      R"("hidden_size": 16, "num_attention_heads": 1, "num_hidden_layers": 1, "vocab_size": 9,
      "intermediate_size": 4)";
  const auto axes = [&](const std::string& more) {
    TextDecoderConfig c(parse(sizes + more));
    models::usual_sections(c, {3, 3, 2});
    return c.rope.axes;
  };
  using Axes = std::vector<std::int64_t>;
  EXPECT_EQ(axes(""), (Axes{0, 0, 0, 1, 1, 1, 2, 2}));
  EXPECT_EQ(axes(R"(, "rope_parameters": {"rope_theta": 5.0})"), (Axes{0, 0, 0, 1, 1, 1, 2, 2}));
  EXPECT_EQ(axes(R"(, "rope_scaling": {"type": "mrope", "mrope_section": [3, 3, 2]})"),
            (Axes{0, 0, 0, 1, 1, 1, 2, 2}));
  EXPECT_EQ(axes(R"(, "rope_scaling": {"type": "mrope", "mrope_section": [4, 2, 2]})"),
            (Axes{0, 0, 0, 0, 1, 1, 2, 2}));
}

TEST(RopeParameters, EveryKeyOfTheObjectCounts) {
  const auto flat = parse(R"("rope_parameters": {"rope_type": "default", "other_section": [1, 2]})");
  rope_parameters(flat, 8);
  EXPECT_EQ(flat.unread_knobs(),
            std::vector<std::string>{"rope_parameters.other_section = [1,2] (no default)"});
  const auto nested = parse(R"("rope_parameters": {"full_attention": {"rope_type": "default"},
                                                   "sliding_attention": {"rope_type": "default"}})");
  rope_parameters(nested, 8, {.layer_type = "full_attention"});
  EXPECT_EQ(
      nested.unread_knobs(),
      std::vector<std::string>{R"(rope_parameters.sliding_attention = {"rope_type":"default"} (no default))"})
      << "a definition without sliding layers must not pass over their settings";
}

TEST(RopeParameters, ReplaceTheScalingOfTheClass) {
  const auto read = [](const std::string& keys) {
    return rope_parameters(PretrainedConfig::from_json("{" + keys + "}", "config.json", "gpt_oss"), 8);
  };
  const std::string newer = R"("rope_parameters": {"rope_type": "linear", "rope_theta": 5, "factor": 3})";
  const std::string older = R"("rope_scaling": {"rope_type": "dynamic", "factor": 2})";
  EXPECT_EQ(read(R"("vocab_size": 9)").type, "yarn") << "the default of the class";
  EXPECT_EQ(read(newer).type, "linear");
  EXPECT_EQ(read(newer).theta, 5);
  EXPECT_EQ(read(newer).factor, 3);
  EXPECT_EQ(read(older).type, "dynamic");
  EXPECT_EQ(read(newer + ", " + older).type, "dynamic") << "of the file";
  EXPECT_EQ(read(newer + R"(, "rope_scaling": null)").type, "linear");
}

}  // namespace
}  // namespace onnxport
