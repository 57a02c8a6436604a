// Sentence Transformers folders: where their modules are, which of them are built, and what their files say.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "errors.h"
#include "golden_fixture.h"
#include "hub_server.h"
#include "onnxport/export.h"
#include "onnxport/modules.h"
#include "run_program.h"
#include "support/file.h"
#include "support/json.h"
#include "support/temp_folder.h"
#include "test_environment.h"

namespace onnxport::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int kConfig = 3, kUnsupported = 5;

class Modules : public testing::Test {
 protected:
  Modules() { synthesize(read_fixture("sentence-transformers/feature-extraction+dense_tanh"), model()); }

  fs::path model() const { return temp_.path() / "model"; }
  fs::path out() const { return temp_.path() / "out"; }
  void edit(const fs::path& name, const std::function<void(json&)>& change) const {
    json value = parse_json<json>(read_text_file(model() / name));
    change(value);
    std::ofstream(model() / name) << value.dump();
  }
  /// Moves the files of the first module into a folder.
  void move_model_to(const std::string& folder) const {
    fs::create_directories(model() / folder);
    for (const char* name : {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
                             "special_tokens_map.json", "sentence_bert_config.json"}) {
      fs::rename(model() / name, model() / folder / name);
    }
    edit("modules.json", [&](json& list) { list[0]["path"] = folder; });
  }
  ProgramResult run(const std::vector<std::string>& more = {}) const {
    fs::remove_all(out());
    std::vector<std::string> arguments = {"export", "onnx", "--no-validate", "-m", model(), out()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_program(arguments);
  }
  std::string exported() const {
    const ProgramResult result = run();
    EXPECT_EQ(result.status, 0) << result.err;
    notices_ = result.err;
    return result.status == 0 ? read_text_file(out() / "model.onnx") : result.err;
  }
  void expect_refusal(int status, const std::vector<std::string>& words) const {
    expect_failure(run(), status, words);
  }
  void expect_notice(const std::string& text) const {
    EXPECT_NE(notices_.find(text), std::string::npos) << text << "\nin: " << notices_;
  }

  TempFolder temp_;
  mutable std::string notices_;
};

TEST(ModulesFile, Paths) {
  const auto paths = [](const std::string& path) {
    return parse_modules(
               json::array({{{"type", "sentence_transformers.models.Pooling"}, {"path", path}}}).dump(), "m")
        .front();
  };
  EXPECT_EQ(paths("1_Pooling").file("config.json"), "1_Pooling/config.json");
  EXPECT_EQ(paths("./a//b/").path, "a/b");
  EXPECT_EQ(paths(".").file("config.json"), "config.json");
  EXPECT_EQ(paths("").path, "");
  EXPECT_EQ(paths("").kind(), "Pooling");
  EXPECT_EQ((SentenceModule{"sentence_transformers.base.modules.pooling.Pooling", ""}.kind()), "Pooling");
  EXPECT_EQ((SentenceModule{"custom_st.Pooling", ""}.kind()), "");
  EXPECT_EQ((SentenceModule{"my_sentence_transformers.models.Pooling", ""}.kind()), "");
  for (const char* path : {"..", "a/../../b", "/etc"}) {
    EXPECT_NE(complaint(ErrorCode::bad_config, [&] { paths(path); }).find("is not inside"),
              std::string::npos);
  }
  EXPECT_NE(complaint(ErrorCode::bad_config, [] { parse_modules(R"([{"type": "x", "path": 1}])", "m"); })
                .find("a 'type' and a 'path'"),
            std::string::npos);
}

// ---- places ----

TEST_F(Modules, LieWhereModulesJsonSays) {
  const std::string plain = exported();
  edit("modules.json", [](json& list) { list[0]["path"] = "."; });
  EXPECT_TRUE(exported() == plain) << "the folder itself";
  fs::create_directories(model() / "parts" / "deep");
  fs::rename(model() / "1_Pooling", model() / "parts" / "pool");
  fs::rename(model() / "2_Dense", model() / "parts" / "deep" / "projection");
  edit("modules.json", [](json& list) {
    list[1]["path"] = "parts/pool";
    list[2]["path"] = "./parts/deep/projection/";
  });
  EXPECT_TRUE(exported() == plain) << "any name, any depth";
  for (const char* name : {"modules.json", "parts/pool/config.json", "parts/deep/projection/config.json",
                           "parts/deep/projection/model.safetensors"}) {
    EXPECT_TRUE(fs::exists(out() / name)) << name;
  }
  move_model_to("0_Transformer");
  EXPECT_TRUE(exported() == plain) << "the first module";
  for (const char* name : {"0_Transformer/config.json", "0_Transformer/tokenizer.json",
                           "0_Transformer/sentence_bert_config.json", "config.json", "tokenizer.json"}) {
    EXPECT_TRUE(fs::exists(out() / name)) << name;
  }
  EXPECT_FALSE(fs::exists(out() / "0_Transformer/model.safetensors")) << "they are in model.onnx";
  EXPECT_EQ(run_program({"validate", model(), out()}).status, 0);
  fs::remove_all(model() / "0_Transformer");
  expect_refusal(kConfig, {"modules.json", "'0_Transformer'", "no such folder"});
}

TEST_F(Modules, AreDownloadedFromThere) {
  const std::string plain = exported();
  fs::rename(model() / "2_Dense", model() / "projection");
  edit("modules.json", [](json& list) { list[2]["path"] = "projection"; });
  move_model_to("0_Transformer");
  const CleanEnvironment environment;
  HubServer server;
  server.add_folder("org/name", model());
  server.add("org/name", "3_Other/model.safetensors", "unwanted", true);
  setenv("HF_ENDPOINT", server.endpoint().c_str(), 1);
  setenv("HF_HOME", (temp_.path() / "home").c_str(), 1);
  setenv("no_proxy", "*", 1);
  fs::remove_all(out());
  const ProgramResult result = run_program({"export", "onnx", "--no-validate", "-m", "org/name", out()});
  ASSERT_EQ(result.status, 0) << result.err;
  EXPECT_TRUE(read_text_file(out() / "model.onnx") == plain);
  EXPECT_TRUE(fs::exists(out() / "projection" / "model.safetensors"));
  EXPECT_EQ(server.count("*", "*3_Other*"), 0U);
  // A kind that is not built is refused before the weights are downloaded.
  edit("modules.json", [](json& list) { list[2]["type"] = "sentence_transformers.models.Router"; });
  server.add_folder("org/name", model());
  fs::remove_all(temp_.path() / "home");
  server.forget_requests();
  expect_failure(run_program({"export", "onnx", "-m", "org/name", out()}), kUnsupported,
                 {"modules.json", "'Router'"});
  EXPECT_EQ(server.count("*", "*.safetensors"), 0U);
}

// ---- kinds ----

TEST_F(Modules, KindsThatAreNotBuiltAreNamed) {
  struct Refused {
    std::size_t index;
    std::string type, named;
  };
  for (const Refused& one : std::vector<Refused>{
           {0, "sentence_transformers.models.Router", "'Router'"},
           {0, "sentence_transformers.models.StaticEmbedding", "'StaticEmbedding'"},
           {0, "sentence_transformers.sparse_encoder.models.SparseStaticEmbedding",
            "'SparseStaticEmbedding'"},
           {0, "sentence_transformers.sparse_encoder.models.MLMTransformer", "'Pooling', 'Dense'"},
           {1, "sentence_transformers.sparse_encoder.models.SpladePooling", "'SpladePooling'"},
           {1, "sentence_transformers.models.CNN", "'CNN'"},
           {1, "sentence_transformers.models.WeightedLayerPooling", "'WeightedLayerPooling'"},
           {1, "sentence_transformers.models.CLIPModel", "'CLIPModel'"},
           {0, "custom_st.Transformer", "'custom_st.Transformer' (not a class of sentence_transformers)"},
           {1, "my.own.Pooling", "'my.own.Pooling' (not a class"},
           {3, "torch.nn.Normalize", "'torch.nn.Normalize' (not a class"}}) {
    json before;
    edit("modules.json", [&](json& list) {
      before = list;
      list[one.index]["type"] = one.type;
    });
    expect_refusal(kUnsupported,
                   {"modules.json", one.named, "supported: ", "Transformer followed by Pooling"});
    edit("modules.json", [&](json& list) { list = before; });
  }
  edit("modules.json", [](json& list) { std::swap(list[0]["type"], list[1]["type"]); });
  expect_refusal(kUnsupported, {"'Pooling' first"});
}

TEST_F(Modules, NeedNoModelInTheFolderToBeNamed) {
  edit("modules.json", [](json& list) {
    list = json::array({{{"path", ""}, {"type", "sentence_transformers.models.StaticEmbedding"}}});
  });
  std::ofstream(model() / "config.json") << R"({"normalize": true})";
  expect_refusal(kUnsupported, {"modules.json", "'StaticEmbedding'"});
  fs::remove(model() / "config.json");
  expect_refusal(kUnsupported, {"modules.json", "'StaticEmbedding'"});
}

// ---- configurations ----

TEST_F(Modules, EveryKeyOfAModuleIsAccountedFor) {
  edit("1_Pooling/config.json", [](json& config) { config["pooling_depth"] = 2; });
  expect_refusal(kConfig, {"1_Pooling/config.json sets pooling_depth = 2", "'Pooling' does not read"});
  EXPECT_EQ(run({"--ignore-unexpected"}).status, 0);
  edit("1_Pooling/config.json", [](json& config) { config.erase("pooling_depth"); });
  edit("2_Dense/config.json", [](json& config) { config["rank"] = 3; });
  expect_refusal(kConfig, {"2_Dense/config.json sets rank = 3", "'Dense'"});
  edit("2_Dense/config.json", [](json& config) {
    config.erase("rank");
    config["module_input_name"] = "token_embeddings";
  });
  expect_refusal(kUnsupported, {"2_Dense/config.json", "module_input_name", "token_embeddings"});
  edit("2_Dense/config.json", [](json& config) {
    config.erase("module_input_name");
    config["in_features"] = 7;
  });
  expect_refusal(kConfig, {"2_Dense/config.json: in_features is 7, expected 32"});
  edit("2_Dense/config.json", [](json& config) {
    config["in_features"] = 32;
    config["activation_function"] = "my.own.Tanh";
  });
  expect_refusal(kUnsupported, {"activation_function 'my.own.Tanh'", "of torch.nn"});
  edit("2_Dense/config.json",
       [](json& config) { config["activation_function"] = "torch.nn.modules.activation.Tanh"; });
  edit("sentence_bert_config.json", [](json& config) { config["config_args"]["num_hidden_layers"] = 1; });
  expect_refusal(kConfig, {"sentence_bert_config.json sets config_args.num_hidden_layers = 1"});
  edit("sentence_bert_config.json", [](json& config) {
    config["config_args"] = {{"torch_dtype", "float16"}};
    config["model_args"] = {{"attn_implementation", "sdpa"}, {"trust_remote_code", true}};
    config["tokenizer_args"] = {{"padding_side", "left"}};
  });
  EXPECT_EQ(run().status, 0);
}

TEST_F(Modules, APromptOutsideOfThePoolingIsANotice) {
  const std::string plain = exported();
  EXPECT_EQ(notices_.find("include_prompt"), std::string::npos);
  edit("1_Pooling/config.json", [](json& config) { config["include_prompt"] = false; });
  EXPECT_TRUE(exported() == plain);
  expect_notice("1_Pooling/config.json: include_prompt is false");
  expect_notice("pool token_embeddings without its tokens");
}

TEST_F(Modules, APoolingForAnotherOutputIsLeftOut) {
  const std::string plain = exported();
  fs::create_directories(model() / "4_Pooling");
  std::ofstream(model() / "4_Pooling/config.json")
      << R"({"word_embedding_dimension": 32, "pooling_mode": "mean", "output_key": "query_embedding"})";
  edit("modules.json", [](json& list) {
    const json pooling = {{"path", "4_Pooling"}, {"type", "sentence_transformers.models.Pooling"}};
    list.insert(list.begin() + 2, pooling);
  });
  EXPECT_TRUE(exported() == plain);
  expect_notice("4_Pooling/config.json: output_key is 'query_embedding': this pooling is left out");
}

TEST_F(Modules, PoolingModeInAnySpelling) {
  const std::string plain = exported();
  edit("1_Pooling/config.json", [](json& config) {
    config = {{"word_embedding_dimension", 32}, {"pooling_mode", "CLS"}, {"include_prompt", true}};
  });
  EXPECT_TRUE(exported() == plain);
}

}  // namespace
}  // namespace onnxport::test
