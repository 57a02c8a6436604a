// Files that a client connects fit together, and validation sees when they do not.
#include "validate/compose.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "golden_fixture.h"
#include "onnxport/export.h"
#include "support/temp_folder.h"

namespace onnxport::test {
namespace {

namespace fs = std::filesystem;
constexpr const char* kTask = "image-text-to-text-with-past";

ExportReport export_fixture(const std::string& type, const fs::path& folder) {
  synthesize(read_fixture(type + "/" + kTask), folder / "checkpoint");
  return main_export({.model = folder / "checkpoint", .output = folder / "out", .task = kTask});
}

const ValidationReport* composition(const std::vector<ValidationReport>& reports) {
  const auto found = std::find_if(reports.begin(), reports.end(), [](const ValidationReport& report) {
    return !report.cases.empty() && report.cases.front().name.starts_with("the features of");
  });
  return found == reports.end() ? nullptr : &*found;
}

class Composed : public testing::TestWithParam<const char*> {};

TEST_P(Composed, FilesFitTogether) {
  const TempFolder folder;
  const ExportReport report = export_fixture(GetParam(), folder.path());
  const ValidationReport* composed = composition(report.validation);
  ASSERT_NE(composed, nullptr);
  EXPECT_TRUE(composed->passed()) << to_string(*composed);
  EXPECT_EQ(composed->cases.front().outputs.front().name, "logits");
}

// One row of positions and three; features that are wider than a vector of the decoder.
INSTANTIATE_TEST_SUITE_P(Types, Composed,
                         testing::Values("llava", "qwen2_vl", "qwen3_vl", "fuyu", "paligemma"));

TEST(Composed, AnotherTableOfTokensIsSeen) {
  const TempFolder llava, other;
  export_fixture("llava", llava.path());
  export_fixture("qwen2_vl", other.path());
  fs::copy_file(other.path() / "out" / "embed_tokens.onnx", llava.path() / "out" / "embed_tokens.onnx",
                fs::copy_options::overwrite_existing);
  const std::vector<ValidationReport> reports =
      main_validate({.model = llava.path() / "checkpoint", .onnx = llava.path() / "out", .task = kTask});
  const ValidationReport* composed = composition(reports);
  ASSERT_NE(composed, nullptr);
  EXPECT_FALSE(composed->passed());
}

TEST(Composed, OtherPlansAreNot) {
  const TempFolder folder;
  synthesize(read_fixture("t5/text2text-generation-with-past"), folder.path() / "checkpoint");
  const ExportReport report = main_export({.model = folder.path() / "checkpoint",
                                           .output = folder.path() / "out",
                                           .task = "text2text-generation-with-past"});
  EXPECT_EQ(composition(report.validation), nullptr);
}

}  // namespace
}  // namespace onnxport::test
