// Options of an interface: hidden states, weights of attention, a number of logits, no positions, narrow
// integers. Their files give what the original gave without them.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "errors.h"
#include "golden_fixture.h"
#include "onnxport/export.h"
#include "runtime/session.h"
#include "support/temp_folder.h"

namespace onnxport::test {
namespace {

using Changes = std::function<void(MainExportOptions&)>;

// A fixture's checkpoint, exported and validated with an option.
class Exported {
 public:
  Exported(const std::string& fixture, const Changes& change) : fixture_(read_fixture(fixture)) {
    synthesize(fixture_, folder_.path() / "checkpoint");
    MainExportOptions options{
        .model = folder_.path() / "checkpoint", .output = folder_.path() / "out", .task = fixture_.task};
    change(options);
    const ExportReport report = main_export(options);
    EXPECT_TRUE(report.passed());
    session_ = std::make_unique<runtime::Session>(folder_.path() / "out" / "model.onnx",
                                                  runtime::SessionOptions{.intra_op_threads = 1});
  }
  Exported(const std::string& fixture, InterfaceOption option)
      : Exported(fixture, [=](MainExportOptions& o) { o.interface_options = {option}; }) {}

  const std::vector<GoldenCase>& cases() const { return fixture_.files.front().cases; }
  const runtime::Session& session() const { return *session_; }
  bool takes(std::string_view name) const {
    return std::any_of(session_->inputs().begin(), session_->inputs().end(),
                       [&](const auto& input) { return input.name == name; });
  }
  // Compares with the outputs of the original.
  void expect_original(const GoldenCase& one, const NamedTensors& outputs) const {
    for (const auto& [name, tensor] : one.outputs) {
      const Tensor* const got = find(outputs, name);
      ASSERT_NE(got, nullptr) << name;
      ASSERT_EQ(got->shape, tensor.shape) << name;
      expect_near(got->to_doubles(), tensor.to_doubles(), name);
    }
  }
  static void expect_near(const std::vector<double>& got, const std::vector<double>& want,
                          const std::string& name) {
    double largest = 1;
    for (const double value : want) largest = std::max(largest, std::abs(value));
    for (std::size_t i = 0; i < want.size(); ++i)
      ASSERT_NEAR(got[i], want[i], 1e-5 * largest) << name << " at " << i;
  }

 private:
  TempFolder folder_;
  GoldenFixture fixture_;
  std::unique_ptr<runtime::Session> session_;
};

const char* const kDecoders[] = {
    "bloom/text-generation-with-past",     "falcon/text-generation-with-past",
    "gemma2/text-generation-with-past+v5", "gpt2/text-generation-with-past",
    "gpt_neo/text-generation-with-past",   "gpt_oss/text-generation-with-past",
    "llama/text-generation-with-past",     "mistral/text-generation-with-past+sliding",
    "mpt/text-generation-with-past",       "openai-gpt/text-generation",
    "phi3/text-generation-with-past",      "qwen3_moe/text-generation-with-past"};

class Options : public testing::TestWithParam<const char*> {};

TEST_P(Options, HiddenStates) {
  const Exported exported(GetParam(), InterfaceOption::hidden_states);
  for (const GoldenCase& one : exported.cases()) {
    const NamedTensors outputs = exported.session().run(one.inputs);
    exported.expect_original(one, outputs);
    std::int64_t count = 0;
    std::vector<double> before;
    for (; const Tensor* const states = find(outputs, "hidden_states." + std::to_string(count)); ++count) {
      ASSERT_EQ(states->shape.size(), 3U);
      EXPECT_EQ(states->shape[1], find(one.inputs, "input_ids")->shape[1]);
      EXPECT_NE(states->to_doubles(), before);  // each layer changes them
      before = states->to_doubles();
    }
    EXPECT_GE(count, 3);  // the embeddings, and two layers or more
  }
}

// Rows without padding: those with padding depend on how attention is computed.
TEST_P(Options, Attentions) {
  const Exported exported(GetParam(), InterfaceOption::attentions);
  const GoldenCase& one = exported.cases().front();
  const NamedTensors outputs = exported.session().run(one.inputs);
  exported.expect_original(one, outputs);
  const bool sinks = std::string_view(GetParam()).starts_with("gpt_oss");
  for (const char* name : {"attentions.0", "attentions.1"}) {
    const Tensor* const weights = find(outputs, name);
    ASSERT_NE(weights, nullptr);
    const std::int64_t rows = weights->shape[2], keys = weights->shape[3];
    const std::vector<double> values = weights->to_doubles();
    for (std::size_t at = 0; at < values.size(); at += static_cast<std::size_t>(keys)) {
      const std::int64_t own = keys - rows + static_cast<std::int64_t>(at) / keys % rows;
      double sum = 0;
      for (std::int64_t key = 0; key < keys; ++key) {
        const double value = values[at + static_cast<std::size_t>(key)];
        sum += value;
        if (key > own) EXPECT_EQ(value, 0);
      }
      if (sinks) {
        EXPECT_LT(sum, 1);
      } else {
        EXPECT_NEAR(sum, 1, 1e-5);
      }
    }
  }
}

TEST_P(Options, NumLogitsToKeep) {
  const Exported exported(GetParam(), InterfaceOption::num_logits_to_keep);
  for (const GoldenCase& one : exported.cases()) {
    const Tensor& all = *find(one.outputs, "logits");
    const std::int64_t batch = all.shape[0], length = all.shape[1], vocab = all.shape[2];
    const std::vector<double> logits = all.to_doubles();
    for (const std::int64_t count : {0, 1, 2, 100}) {
      NamedTensors inputs = one.inputs;
      inputs.emplace_back("num_logits_to_keep", Tensor::from_ints(DType::i64, {}, std::vector{count}));
      NamedTensors outputs = exported.session().run(inputs);
      const std::int64_t kept = count == 0 ? length : std::min(count, length);
      const Tensor& got = *find(outputs, "logits");
      EXPECT_EQ(got.shape, (std::vector{batch, kept, vocab}));
      std::vector<double> want;
      for (std::int64_t row = 0; row < batch; ++row)
        want.insert(want.end(), logits.begin() + ((row + 1) * length - kept) * vocab,
                    logits.begin() + (row + 1) * length * vocab);
      Exported::expect_near(got.to_doubles(), want, "logits");
      for (auto& [name, tensor] : outputs)
        if (name == "logits") tensor = all;
      exported.expect_original(one, outputs);  // of the presents
    }
  }
}

TEST_P(Options, NarrowIntegers) {
  const Exported exported(GetParam(), [](MainExportOptions& o) { o.int_dtype = "int32"; });
  for (const GoldenCase& one : exported.cases()) {
    NamedTensors inputs = one.inputs;
    for (auto& [name, tensor] : inputs) {
      if (tensor.dtype == DType::i64) tensor = Tensor::from_ints(DType::i32, tensor.shape, tensor.to_ints());
    }
    exported.expect_original(one, exported.session().run(inputs));
  }
}

INSTANTIATE_TEST_SUITE_P(Decoders, Options, testing::ValuesIn(kDecoders), [](const auto& of) {
  std::string name = of.param;
  for (char& c : name)
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  return name;
});

// Without padding, positions are those that the model counts by itself.
TEST(InterfaceOptions, NoPositionIds) {
  for (const char* fixture :
       {"biogpt/text-generation-with-past", "gpt2/text-generation-with-past",
        "gptj/text-generation-with-past", "llama/text-generation-with-past", "opt/text-generation-with-past",
        "phi3/text-generation", "xglm/text-generation-with-past"}) {
    SCOPED_TRACE(fixture);
    const Exported exported(fixture, InterfaceOption::no_position_ids);
    EXPECT_FALSE(exported.takes("position_ids"));
    const GoldenCase& one = exported.cases().front();
    exported.expect_original(one, exported.session().run(one.inputs));
  }
}

TEST(InterfaceOptions, Together) {
  const Exported exported("llama/text-generation-with-past", [](MainExportOptions& o) {
    o.interface_options = {InterfaceOption::hidden_states, InterfaceOption::attentions,
                           InterfaceOption::num_logits_to_keep, InterfaceOption::no_position_ids};
    o.export_options.target.runtime = "ort";
    o.dtype = "fp16";
  });
  EXPECT_TRUE(exported.takes("num_logits_to_keep"));
  EXPECT_FALSE(exported.takes("position_ids"));
}

// With a mask of ones, an image is what it is without a mask.
TEST(InterfaceOptions, PixelMask) {
  for (const char* fixture : {"conditional_detr/object-detection", "deformable_detr/object-detection",
                              "detr/image-segmentation", "detr/object-detection+timmlearned",
                              "rf_detr/object-detection", "table-transformer/object-detection"}) {
    SCOPED_TRACE(fixture);
    const Exported exported(fixture, InterfaceOption::pixel_mask);
    ASSERT_TRUE(exported.takes("pixel_mask"));
    const GoldenCase& one = exported.cases().front();
    NamedTensors inputs = one.inputs;
    std::vector<std::int64_t> shape = find(inputs, "pixel_values")->shape;
    shape.erase(shape.begin() + 1);
    const std::vector<std::int64_t> ones(static_cast<std::size_t>(shape[0] * shape[1] * shape[2]), 1);
    inputs.emplace_back("pixel_mask", Tensor::from_ints(DType::i64, shape, ones));
    exported.expect_original(one, exported.session().run(inputs));
    // A mask of any size is shrunk to that of the features.
    inputs.back().second =
        Tensor::from_ints(DType::i64, {shape[0], 50, 70},
                          std::vector<std::int64_t>(static_cast<std::size_t>(shape[0] * 50 * 70), 1));
    exported.expect_original(one, exported.session().run(inputs));
  }
}

TEST(InterfaceOptions, RefuseOthers) {
  const auto refusal = [](const std::string& fixture, InterfaceOption option) {
    return complaint(ErrorCode::unsupported, [&] { Exported(fixture, option); });
  };
  EXPECT_EQ(refusal("bert/feature-extraction", InterfaceOption::hidden_states),
            "--output-hidden-states: task 'feature-extraction' of 'bert' does not have this option, which is "
            "for text decoders");
  EXPECT_EQ(refusal("gpt2/text-classification", InterfaceOption::attentions),
            "--output-attentions: task 'text-classification' of 'gpt2' does not have this option");
  EXPECT_EQ(refusal("gpt2/feature-extraction", InterfaceOption::num_logits_to_keep),
            "--num-logits-to-keep: task 'feature-extraction' of 'gpt2' has no logits of each token");
  EXPECT_EQ(refusal("bloom/text-generation", InterfaceOption::no_position_ids),
            "--no-position-ids: task 'text-generation' of 'bloom' takes no position_ids anyway");
  EXPECT_EQ(refusal("gpt2/feature-extraction", InterfaceOption::pixel_mask),
            "--with-pixel-mask: task 'feature-extraction' of 'gpt2' does not have this option, which is for "
            "detectors");
  EXPECT_EQ(refusal("vit/feature-extraction", InterfaceOption::pixel_mask),
            "--with-pixel-mask: task 'feature-extraction' of 'vit' does not have this option, which is for "
            "detectors");
  EXPECT_EQ(refusal("dab-detr/object-detection", InterfaceOption::pixel_mask),
            "--with-pixel-mask: task 'object-detection' of 'dab-detr' takes pixel_mask anyway");
}

}  // namespace
}  // namespace onnxport::test
