// Decoders for a client that hands over one buffer for the keys and values of past and present.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "layout_checkpoint.h"
#include "onnxport/inspect.h"
#include "support/json.h"

namespace onnxport::test {
namespace {

struct Exported {
  ExportReport report;
  bool shares;
  std::map<std::string, int> nodes;
};

Exported exported(const std::string& fixture) {
  const LayoutCheckpoint checkpoint(fixture);
  MainExportOptions options = checkpoint.options();
  options.validate = true;
  options.export_options.target.runtime = "ort";
  Exported made{.report = main_export(options)};
  const auto settings = parse_json<nlohmann::json>(read_text_file(checkpoint.out() / "genai_config.json"));
  made.shares = settings.at("search").at("past_present_share_buffer").get<bool>();
  for (const NodeSummary& node : summarize(checkpoint.out() / "model.onnx").graph.nodes)
    ++made.nodes[node.op_type];
  return made;
}

// Validation moves the tokens of padded rows to the front, as the client has them.
TEST(SharedCache, CountsTheTokensOfEachRow) {
  for (const char* fixture : {"llama/text-generation-with-past", "llama/text-generation-with-past+mqa",
                              "mistral/text-generation-with-past+sliding", "phi3/text-generation-with-past",
                              "mixtral/text-generation-with-past"}) {
    SCOPED_TRACE(fixture);
    const Exported made = exported(fixture);
    EXPECT_TRUE(made.shares);
    EXPECT_GT(made.nodes.at("GroupQueryAttention"), 0);
    EXPECT_FALSE(made.nodes.contains("Where"));
    EXPECT_TRUE(made.report.passed());
    ASSERT_FALSE(made.report.validation.empty());
    const std::string& name = made.report.validation.front().cases.back().name;
    EXPECT_TRUE(contains(name, "the tokens of each row moved to its front")) << name;
  }
}

// The length of a buffer is not that of the past, so positions and biases cannot come from it.
TEST(SharedCache, StaysOffWhereTheGraphReadsTheLengthOfThePast) {
  for (const char* fixture : {"gemma2/text-generation-with-past", "bloom/text-generation-with-past",
                              "falcon/text-generation-with-past+alibi"}) {
    SCOPED_TRACE(fixture);
    const Exported made = exported(fixture);
    EXPECT_FALSE(made.shares);
    EXPECT_FALSE(made.nodes.contains("GroupQueryAttention"));
    EXPECT_TRUE(made.report.passed());
  }
}

}  // namespace
}  // namespace onnxport::test
