// Variants that make only some of the files of an export.
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "errors.h"
#include "golden_fixture.h"
#include "onnxport/error.h"
#include "onnxport/export.h"
#include "onnxport/plan.h"
#include "onnxport/tasks_manager.h"
#include "support/file.h"
#include "support/json.h"
#include "support/temp_folder.h"

namespace onnxport::test {
namespace {

namespace fs = std::filesystem;
using Strings = std::vector<std::string>;

Precision of_files(const char* name, Strings files) {
  Precision precision = get_precision(name);
  precision.files = std::move(files);
  return precision;
}

class PlanFiles : public testing::Test {
 protected:
  fs::path checkpoint() const { return folder_.path() / "checkpoint"; }
  fs::path out() const { return folder_.path() / "out"; }
  Model open(const std::string& name) {
    const GoldenFixture fixture = read_fixture(name);
    synthesize(fixture, checkpoint());
    task_ = fixture.task;
    return TasksManager::instance().get_model_from_task(task_, checkpoint());
  }
  /// Names of the components of each variant.
  static std::map<std::string, Strings> components(const ExportPlan& plan) {
    std::map<std::string, Strings> names;
    for (const Variant& variant : plan.variants)
      for (const Component& one : plan.part(variant).components) names[variant.name].push_back(one.name);
    return names;
  }
  std::set<std::string> models() const {
    std::set<std::string> names;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(out()))
      if (entry.path().extension() == ".onnx") names.insert(entry.path().filename().string());
    return names;
  }

  TempFolder folder_;
  std::string task_;
};

TEST_F(PlanFiles, FilesThatNoVariantNamesAreFloats) {
  const Model llava = open("llava/image-text-to-text-with-past");
  const ExportPlan plan = make_plan(llava, {.precisions = {of_files("q4", {"decoder_model_merged"}),
                                                           of_files("fp16", {"vision_encoder"})}});
  const std::map<std::string, Strings> expected = {
      {"q4", {"decoder_model_merged"}}, {"fp16", {"vision_encoder"}}, {"fp32", {"embed_tokens"}}};
  EXPECT_EQ(components(plan), expected);
  EXPECT_EQ(plan.variant_of(plan.component("vision_encoder")).name, "fp16");
}

TEST_F(PlanFiles, APrecisionWithoutFilesIsForAll) {
  const Model llava = open("llava/image-text-to-text-with-past");
  const ExportPlan plan =
      make_plan(llava, {.precisions = {get_precision("fp16"), of_files("q4", {"decoder_model_merged"})}});
  const std::map<std::string, Strings> expected = {
      {"fp16", {"vision_encoder", "embed_tokens", "decoder_model_merged"}}, {"q4", {"decoder_model_merged"}}};
  EXPECT_EQ(components(plan), expected);
}

TEST_F(PlanFiles, AMergeBringsItsComponents) {
  const Model t5 = open("t5/text2text-generation-with-past");
  const ExportPlan plan = make_plan(t5, {.precisions = {of_files("q8", {"decoder_model_merged"})}});
  const std::map<std::string, Strings> expected = {{"q8", {"decoder_model", "decoder_with_past_model"}},
                                                   {"fp32", {"encoder_model"}}};
  EXPECT_EQ(components(plan), expected);
}

TEST_F(PlanFiles, AnUnknownFileIsAnErrorThatNamesTheFiles) {
  const Model llava = open("llava/image-text-to-text-with-past");
  const std::string text = complaint(
      ErrorCode::invalid_argument, [&] { make_plan(llava, {.precisions = {of_files("q4", {"decoder"})}}); });
  EXPECT_NE(text.find("--variants decoder=q4"), std::string::npos) << text;
  EXPECT_NE(text.find("vision_encoder, embed_tokens, decoder_model_merged"), std::string::npos) << text;
}

TEST_F(PlanFiles, MixedPrecisionsAreWrittenAndValidated) {
  open("llava/image-text-to-text-with-past");
  const std::vector<Precision> mix = {of_files("q4", {"decoder_model_merged"}),
                                      of_files("fp16", {"vision_encoder"})};
  const ExportReport report = main_export({.model = checkpoint(),
                                           .output = out(),
                                           .task = task_,
                                           .layout = "transformers.js",
                                           .precisions = mix});
  EXPECT_EQ(models(), (std::set<std::string>{"decoder_model_merged_q4.onnx", "embed_tokens.onnx",
                                             "vision_encoder_fp16.onnx"}));
  EXPECT_EQ(report.validation.size(), 4U);  // and their composition
  EXPECT_TRUE(report.passed());
  const auto written = parse_json<nlohmann::json>(read_text_file(out() / "config.json"));
  EXPECT_EQ(written.at("transformers.js_config").at("dtype"),
            parse_json<nlohmann::json>(R"({"decoder_model_merged": "q4", "vision_encoder": "fp16",
                                      "embed_tokens": "fp32"})"));

  const std::vector<ValidationReport> again = main_validate(
      {.model = checkpoint(), .onnx = out(), .task = task_, .layout = "transformers.js", .precisions = mix});
  ASSERT_EQ(again.size(), 4U);
  for (const ValidationReport& file : again) EXPECT_TRUE(file.passed()) << to_string(file);
}

}  // namespace
}  // namespace onnxport::test
