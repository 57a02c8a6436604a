/// GGUF files as checkpoints: names, changes and configurations.
#include "exporter/gguf_model.h"

#include <gtest/gtest.h>

#include <bit>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "gguf_bytes.h"
#include "ir/weight_packed.h"
#include "onnxport/error.h"
#include "onnxport/tasks_manager.h"
#include "support/file.h"
#include "test_paths.h"

namespace onnxport::test {
namespace {

namespace fs = std::filesystem;

/// A registry with one type, whose layers have a matrix to turn and two experts.
class GgufModelTest : public GgufTest {
 protected:
  GgufModelTest() {
    ModelDefinition definition{.model_type = "tiny",
                               .tasks = {"feature-extraction"},
                               .forward = [](const auto&...) { return NamedValues(); }};
    definition.onnx_config = [](const auto&...) { return nullptr; };
    definition.gguf = GgufLayout{
        .architecture = "small",
        .original_class = "TinyModel",
        .tensors =
            [](const PretrainedConfig&) {
              return std::vector<GgufTensor>{
                  {"token_embd", "embed"},
                  {"blk.{}.turn", "layers.{}.turn", [](const Weight& w) { return w.permute({1, 0}); }},
                  {"blk.{}.heads", "layers.{}.heads",
                   [](const Weight& w) {
                     return w.reshape({2, 2, 2, w.shape()[1]}).permute({0, 2, 1, 3}).reshape(w.shape());
                   }},
                  {"blk.{}.exps", "layers.{}.experts.{}.up"},
                  {"derived", ""}};
            },
        .config_keys = {{"block_count", "num_layers"}, {"eps", "norm_eps"}, {"flag", "flag"}},
        .more_config =
            [](const GgufInfo& info) {
              return std::map<std::string, std::string>{
                  {"two", info.has_tensor("derived.weight") ? "2" : "null"}};
            }};
    tasks_.register_definition(definition);
    definition.model_type = "other";
    definition.gguf.reset();
    tasks_.register_definition(definition);
  }

  Writer tiny() const {
    Writer file;
    file.with("general.architecture", str, text("small"))
        .with("small.block_count", u32, le(1, 4))
        .with("small.eps", f32, le(std::bit_cast<std::uint32_t>(1e-5F), 4))
        .with("small.flag", boolean, le(1, 1))
        .with("tokenizer.ggml.tokens", array, array_of(str, 3, text("a") + text("b") + text("c")))
        .with("tokenizer.ggml.padding_token_id", u32, le(2, 4));
    file.tensor("token_embd.weight", {2, 3}, 0, floats({0, 1, 2, 3, 4, 5}))
        .tensor("blk.0.turn.weight", {3, 2}, 0, floats({0, 1, 2, 3, 4, 5}))
        .tensor("blk.0.exps.weight", {2, 1, 2}, 0, floats({0, 1, 2, 3}))
        .tensor("derived.weight", {1}, 0, floats({1}))
        .tensor("blk.0.surprise", {1}, 0, floats({1}));
    return file;
  }

  TasksManager tasks_;
};

TEST_F(GgufModelTest, NamesAndChanges) {
  const fs::path path = write("tiny.gguf", tiny().bytes());
  const PretrainedConfig config = exporter::read_config(tasks_, path);
  const auto checkpoint = exporter::restore(*Checkpoint::open(path), *tasks_.get_definition("tiny"), config);
  EXPECT_EQ(checkpoint->keys(),
            (std::vector<std::string>{"blk.0.surprise", "embed.weight", "layers.0.experts.0.up.weight",
                                      "layers.0.experts.1.up.weight", "layers.0.turn.weight"}));
  const auto weight = [&](const char* key) { return checkpoint->weight(*checkpoint->find(key)); };
  EXPECT_EQ(weight("layers.0.turn.weight").shape(), (Dims{3, 2}));
  EXPECT_EQ(weight("layers.0.turn.weight").to_doubles(), (std::vector<double>{0, 3, 1, 4, 2, 5}));
  EXPECT_EQ(weight("layers.0.turn.weight").name(), "layers.0.turn.weight");
  const Weight expert = weight("layers.0.experts.1.up.weight");
  EXPECT_NE(expert.view(), nullptr);  // still bytes of the file
  EXPECT_EQ(expert.shape(), (Dims{1, 2}));
  EXPECT_EQ(expert.to_doubles(), (std::vector<double>{2, 3}));
}

TEST_F(GgufModelTest, CodesMoveWithTheirRows) {
  std::string blocks;
  for (int row = 0; row < 8; ++row) {
    blocks += le(0x3C00 + static_cast<std::uint64_t>(row), 2);  // the scale, about 1
    for (int i = 0; i < 32; ++i) blocks += static_cast<char>(row * 16 + i);
  }
  Writer file = tiny();
  file.tensor("blk.0.heads.weight", {32, 8}, 8, blocks).tensor("blk.1.turn.weight", {32, 8}, 8, blocks);
  const fs::path path = write("tiny.gguf", file.bytes());
  const PretrainedConfig config = exporter::read_config(tasks_, path);
  const auto checkpoint = exporter::restore(*Checkpoint::open(path), *tasks_.get_definition("tiny"), config);
  const auto weight = [&](const char* key) { return checkpoint->weight(*checkpoint->find(key)); };
  const Weight heads = weight("layers.0.heads.weight");
  const auto packed = packed_of(heads);
  ASSERT_NE(packed, nullptr);
  EXPECT_EQ(affine(*packed).to_doubles(), heads.to_doubles());
  EXPECT_EQ(packed->codes.to_ints().at(32), 2 * 16 + 128);  // row 1 was row 2
  EXPECT_EQ(packed_of(weight("layers.1.turn.weight")), nullptr);
  EXPECT_NE(packed_of(weight("layers.1.turn.weight").permute({1, 0})), nullptr);
}

TEST_F(GgufModelTest, ConfigurationFromMetadata) {
  const fs::path path = write("tiny.gguf", tiny().bytes());
  const auto check = [&](const fs::path& from) {
    const PretrainedConfig config = exporter::read_config(tasks_, from);
    EXPECT_TRUE(exporter::is_made(config));
    EXPECT_EQ(config.model_type(), "tiny");
    EXPECT_EQ(config.architectures(), std::vector<std::string>{"TinyModel"});
    EXPECT_EQ(config.integer("num_layers"), 1);
    EXPECT_EQ(config.real("norm_eps"), 1e-5);
    EXPECT_TRUE(config.flag("flag"));
    EXPECT_TRUE(config.flag("tie_word_embeddings"));
    EXPECT_EQ(config.integer("vocab_size"), 3);
    EXPECT_EQ(config.integer("pad_token_id"), 2);
    EXPECT_EQ(config.integer("two"), 2);
    EXPECT_EQ(exporter::gguf_notices(*Checkpoint::open(path)->gguf(), config, folder()).size(), 2U);
  };
  check(path);
  check(folder());
  write("config.json", R"({"model_type": "tiny"})");  // as some published folders have it
  check(folder());
  write("config.json", R"({"model_type": "tiny", "num_layers": 5})");
  EXPECT_EQ(exporter::read_config(tasks_, folder()).integer("num_layers"), 5);
  EXPECT_FALSE(exporter::is_made(exporter::read_config(tasks_, path)));
}

TEST_F(GgufModelTest, WhatDoesNotFit) {
  const fs::path path = write("tiny.gguf", tiny().bytes());
  const auto stored = Checkpoint::open(path);
  const auto restore = [&](const char* type, ErrorCode code) {
    const auto config = PretrainedConfig::from_json("{}", "config.json", type);
    return error_of([&] { exporter::restore(*stored, *tasks_.get_definition(type), config); }, code);
  };
  EXPECT_NE(
      restore("other", ErrorCode::unsupported).find("GGUF files of model type 'other' are not supported"),
      std::string::npos);
  Writer foreign;
  foreign.with("general.architecture", str, text("large"));
  write("tiny.gguf", foreign.bytes());
  EXPECT_EQ(
      error_of([&] { exporter::read_config(tasks_, path); }, ErrorCode::unsupported),
      path.string() + " has the architecture 'large'; onnxport reads GGUF files of the model types tiny");
  const auto config = PretrainedConfig::from_json("{}", "config.json", "tiny");
  EXPECT_EQ(
      error_of([&] { exporter::restore(*Checkpoint::open(path), *tasks_.get_definition("tiny"), config); }),
      path.string() +
          " has the architecture 'large', expected 'small' for the model type 'tiny' of "
          "config.json");
  Writer flat;
  flat.with("general.architecture", str, text("small"))
      .tensor("blk.0.turn.weight", {4}, 0, std::string(16, '\0'));
  write("tiny.gguf", flat.bytes());
  EXPECT_NE(error_of([&] {
              exporter::restore(*Checkpoint::open(path), *tasks_.get_definition("tiny"), config);
            }).find("tensor 'blk.0.turn.weight' of tiny.gguf does not fit the configuration config.json: "),
            std::string::npos);
  Writer scalar;
  scalar.with("general.architecture", str, text("small")).tensor("blk.0.turn.weight", {}, 0, "abcd");
  write("tiny.gguf", scalar.bytes());
  EXPECT_EQ(
      error_of([&] { exporter::restore(*Checkpoint::open(path), *tasks_.get_definition("tiny"), config); }),
      "tensor 'blk.0.turn.weight' of tiny.gguf has no axes");
}

// Each type that says it is read from GGUF files has names for them that do not contradict each other.
TEST(GgufLayoutTest, NamesAreUnambiguous) {
  std::size_t count = 0;
  for (const auto& definition : TasksManager::instance().definitions()) {
    if (!definition->gguf) continue;
    ++count;
    const auto config = PretrainedConfig::from_json("{}", "config.json", definition->model_type);
    std::set<std::string> names;
    for (const GgufTensor& tensor : definition->gguf->tensors(config)) {
      EXPECT_TRUE(names.insert(tensor.name).second) << definition->model_type << ": " << tensor.name;
    }
    EXPECT_GE(names.size(), 9U) << definition->model_type;
  }
  EXPECT_GE(count, 66U);
}

// The page of the command line lists these types.
TEST(GgufLayoutTest, DocumentedTypes) {
  const std::string page = read_text_file(source_dir() + "/docs/cli.md");
  const std::size_t begin = page.find("- Model types: ");
  ASSERT_NE(begin, std::string::npos);
  const std::string list = page.substr(begin, page.find("\n- ", begin) - begin);
  std::set<std::string> listed, known;
  for (std::size_t at = list.find('`'); at != std::string::npos; at = list.find('`', at + 1)) {
    const std::size_t end = list.find('`', at + 1);
    listed.insert(list.substr(at + 1, end - at - 1));
    at = end;
  }
  for (const auto& definition : TasksManager::instance().definitions()) {
    if (definition->gguf) known.insert(definition->model_type);
  }
  EXPECT_EQ(listed, known);
}

}  // namespace
}  // namespace onnxport::test
