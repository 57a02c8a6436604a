// Where the settings of image processors and feature extractors are.
#include "exporter/preprocessors.h"

#include <gtest/gtest.h>

#include <fstream>

#include "errors.h"
#include "onnxport/dummy_inputs.h"
#include "support/json.h"
#include "support/temp_folder.h"

namespace onnxport::test {
namespace {

constexpr const char* kProcessor = R"({"image_processor": {"size": {"height": 20, "width": 24}},
                                       "feature_extractor": {"sampling_rate": 16000},
                                       "processor_class": "SomeProcessor", "image_token": "<image>"})";

void write(const TempFolder& folder, const char* name, const char* text) {
  std::ofstream(folder.path() / name) << text;
}

TEST(Preprocessors, AreReadFromTheProcessorThatHasThemAsParts) {
  const TempFolder folder;
  EXPECT_FALSE(exporter::read_preprocessor(folder.path()));
  write(folder, "processor_config.json", R"({"processor_class": "SomeProcessor"})");
  EXPECT_FALSE(exporter::read_preprocessor(folder.path())) << "settings of the processor alone";
  write(folder, "processor_config.json", kProcessor);
  EXPECT_EQ(
      exporter::read_preprocessor(folder.path())->values,
      parse_json<nlohmann::ordered_json>(R"({"size": {"height": 20, "width": 24}, "sampling_rate": 16000,
                                              "processor_class": "SomeProcessor"})"));
  EXPECT_EQ(load_preprocessors(folder.path()).at(0).image_size, (ImageSize{20, 24}));
}

TEST(Preprocessors, OfTheirOwnFileComeFirst) {
  const TempFolder folder;
  write(folder, "processor_config.json", kProcessor);
  write(folder, "preprocessor_config.json", R"({"size": 30})");
  EXPECT_EQ(load_preprocessors(folder.path()).at(0).image_size, (ImageSize{30, 30}));
}

TEST(Preprocessors, ABrokenFileIsNamed) {
  const TempFolder folder;
  write(folder, "processor_config.json", "{");
  const std::string message =
      complaint(ErrorCode::bad_config, [&] { exporter::read_preprocessor(folder.path()); });
  EXPECT_NE(message.find("processor_config.json"), message.npos) << message;
}

}  // namespace
}  // namespace onnxport::test
