// The folder that an export writes: complete, and without data of an earlier export.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "golden_fixture.h"
#include "hub_server.h"
#include "onnxport/export.h"
#include "pipeline/companions.h"
#include "pipeline/stale_data.h"
#include "run_program.h"
#include "support/file.h"
#include "support/temp_folder.h"
#include "test_environment.h"

namespace onnxport::test {
namespace {

namespace fs = std::filesystem;

// What the tokenizers, processors and configurations of transformers 4.57.6 read: the values of their
// VOCAB_FILES_NAMES, and the constants of utils/__init__.py and utils/hub.py.
const std::vector<std::string> kRead = {"config.json",
                                        "generation_config.json",
                                        "preprocessor_config.json",
                                        "video_preprocessor_config.json",
                                        "processor_config.json",
                                        "audio_tokenizer_config.json",
                                        "tokenizer_config.json",
                                        "tokenizer.json",
                                        "tokenizer.4.0.0.json",
                                        "special_tokens_map.json",
                                        "added_tokens.json",
                                        "chat_template.jinja",
                                        "chat_template.json",
                                        "additional_chat_templates/tool_use.jinja",
                                        "vocab.json",
                                        "vocab.txt",
                                        "vocab-src.json",
                                        "vocab-tgt.json",
                                        "target_vocab.json",
                                        "merges.txt",
                                        "source.spm",
                                        "target.spm",
                                        "normalizer.json",
                                        "sentencepiece.bpe.model",
                                        "sentencepiece.model",
                                        "spiece.model",
                                        "spm.model",
                                        "spm_char.model",
                                        "tokenizer.model",
                                        "tokenizer.model.v3",
                                        "tekken.json",
                                        "qwen.tiktoken",
                                        "bpe.codes",
                                        "dict.txt",
                                        "prophetnet.tokenizer",
                                        "byte_maps.json",
                                        "emoji.json",
                                        "entity_vocab.json",
                                        "word_shape.json",
                                        "word_pronunciation.json",
                                        "alphabet.json",
                                        "language_model/attrs.json",
                                        "language_model/unigrams.txt",
                                        "language_model/5gram.bin",
                                        "speaker_embeddings_path.json",
                                        "configuration_own.py",
                                        "tokenization_own.py",
                                        "processing_own.py",
                                        "image_processing_own.py",
                                        "feature_extraction_own.py"};

const std::vector<std::string> kNotRead = {"README.md",           "tf_model.h5",
                                           "pytorch_model.bin",   "training_args.bin",
                                           "modeling_own.py",     "run.py",
                                           "other/config.json",   "other/vocab.txt",
                                           "1_Other/config.json", "additional_chat_templates/notes.txt",
                                           "onnx/config.json",    "optimizer.pt"};

class Folder : public testing::Test {
 protected:
  Folder() { synthesize(read_fixture("bert/text-classification"), model()); }
  fs::path model() const { return temp_.path() / "model"; }
  fs::path out() const { return temp_.path() / "out"; }
  void add(const std::string& name) const {
    fs::create_directories((model() / name).parent_path());
    if (!fs::exists(model() / name)) std::ofstream(model() / name) << "{}";
  }
  ProgramResult run(std::vector<std::string> arguments = {}) const {
    arguments.insert(arguments.begin(), {"export", "onnx", "--no-validate", "-m", model(), out()});
    return run_program(arguments);
  }
  std::set<std::string> written() const {
    std::set<std::string> names;
    for (const auto& entry : fs::recursive_directory_iterator(out())) {
      if (entry.is_regular_file()) names.insert(entry.path().lexically_relative(out()).generic_string());
    }
    return names;
  }
  std::set<std::string> expected() const {
    std::set<std::string> names(kRead.begin(), kRead.end());
    names.insert("model.onnx");
    return names;
  }

  TempFolder temp_;
};

TEST_F(Folder, HasWhatTheOriginalReads) {
  for (const std::string& name : kRead) add(name);
  for (const std::string& name : kNotRead) add(name);
  ASSERT_EQ(run().status, 0);
  EXPECT_EQ(written(), expected());
}

TEST_F(Folder, HasItFromTheHubToo) {
  for (const std::string& name : kRead) add(name);
  const CleanEnvironment environment;
  HubServer server;
  server.add_folder("org/name", model());
  for (const std::string& name : kNotRead) server.add("org/name", name, "unwanted");
  setenv("HF_ENDPOINT", server.endpoint().c_str(), 1);
  setenv("HF_HOME", (temp_.path() / "home").c_str(), 1);
  setenv("no_proxy", "*", 1);
  const ProgramResult result = run_program({"export", "onnx", "--no-validate", "-m", "org/name", out()});
  ASSERT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(written(), expected());
  for (const std::string& name : kNotRead) EXPECT_EQ(server.count("*", "*/" + name), 0U) << name;
}

TEST(CompanionFiles, OfModulesAreWhereModulesJsonSays) {
  const pipeline::Companions plain;
  EXPECT_FALSE(plain.includes("1_Pooling/config.json"));
  const pipeline::Companions companions({{"sentence_transformers.models.Transformer", "encoder"},
                                         {"sentence_transformers.models.Pooling", "a/b"},
                                         {"sentence_transformers.models.Dense", "dense"}});
  EXPECT_EQ(companions.model_folder(), "encoder");
  EXPECT_EQ(companions.module_folders(), (std::vector<std::string>{"a/b", "dense"}));
  for (const char* name :
       {"modules.json", "encoder/config.json", "encoder/vocab.txt", "a/b/config.json",
        "encoder/additional_chat_templates/x.jinja", "dense/model.safetensors", "dense/pytorch_model.bin"}) {
    EXPECT_TRUE(companions.includes(name)) << name;
  }
  for (const char* name : {"encoder/model.safetensors", "a/config.json", "dense/notes.md",
                           "1_Pooling/config.json", "dense/deep/config.json"}) {
    EXPECT_FALSE(companions.includes(name)) << name;
  }
}

TEST_F(Folder, LanguagesThatAreLeftOutAreNamed) {
  EXPECT_EQ(run().err.find("left out"), std::string::npos);
  add("adapter.deu.safetensors");
  add("adapter.fra.safetensors");
  const ProgramResult result = run();
  EXPECT_NE(result.err.find("adapter.deu.safetensors and 1 other adapter files"), std::string::npos)
      << result.err;
}

// ---- data of an earlier export ----

TEST_F(Folder, DataOfAnEarlierExportIsRemoved) {
  ASSERT_EQ(run({"--external-data", "always"}).status, 0);
  ASSERT_TRUE(fs::exists(out() / "model.onnx_data"));
  EXPECT_EQ(run({"--external-data", "always"}).err.find("removed"), std::string::npos);
  ASSERT_TRUE(fs::exists(out() / "model.onnx_data"));
  std::ofstream(out() / "own.data") << "not ours";
  const ProgramResult inline_again = run();
  EXPECT_NE(inline_again.err.find("removed " + (out() / "model.onnx_data").string()), std::string::npos)
      << inline_again.err;
  EXPECT_FALSE(fs::exists(out() / "model.onnx_data"));
  EXPECT_TRUE(fs::exists(out() / "own.data"));
}

TEST(StaleData, OfSeveralFiles) {
  TempFolder temp;
  const fs::path model = temp.path() / "model", out = temp.path() / "out";
  synthesize(read_fixture("bart/text2text-generation-with-past"), model);
  const auto run = [&](const std::string& where) {
    main_export(
        {.model = model, .output = out, .validate = false, .export_options = {.external_data = where}});
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(out)) {
      if (entry.path().extension() == ".onnx_data") names.insert(entry.path().filename().string());
    }
    return names;
  };
  EXPECT_EQ(run("always"),
            (std::set<std::string>{"encoder_model.onnx_data", "decoder_model.onnx_data",
                                   "decoder_with_past_model.onnx_data", "decoder_model_merged.onnx_data"}));
  EXPECT_EQ(run("shared"), (std::set<std::string>{"model.onnx_data"}));
  // A model of somebody else still uses its data, and so does one that cannot be read.
  fs::copy_file(out / "encoder_model.onnx", out / "other.onnx");
  EXPECT_EQ(run("never"), (std::set<std::string>{"model.onnx_data"}));
  std::ofstream(out / "other.onnx") << "not ONNX";
  EXPECT_EQ(run("never"), (std::set<std::string>{"model.onnx_data"}));
  fs::remove(out / "other.onnx");
  EXPECT_EQ(run("never"), (std::set<std::string>{}));
  EXPECT_TRUE(pipeline::remove_stale_data(temp.path() / "none").empty());
}

TEST(StaleData, FurtherFiles) {
  TempFolder temp;
  const std::set<std::string> data = {"model.onnx_data", "model.onnx_data_1", "model_q4.onnx_data_12",
                                      "model.onnx.data", "model.onnx.data_2"};
  for (const std::string& name : data) std::ofstream(temp.path() / name) << "data";
  for (const char* name : {"own.data", "model.onnx_data_", "model.onnx_data_a", "onnx_data_1", "notes_1"})
    std::ofstream(temp.path() / name) << "not ours";
  std::set<std::string> removed;
  for (const fs::path& path : pipeline::remove_stale_data(temp.path()))
    removed.insert(path.filename().string());
  EXPECT_EQ(removed, data);
  for (const std::string& name : data) EXPECT_FALSE(fs::exists(temp.path() / name));
}

}  // namespace
}  // namespace onnxport::test
