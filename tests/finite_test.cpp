// Values that are not finite: weights that a cast makes infinite, and outputs.
#include <gtest/gtest.h>

#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "checkpoint/safetensors.h"
#include "golden_fixture.h"
#include "onnxport/export.h"
#include "serialize/tiles.h"
#include "support/file.h"
#include "support/temp_folder.h"

namespace onnxport::test {
namespace {

using Strings = std::vector<std::string>;

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// A BERT, of whose weights some have other values: {key, index, value}.
class Finite : public testing::Test {
 protected:
  static constexpr const char* kWords = "embeddings.word_embeddings.weight";

  void change(const std::string& key, const std::vector<std::pair<std::size_t, double>>& changes) {
    const std::filesystem::path file = checkpoint() / "model.safetensors";
    NamedTensors tensors = read_safetensors(file);
    for (auto& [name, tensor] : tensors) {
      if (name != key) continue;
      std::vector<double> values = tensor.to_doubles();
      for (const auto& [index, value] : changes) values.at(index) = value;
      tensor = Tensor::from_doubles(tensor.dtype, tensor.shape, values);
    }
    write_safetensors(file, tensors);
  }

  ExportReport run(const std::string& dtype, NonFinite non_finite = NonFinite::fail, bool validate = true) {
    notices_.clear();
    MainExportOptions options{.model = checkpoint(),
                              .output = folder_.path() / "out",
                              .task = "feature-extraction",
                              .dtype = dtype,
                              .non_finite = non_finite,
                              .validate = validate};
    options.export_options.on_notice = [this](const std::string& line) { notices_.push_back(line); };
    return main_export(options);
  }

  void SetUp() override {
    std::filesystem::create_directory(checkpoint());
    synthesize(read_fixture("bert/feature-extraction"), checkpoint());
  }

  std::filesystem::path checkpoint() const { return folder_.path() / "checkpoint"; }

  TempFolder folder_;
  Strings notices_;
};

TEST_F(Finite, AWeightBeyondTheRangeOfItsDtypeIsNamedWithACount) {
  change(kWords, {{0, 1e5}, {40, -7e4}, {41, 65504}});
  run("fp16", NonFinite::fail, false);
  ASSERT_EQ(notices_.size(), 1U) << testing::PrintToString(notices_);
  EXPECT_NE(notices_[0].find("tensor 'embeddings.word_embeddings.weight': 2 of "), std::string::npos)
      << notices_[0];
  EXPECT_NE(notices_[0].find("beyond float16 (at most 65504)"), std::string::npos) << notices_[0];
  EXPECT_NE(notices_[0].find("--dtype bf16"), std::string::npos) << notices_[0];
  for (const char* dtype : {"bf16", "fp32"}) {
    run(dtype, NonFinite::fail, false);
    EXPECT_EQ(notices_, Strings()) << dtype;
  }
  change(kWords, {{7, 3.4e38}});
  run("bf16", NonFinite::fail, false);
  ASSERT_EQ(notices_.size(), 1U);
  EXPECT_NE(notices_[0].find("1 of "), std::string::npos) << notices_[0];
  EXPECT_NE(notices_[0].find("beyond bfloat16"), std::string::npos) << notices_[0];
}

TEST_F(Finite, SmallTensorsAreCountedToo) {
  change("encoder.layer.0.attention.output.LayerNorm.bias", {{1, 1e6}, {2, -1e6}, {3, 1e6}});
  run("fp16", NonFinite::fail, false);
  ASSERT_EQ(notices_.size(), 1U) << testing::PrintToString(notices_);
  EXPECT_NE(notices_[0].find("'encoder.layer.0.attention.output.LayerNorm.bias': 3 of "), std::string::npos)
      << notices_[0];
}

TEST_F(Finite, InfinitiesOfTheCheckpointDoNotOverflow) {
  change(kWords, {{0, kInf}, {1, -kInf}, {2, kNan}});
  run("fp16", NonFinite::fail, false);
  EXPECT_EQ(notices_, Strings());
}

TEST_F(Finite, OutputsThatAreNotFiniteFailUnlessTheDefinitionHasThemAndTheyAreAllowed) {
  EXPECT_TRUE(run("fp32").passed());
  change("encoder.layer.1.output.LayerNorm.bias", {{3, kInf}, {4, kNan}});
  const ExportReport refused = run("fp32");
  EXPECT_FALSE(refused.passed());
  const OutputComparison& output = refused.validation.at(0).cases.at(0).outputs.at(0);
  EXPECT_EQ(output.non_finite, 2 * 16 * 2);  // of each token, two values
  EXPECT_EQ(output.reference_non_finite, output.non_finite);
  EXPECT_TRUE(run("fp32", NonFinite::allow).passed());
  const auto again = [&](NonFinite rule) {
    ValidationOptions how;
    how.non_finite = rule;
    return main_validate({.model = checkpoint(), .onnx = folder_.path() / "out", .validation = how})
        .at(0)
        .passed();
  };
  EXPECT_FALSE(again(NonFinite::fail));
  EXPECT_TRUE(again(NonFinite::allow));
}

TEST(CountOverflows, CountsWhatTheCastMadeInfinite) {
  const auto overflows = [](const std::vector<double>& values, DType to) {
    const std::vector<std::int64_t> shape = {static_cast<std::int64_t>(values.size())};
    const TempFolder folder;
    const std::filesystem::path file = folder.path() / "values.safetensors";
    write_safetensors(file, {{"values", Tensor::from_doubles(DType::f32, shape, values)}});
    const Weight weight = safetensors::read(File::open(file)).at(0).as_weight().cast(to);
    std::vector<std::byte> bytes(static_cast<std::size_t>(weight.numel()) * size_of(to));
    weight.read(0, weight.numel(), bytes.data());
    return serialize::count_overflows(weight, 0, weight.numel(), bytes.data());
  };
  const double rounds_up = 65520, rounds_down = 65519;
  EXPECT_EQ(overflows({1, rounds_down, -rounds_down, 0}, DType::f16), 0);
  EXPECT_EQ(overflows({1, rounds_up, -rounds_up, 1e9, 0}, DType::f16), 3);
  EXPECT_EQ(overflows({kInf, -kInf, kNan, 1e6, 0}, DType::f16), 1);
  EXPECT_EQ(overflows({1e6, 1e38, 0}, DType::bf16), 0);
  EXPECT_EQ(overflows({3.4e38, kInf, 0}, DType::bf16), 1);
  EXPECT_EQ(overflows({kInf, 1e6, 0}, DType::f32), 0);
}

}  // namespace
}  // namespace onnxport::test
