// Real models in half precision: what a runtime refuses or rounds away shows in whole graphs only.
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "golden_fixture.h"
#include "onnxport/export.h"
#include "onnxport/inspect.h"
#include "runtime/session.h"
#include "support/temp_folder.h"

namespace onnxport::test {
namespace {

// The checkpoint of a fixture, and its exports.
class Exported {
 public:
  explicit Exported(const std::string& name) : fixture_(read_fixture(name)) {
    std::filesystem::create_directory(checkpoint());
    synthesize(fixture_, checkpoint());
  }

  std::filesystem::path checkpoint() const { return folder_.path() / "checkpoint"; }
  std::filesystem::path file(const std::string& stem) const {
    return folder_.path() / "out" / (stem + ".onnx");
  }

  ExportReport run(const std::string& dtype, bool validate = true) const {
    return main_export({.model = checkpoint(),
                        .output = folder_.path() / "out",
                        .task = fixture_.task,
                        .dtype = dtype,
                        .library = fixture_.library,
                        .variant = fixture_.variant,
                        .non_finite = has_open_places() ? NonFinite::allow : NonFinite::fail,
                        .split = fixture_.monolith ? Split::monolith : Split::merged,
                        .validate = validate});
  }

 private:
  // These give minus infinity where a text has no token.
  bool has_open_places() const { return fixture_.task == "zero-shot-object-detection"; }

  TempFolder folder_;
  GoldenFixture fixture_;
};

class HalfPrecision : public testing::TestWithParam<std::tuple<std::string, const char*>> {};

TEST_P(HalfPrecision, LoadsAndMatchesTheInterpreter) {
  const auto& [name, dtype] = GetParam();
  const ExportReport report = Exported(name).run(dtype);
  ASSERT_FALSE(report.validation.empty());
  for (const ValidationReport& one : report.validation) EXPECT_TRUE(one.passed()) << to_string(one);
}

std::string fixture_name(const testing::TestParamInfo<std::tuple<std::string, const char*>>& info) {
  std::string name = std::get<0>(info.param) + "_" + std::get<1>(info.param);
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  }
  return name;
}

// One of each type. In Gemma 4, each layer norms what a handful of numbers say of a token, which may be next
// to nothing.
std::vector<std::string> fixtures() {
  std::vector<std::string> names = fixture_of_each_type();
  std::replace(names.begin(), names.end(), std::string("gemma4/image-text-to-text-with-past"),
               std::string("gemma4/image-text-to-text-with-past+hub_moe_keqv"));
  return names;
}

INSTANTIATE_TEST_SUITE_P(Types, HalfPrecision,
                         testing::Combine(testing::ValuesIn(fixtures()), testing::Values("fp16", "bf16")),
                         fixture_name);

// Rotated axes in front of a product; scales and norms that are folded into layers; statistics and sums over
// places; experts; poolings.
INSTANTIATE_TEST_SUITE_P(
    Fixtures, HalfPrecision,
    testing::Combine(testing::Values("deberta-v2/feature-extraction", "deberta-v2/feature-extraction+conv",
                                     "convnext/feature-extraction", "convnextv2/feature-extraction",
                                     "dpt/depth-estimation", "mixtral/feature-extraction",
                                     "t5/text2text-generation", "t5/text2text-generation-with-past+gated",
                                     "modernbert/text-classification+mean",
                                     "sentence-transformers/feature-extraction+all",
                                     "wav2vec2/audio-xvector"),
                     testing::Values("fp16")),
    fixture_name);

// ---- what originals keep in float32, or clamp, in float16 ----

std::int64_t count(const GraphSummary& graph, const std::string& op_type) {
  std::int64_t found = 0;
  for (const NodeSummary& node : graph.nodes) {
    found += node.op_type == op_type ? 1 : 0;
    for (const SubgraphSummary& inner : node.graphs) found += count(inner.graph, op_type);
  }
  return found;
}

struct Clamped {
  const char* fixture;
  std::int64_t clips;  // of the encoder in float16: one for each layer, or the first attention of T5
};

class ClampHalf : public testing::TestWithParam<Clamped> {};

TEST_P(ClampHalf, ClampsTheLayersOfTheEncoderInFloat16Alone) {
  const Exported model(GetParam().fixture);
  const std::map<std::string, std::int64_t> clips = {{"fp16", GetParam().clips}, {"bf16", 0}, {"fp32", 0}};
  for (const auto& [dtype, expected] : clips) {
    model.run(dtype, false);
    EXPECT_EQ(count(summarize(model.file("encoder_model")).graph, "Clip"), expected) << dtype;
  }
}

std::string type_name(const testing::TestParamInfo<Clamped>& info) {
  const std::string name = info.param.fixture;
  return name.substr(0, name.find('/'));
}

INSTANTIATE_TEST_SUITE_P(
    Fixtures, ClampHalf,
    testing::Values(Clamped{"bart/text2text-generation", 2}, Clamped{"mbart/text2text-generation", 2},
                    Clamped{"marian/text2text-generation", 2}, Clamped{"m2m_100/text2text-generation", 2},
                    Clamped{"whisper/automatic-speech-recognition", 2},
                    Clamped{"speech_to_text/automatic-speech-recognition", 2},
                    Clamped{"t5/text2text-generation", 1}, Clamped{"mt5/text2text-generation", 1}),
    type_name);

// Types of the weights whose name ends like this, by dtype of the export.
std::map<std::string, std::string> types_of(const Exported& model, const std::string& stem,
                                            const std::string& part) {
  std::map<std::string, std::string> types;
  for (const char* dtype : {"fp16", "bf16"}) {
    model.run(dtype, false);
    for (const InitializerSummary& one : summarize(model.file(stem)).graph.initializers) {
      if (one.name.find(part) != std::string::npos) types[dtype] = one.type;
    }
  }
  return types;
}

TEST(KeepInFloat32, T5KeepsTheOutputOfItsFeedForwards) {
  const Exported model("t5/text2text-generation");
  const std::map<std::string, std::string> expected = {{"fp16", "float32"}, {"bf16", "bfloat16"}};
  EXPECT_EQ(types_of(model, "encoder_model", ".wo."), expected);
  EXPECT_EQ(types_of(model, "decoder_model", ".wo."), expected);
}

// With these weights, a float16 sum over the layers passes 65504, and the original does not.
TEST(KeepInFloat32, T5StaysFiniteWithLargeSums) {
  const Exported model("t5/text2text-generation-with-past+gated");
  const std::filesystem::path file = model.checkpoint() / "model.safetensors";
  NamedTensors tensors = read_safetensors(file);
  for (auto& [name, tensor] : tensors) {
    if (name.find(".wo.") == std::string::npos) continue;
    std::vector<double> values = tensor.to_doubles();
    for (double& value : values) value *= 1e6;
    tensor = Tensor::from_doubles(tensor.dtype, tensor.shape, values);
  }
  write_safetensors(file, tensors);
  for (const ValidationReport& report : model.run("fp16").validation) {
    for (const ValidationCase& one : report.cases) {
      for (const OutputComparison& output : one.outputs) {
        EXPECT_TRUE(output.passed) << to_string(report);
        EXPECT_EQ(output.reference_non_finite, 0) << to_string(report);
      }
    }
  }
}

}  // namespace
}  // namespace onnxport::test
