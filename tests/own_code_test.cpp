// Models whose repository brings code of its own, and keys that only such code reads.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "golden_fixture.h"
#include "run_program.h"
#include "support/file.h"
#include "support/json.h"
#include "support/temp_folder.h"

namespace onnxport::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int kConfig = 3;

/// An export of a fixture with more keys in config.json.
class OwnCode : public testing::Test {
 protected:
  void make(const std::string& fixture, const json& keys) const {
    fs::remove_all(model());
    synthesize(read_fixture(fixture), model());
    json config = parse_json<json>(read_text_file(model() / "config.json"));
    config.update(keys);
    std::ofstream(model() / "config.json") << config.dump();
  }
  ProgramResult run(std::vector<std::string> more = {}) const {
    fs::remove_all(out());
    more.insert(more.begin(), {"export", "onnx", "--no-validate", "-m", model(), out()});
    return run_program(more);
  }
  void expect_notice(const std::string& text, bool there = true) const {
    const ProgramResult result = run();
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_EQ(result.err.find(text) != std::string::npos, there) << text << "\nin: " << result.err;
  }
  fs::path model() const { return temp_.path() / "model"; }
  fs::path out() const { return temp_.path() / "out"; }

  TempFolder temp_;
};

TEST_F(OwnCode, IsNamedInANotice) {
  make("bert/fill-mask", {{"auto_map",
                           {{"AutoConfig", "configuration_bert.BertConfig"},
                            {"AutoModelForMaskedLM", "bert_layers.BertForMaskedLM"},
                            {"AutoTokenizer", "tokenization_own.Tokenizer"}}}});
  expect_notice(
      "auto_map names code of the repository's own (configuration_bert.BertConfig, "
      "bert_layers.BertForMaskedLM)");
  expect_notice("the class 'bert' of transformers");
  // Neither code for tokens nor code for another framework computes what is exported.
  make("bert/fill-mask", {{"auto_map", {{"AutoTokenizer", "t.T"}, {"FlaxAutoModel", "f.F"}}}});
  expect_notice("auto_map", false);
}

TEST_F(OwnCode, AttendingInBothDirectionsIsRefusedInADecoder) {
  const json map = {{"AutoModel", "modeling_qwen.Qwen2Model"}};
  make("qwen2/feature-extraction", {{"auto_map", map}, {"is_causal", false}});
  expect_failure(run(), kConfig, {"sets is_causal = false", "both directions", "'qwen2' is causal"});
  EXPECT_EQ(run({"--ignore-unexpected"}).status, 0);
  make("qwen2/feature-extraction", {{"is_causal", true}});
  EXPECT_EQ(run().status, 0);
  make("qwen2/feature-extraction", {{"use_bidirectional_attention", true}});
  expect_failure(run(), kConfig, {"sets use_bidirectional_attention = true"});
  // Generation is causal, and what the definition reads is no contradiction.
  make("qwen2/text-generation", {{"auto_map", map}, {"is_causal", false}});
  expect_notice("ignored keys that the class does not declare: is_causal");
  make("gemma3_text/feature-extraction+bidirectional", json::object());
  EXPECT_EQ(run().status, 0);
  make("bert/feature-extraction", {{"is_causal", false}});
  EXPECT_EQ(run().status, 0);
}

TEST_F(OwnCode, AttendingInBothDirectionsIsRefusedInSentenceTransformersToo) {
  make("qwen2/feature-extraction", {{"is_causal", false}});
  std::ofstream(model() / "modules.json") << R"([
    {"path": "", "type": "sentence_transformers.models.Transformer"},
    {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}])";
  fs::create_directories(model() / "1_Pooling");
  std::ofstream(model() / "1_Pooling/config.json") << R"({"pooling_mode": "lasttoken"})";
  expect_failure(run(), kConfig, {"sets is_causal = false"});
}

}  // namespace
}  // namespace onnxport::test
