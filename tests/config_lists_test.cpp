// Lists in config.json that are written shorter than they are.
#include <gtest/gtest.h>

#include "errors.h"
#include "onnxport/config.h"

namespace onnxport::test {
namespace {

std::vector<std::string> repeated(const std::string& value) {
  const auto config = PretrainedConfig::from_json(
      R"({"model_type": "gpt_neo", "attention_types": )" + value + "}", "config.json");
  return config.repeated_strings("attention_types");
}

TEST(ConfigLists, AreWrittenOut) {
  using Strings = std::vector<std::string>;
  EXPECT_EQ(repeated(R"([[["a", "b"], 2], [["c"], 1]])"), (Strings{"a", "b", "a", "b", "c"}));
  EXPECT_EQ(repeated("[]"), Strings{});
  EXPECT_EQ(repeated(R"([[["a"], 0]])"), Strings{});
  const auto config = PretrainedConfig::from_json(R"({"model_type": "gpt_neo"})", "config.json");
  EXPECT_EQ(config.repeated_strings("attention_types").size(), 24U);  // by the class
}

TEST(ConfigLists, RefuseOtherValues) {
  for (const char* value : {R"("global")", R"(["global"])", R"([["global", 2]])", R"([[["global"], -1]])",
                            R"([[["global"], "2"]])", R"([[[1], 2]])", R"([[["global"], 1000000000]])"}) {
    SCOPED_TRACE(value);
    const std::string message = complaint(ErrorCode::bad_config, [&] { repeated(value); });
    EXPECT_NE(message.find("attention_types"), message.npos) << message;
    EXPECT_NE(message.find("expected a list of [list of strings, how often]"), message.npos) << message;
  }
}

TEST(IntegerLists, ReadsListsOfLists) {
  const auto read = [](const std::string& value) {
    return PretrainedConfig::from_json(R"({"model_type": "x", "sizes": )" + value + "}", "test")
        .integer_lists("sizes");
  };
  EXPECT_EQ(read("[[1, 3, 5], [], [2.0]]"), (std::vector<std::vector<std::int64_t>>{{1, 3, 5}, {}, {2}}));
  for (const char* value : {"3", "[1, 2]", R"([["a"]])", "[[1], 2]", "[[0.5]]"}) {
    const std::string message = complaint(ErrorCode::bad_config, [&] { read(value); });
    EXPECT_NE(message.find("a list of lists of integers"), std::string::npos) << message;
  }
}

}  // namespace
}  // namespace onnxport::test
