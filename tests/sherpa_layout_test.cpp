// Tables of symbols and settings for sherpa-onnx. tests/clients/sherpa runs the client.
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "layout/sherpa.h"
#include "layout/sherpa_tokens.h"
#include "layout_checkpoint.h"
#include "onnxport/inspect.h"

namespace onnxport::test {
namespace {

using nlohmann::json;

constexpr const char* kCtc = "parakeet_ctc/automatic-speech-recognition";
constexpr const char* kWhisper = "whisper/automatic-speech-recognition-with-past";

class Checkpoint : public LayoutCheckpoint {
 public:
  explicit Checkpoint(const std::string& fixture) : LayoutCheckpoint(fixture, "sherpa") {}
};

void write_tokenizer(const Checkpoint& checkpoint, const json& vocab, const json& added) {
  checkpoint.write("tokenizer.json", {{"model", {{"vocab", vocab}}}, {"added_tokens", added}});
}

std::string complaint_about(const Checkpoint& checkpoint) {
  return complaint(ErrorCode::bad_config, [&] { layout::sherpa_tokens(checkpoint.plan()); });
}

TEST(SherpaTokens, AreBytes) {
  EXPECT_EQ(layout::base64(""), "");
  EXPECT_EQ(layout::base64("a"), "YQ==");
  EXPECT_EQ(layout::base64("ab"), "YWI=");
  EXPECT_EQ(layout::base64("abc"), "YWJj");
  EXPECT_EQ(layout::byte_level_text("\u0120the"), " the");
  EXPECT_EQ(layout::byte_level_text("\u00C3\u00A9"), "\u00E9");  // two bytes of one character
  EXPECT_EQ(layout::byte_level_text("\u2581x"), "\u2581x");
  EXPECT_EQ(layout::piece_text("\u2581a\u2581"), " a ");
  EXPECT_EQ(layout::piece_text("<0x0A>"), "\n");
  EXPECT_EQ(layout::piece_text("<0xZZ>"), "<0xZZ>");
}

TEST(SherpaTokens, NameTheBlank) {
  const Checkpoint checkpoint(kCtc);
  json pieces = json::array();
  for (int i = 0; i < 29; ++i) pieces.push_back({"t" + std::to_string(i), -1.5});
  write_tokenizer(checkpoint, pieces, json::array({{{"id", 29}, {"content", "<pad>"}}}));
  const std::string table = layout::sherpa_tokens(checkpoint.plan());
  EXPECT_TRUE(table.starts_with("t0 0\nt1 1\n")) << table;
  EXPECT_TRUE(table.ends_with("t28 28\n<blk> 29\n")) << table;
}

TEST(SherpaTokens, OfAnInvalidTokenizerAreAnError) {
  const Checkpoint checkpoint(kCtc);
  EXPECT_TRUE(contains(complaint_about(checkpoint), "tokenizer.json: no such file"));
  write_tokenizer(checkpoint, {{"a", "1"}}, json::array());
  EXPECT_TRUE(contains(complaint_about(checkpoint), "the id of 'a' is \"1\", expected an integer from 0"));
  write_tokenizer(checkpoint, json::array({1}), json::array());
  EXPECT_TRUE(contains(complaint_about(checkpoint), "entry 0 of vocab is 1"));
  write_tokenizer(checkpoint, 5, json::array());
  EXPECT_TRUE(contains(complaint_about(checkpoint), "vocab is neither a table nor a list"));
  write_tokenizer(checkpoint, json::object(), json::array({{{"id", 3}}}));
  EXPECT_TRUE(contains(complaint_about(checkpoint), "expected a token with its content"));
  std::ofstream(checkpoint.file("tokenizer.json")) << "{";
  EXPECT_TRUE(contains(complaint_about(checkpoint), "tokenizer.json: line 1, column 2: broken json"));
  checkpoint.write("tokenizer.json", json::array());
  EXPECT_TRUE(contains(complaint_about(checkpoint), "there is no model.vocab"));
}

TEST(SherpaLayout, WritesSettingsOfParakeet) {
  const Checkpoint checkpoint(kCtc);
  write_tokenizer(checkpoint, {{"a", 0}}, json::array());
  main_export(checkpoint.options());
  const auto metadata = summarize(checkpoint.out() / "model.onnx").metadata;
  const std::map<std::string, std::string> found(metadata.begin(), metadata.end());
  EXPECT_EQ(found.at("vocab_size"), "30");
  EXPECT_EQ(found.at("subsampling_factor"), "4");
  EXPECT_EQ(found.at("normalize_type"), "per_feature");
}

TEST(SherpaLayout, NeedsTheTokensOfWhisper) {
  const Checkpoint checkpoint(kWhisper);
  write_tokenizer(checkpoint, {{"a", 0}}, json::array({{{"id", 1}, {"content", "<|startoftranscript|>"}}}));
  const std::string said = complaint(ErrorCode::bad_config, [&] { main_export(checkpoint.options()); });
  EXPECT_TRUE(contains(said, "tokenizer.json: there is no token '<|transcribe|>'")) << said;
}

}  // namespace
}  // namespace onnxport::test
