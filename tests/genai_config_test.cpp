// The settings that onnxruntime-genai reads. tests/clients/genai lets it read them.
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "layout_checkpoint.h"
#include "support/json.h"

namespace onnxport::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using Checkpoint = LayoutCheckpoint;

constexpr const char* kLlama = "llama/text-generation-with-past";

TEST(GenaiConfig, ComesFromTheInterfaceAndTheCheckpoint) {
  const json settings = Checkpoint(kLlama).settings();
  const json& model = settings["model"];
  EXPECT_EQ(model["type"], "llama");
  EXPECT_EQ(model["bos_token_id"], 1);
  EXPECT_EQ(model["eos_token_id"], 2);
  EXPECT_EQ(model["pad_token_id"], 0);
  EXPECT_EQ(model["vocab_size"], 99);
  EXPECT_EQ(model["context_length"], 64);
  const json& decoder = model["decoder"];
  EXPECT_EQ(decoder["filename"], "model.onnx");
  EXPECT_EQ(decoder["num_hidden_layers"], 2);
  EXPECT_EQ(decoder["num_attention_heads"], 4);
  EXPECT_EQ(decoder["num_key_value_heads"], 2);
  EXPECT_EQ(decoder["head_size"], 8);
  EXPECT_EQ(decoder["hidden_size"], 32);
  EXPECT_EQ(decoder["inputs"], (json{{"input_ids", "input_ids"},
                                     {"attention_mask", "attention_mask"},
                                     {"position_ids", "position_ids"},
                                     {"past_key_names", "past_key_values.%d.key"},
                                     {"past_value_names", "past_key_values.%d.value"}}));
  EXPECT_EQ(decoder["outputs"], (json{{"logits", "logits"},
                                      {"present_key_names", "present.%d.key"},
                                      {"present_value_names", "present.%d.value"}}));
  EXPECT_EQ(settings["search"]["past_present_share_buffer"], false);
  EXPECT_EQ(settings["search"]["max_length"], 64);
}

TEST(GenaiConfig, GivesOtherTypesTheGeneralName) {
  EXPECT_EQ(Checkpoint("mixtral/text-generation-with-past").settings()["model"]["type"], "decoder");
  // The client's own gpt2 wants keys and values in one tensor.
  EXPECT_EQ(Checkpoint("gpt2/text-generation-with-past").settings()["model"]["type"], "decoder");
  const json bloom = Checkpoint("bloom/text-generation-with-past").settings()["model"];
  EXPECT_FALSE(bloom["decoder"]["inputs"].contains("position_ids"));
  EXPECT_EQ(bloom["context_length"], 2048);  // no table of positions
}

TEST(GenaiConfig, ReadsTheLengthOfTrainingWithoutATableOfPositions) {
  const Checkpoint bloom("bloom/text-generation-with-past");
  bloom.edit("config.json", [](json& config) { config["seq_length"] = 512; });
  EXPECT_EQ(bloom.settings()["model"]["context_length"], 512);
}

TEST(GenaiConfig, PrefersTheGenerationConfig) {
  const Checkpoint llama(kLlama);
  llama.write("generation_config.json", {{"eos_token_id", {2, 98, 200}},
                                         {"pad_token_id", nullptr},
                                         {"do_sample", true},
                                         {"temperature", 0.6},
                                         {"top_k", 1000},
                                         {"top_p", 0.9}});
  llama.edit("config.json", [](json& config) { config["pad_token_id"] = 5; });
  json settings = llama.settings();
  EXPECT_EQ(settings["model"]["eos_token_id"], (json{2, 98}));  // the model cannot predict 200
  EXPECT_EQ(settings["model"]["pad_token_id"], 5);
  EXPECT_EQ(settings["search"]["do_sample"], true);
  EXPECT_EQ(settings["search"]["temperature"], 0.6);
  EXPECT_EQ(settings["search"]["top_k"], 99);  // all tokens; the client refuses more
  EXPECT_EQ(settings["search"]["top_p"], 0.9);
  llama.edit("config.json", [](json& config) { config["pad_token_id"] = nullptr; });
  EXPECT_EQ(llama.settings()["model"]["pad_token_id"], 2);  // the first that ends a sequence
}

TEST(GenaiConfig, AddsTheTokenThatEndsATurn) {
  const Checkpoint llama(kLlama);
  llama.write("tokenizer_config.json", {{"eos_token", {{"content", "<|end|>"}}},
                                        {"added_tokens_decoder", {{"7", {{"content", "<|end|>"}}}}}});
  EXPECT_EQ(llama.settings()["model"]["eos_token_id"], (json{7, 2}));
  llama.write("tokenizer_config.json", {{"eos_token", "<|end|>"}});
  EXPECT_EQ(llama.settings()["model"]["eos_token_id"], 2);
  llama.write("added_tokens.json", {{"<|end|>", 9}});
  EXPECT_EQ(llama.settings()["model"]["eos_token_id"], (json{9, 2}));
}

TEST(GenaiConfig, NeedsATokenThatEndsASequence) {
  const Checkpoint llama(kLlama);
  llama.write("generation_config.json", json::object());
  llama.edit("config.json", [](json& config) { config["eos_token_id"] = nullptr; });
  const std::string missing = complaint(ErrorCode::bad_config, [&] { llama.settings(); });
  EXPECT_TRUE(contains(missing, "eos_token_id is missing, expected a token from 0 to 98")) << missing;
  llama.edit("config.json", [](json& config) { config["eos_token_id"] = 99; });
  const std::string beyond = complaint(ErrorCode::bad_config, [&] { llama.settings(); });
  EXPECT_TRUE(contains(beyond, "eos_token_id is 99, expected a token from 0 to 98")) << beyond;
  complaint(ErrorCode::bad_config, [&] { main_export(llama.options()); });
  EXPECT_FALSE(fs::exists(llama.out()));  // nothing is half written
}

TEST(GenaiConfig, EveryDecoderHasOneUnlessItHasOtherStates) {
  std::size_t count = 0;
  std::string refused;
  for (const std::string& name : golden_fixtures()) {
    const bool decoder = contains(name, "/text-generation-with-past");
    if (!decoder || !is_first_of_task(name)) continue;
    SCOPED_TRACE(name);
    try {
      const json settings = Checkpoint(name).settings();
      EXPECT_GT(settings["model"]["decoder"]["head_size"], 0);
      ++count;
    } catch (const ExportError& error) {  // it has states that the client cannot hold, or other inputs
      EXPECT_EQ(error.code(), ErrorCode::unsupported) << error.what();
      EXPECT_TRUE(contains(error.what(), "the client")) << error.what();
      refused += name + " ";
    }
  }
  EXPECT_GE(count, 65U) << refused;
}

TEST(GenaiConfig, IsBesideTheModelItNames) {
  const Checkpoint llama(kLlama);
  const ExportReport report = main_export(llama.options());
  const json settings = parse_json<json>(read_text_file(llama.out() / "genai_config.json"));
  const std::string file = settings["model"]["decoder"]["filename"];
  EXPECT_TRUE(fs::exists(llama.out() / file));
  EXPECT_TRUE(std::any_of(report.files.begin(), report.files.end(), [](const ExportedFile& one) {
    return one.path.filename() == "genai_config.json" && one.bytes > 0;
  }));
  MainExportOptions optimum = llama.options();
  optimum.layout = "optimum";
  optimum.output = llama.path().parent_path() / "plain";
  main_export(optimum);
  EXPECT_FALSE(fs::exists(optimum.output / "genai_config.json"));
}

}  // namespace
}  // namespace onnxport::test
