// Models of two architectures: what goes together, and what is said when it does not.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "golden_fixture.h"
#include "onnxport/error.h"
#include "onnxport/export.h"
#include "onnxport/inspect.h"
#include "onnxport/tasks_manager.h"
#include "support/temp_folder.h"

namespace onnxport::test {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

/// A checkpoint of a fixture whose configuration a test may change.
class EncoderDecoder : public testing::Test {
 protected:
  void take(const std::string& fixture) {
    fs::remove_all(checkpoint);
    synthesize(read_fixture(fixture), checkpoint);
    std::ifstream(checkpoint / "config.json") >> config;
  }
  std::string infer() {
    write();
    return TasksManager::instance().infer_task_from_model(checkpoint);
  }
  /// What an export complains about; empty when it does not.
  std::string complaint(const std::string& task = "text2text-generation") {
    write();
    try {
      main_export({.model = checkpoint, .output = folder.path() / "out", .task = task, .validate = false});
    } catch (const ExportError& error) {
      code = error.code();
      return error.what();
    }
    return {};
  }
  void write() const { std::ofstream(checkpoint / "config.json") << config.dump(); }

  TempFolder folder;
  const fs::path checkpoint = folder.path() / "checkpoint";
  json config;
  ErrorCode code = ErrorCode::internal;
};

const char* const kBertBert = "encoder-decoder/text2text-generation+bert2bert";
const char* const kBertGpt2 = "encoder-decoder/text2text-generation-with-past+bert2gpt2";

TEST_F(EncoderDecoder, HasTheTaskWithPastWhereItsDecoderKeepsACache) {
  take(kBertGpt2);
  EXPECT_EQ(infer(), "text2text-generation-with-past");
  take(kBertBert);
  EXPECT_EQ(infer(), "text2text-generation");
  EXPECT_NE(complaint("text2text-generation-with-past").find("supported: text2text-generation"),
            std::string::npos);
  EXPECT_EQ(code, ErrorCode::unsupported);
}

TEST_F(EncoderDecoder, RefusesTypesThatAreNoPart) {
  take(kBertGpt2);
  config["decoder"]["model_type"] = "llama";
  const std::string said = complaint();
  EXPECT_NE(
      said.find("decoder is of type 'llama', which does not offer the role 'cross decoder'; types that do: "
                "bart, bert, "),
      std::string::npos)
      << said;
  EXPECT_EQ(code, ErrorCode::unsupported);
  config["decoder"]["model_type"] = "boat";
  EXPECT_NE(complaint().find("decoder is of type 'boat', which does not offer"), std::string::npos);
  take(kBertGpt2);
  config["encoder"]["model_type"] = "trocr";
  EXPECT_NE(complaint().find("encoder is of type 'trocr', which does not offer the role 'text model'"),
            std::string::npos);
  config.erase("encoder");
  EXPECT_NE(complaint().find("encoder"), std::string::npos);
  EXPECT_EQ(code, ErrorCode::bad_config);
}

TEST_F(EncoderDecoder, AccountsForTheKeysOfItsParts) {
  const auto refuses = [&](const char* part, const char* key, const json& value, const std::string& words,
                           ErrorCode expected) {
    take(kBertBert);
    config[part][key] = value;
    const std::string said = complaint();
    EXPECT_NE(said.find(words), std::string::npos) << part << '.' << key << ": " << said;
    EXPECT_EQ(code, expected) << said;
  };
  refuses("decoder", "is_decoder", false, "decoder.is_decoder is false", ErrorCode::bad_config);
  refuses("decoder", "add_cross_attention", false, "decoder.add_cross_attention is false",
          ErrorCode::bad_config);
  refuses("decoder", "cross_attention_hidden_size", 7, "expected the encoder's hidden_size 32",
          ErrorCode::bad_config);
  refuses("decoder", "position_embedding_type", "relative_key", "position_embedding_type",
          ErrorCode::unsupported);
  refuses("encoder", "is_decoder", true, "encoder.is_decoder = true", ErrorCode::bad_config);
  refuses("decoder", "pruned_heads", json{{"0", {1}}}, "decoder.pruned_heads", ErrorCode::bad_config);
  refuses("decoder", "num_attention_heads", 0, "num_attention_heads' is 0", ErrorCode::bad_config);
  take(kBertBert);
  config["_attn_implementation"] = "eager";
  EXPECT_NE(complaint().find("set it inside 'encoder'"), std::string::npos);
  EXPECT_EQ(code, ErrorCode::unsupported);
}

TEST_F(EncoderDecoder, NamesTensorsThatNoPartKnows) {
  take(kBertBert);
  config["decoder"]["num_hidden_layers"] = 1;
  EXPECT_NE(complaint().find("unexpected tensors in model.safetensors: decoder.bert.encoder.layer.1."),
            std::string::npos)
      << complaint();
  EXPECT_EQ(code, ErrorCode::bad_checkpoint);
}

TEST_F(EncoderDecoder, MergesADecoderThatKeepsOnlyItsOwnTokens) {
  take(kBertGpt2);
  EXPECT_EQ(complaint("auto"), "");
  const ModelSummary merged = summarize(folder.path() / "out" / "decoder_model_merged.onnx");
  std::vector<std::string> names;
  for (const ValueSummary& output : merged.graph.outputs) names.push_back(output.name);
  EXPECT_EQ(names, (std::vector<std::string>{"logits", "present.0.key", "present.0.value", "present.1.key",
                                             "present.1.value"}));
}

}  // namespace
}  // namespace onnxport::test
