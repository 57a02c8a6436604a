// Real models in half precision: what a runtime refuses or rounds away shows in whole graphs only.
#include <gtest/gtest.h>

#include <cctype>
#include <filesystem>
#include <string>

#include "golden_fixture.h"
#include "onnxport/export.h"
#include "support/temp_folder.h"

namespace onnxport::test {
namespace {

class HalfPrecision : public testing::TestWithParam<const char*> {};

TEST_P(HalfPrecision, LoadsAndMatchesTheInterpreter) {
  const GoldenFixture fixture = read_fixture(GetParam());
  const TempFolder folder;
  const std::filesystem::path checkpoint = folder.path() / "checkpoint";
  std::filesystem::create_directory(checkpoint);
  synthesize(fixture, checkpoint);
  const ExportReport report = main_export(
      {.model = checkpoint, .output = folder.path() / "out", .task = fixture.task, .dtype = "fp16"});
  ASSERT_FALSE(report.validation.empty());
  EXPECT_TRUE(report.passed());
}

std::string fixture_name(const testing::TestParamInfo<const char*>& info) {
  std::string name = info.param;
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  }
  return name;
}

// Rotated axes in front of a product; scales and norms that are folded into layers; sums over places.
INSTANTIATE_TEST_SUITE_P(Fixtures, HalfPrecision,
                         testing::Values("deberta-v2/feature-extraction",
                                         "deberta-v2/feature-extraction+conv",
                                         "convnext/image-classification", "convnextv2/image-classification",
                                         "dinov2/feature-extraction", "resnet/image-classification",
                                         "segformer/semantic-segmentation"),
                         fixture_name);

}  // namespace
}  // namespace onnxport::test
