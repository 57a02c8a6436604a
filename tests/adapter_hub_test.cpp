// Adapters by name: which files of which repositories are downloaded, and what becomes of them.
#include <gtest/gtest.h>

#include <cstdlib>

#include "adapter_files.h"
#include "hub_server.h"
#include "run_program.h"
#include "test_environment.h"

namespace onnxport::test {
namespace {

namespace fs = std::filesystem;

class AdapterHub : public testing::Test {
 protected:
  void SetUp() override {
    setenv("HF_ENDPOINT", server_.endpoint().c_str(), 1);
    setenv("HF_HOME", (temp_.path() / "home").c_str(), 1);
    setenv("no_proxy", "*", 1);
  }

  void name_base(const std::string& name) const {
    files_.edit_config([&](auto& config) { config["base_model_name_or_path"] = name; });
  }

  ProgramResult export_onnx(const std::vector<std::string>& more, const char* output = "out") const {
    std::vector<std::string> arguments = {"export", "onnx", "--no-validate",
                                          (temp_.path() / output).string()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_program(arguments);
  }
  std::string model(const char* output = "out") const {
    return read_text_file(temp_.path() / output / "model.onnx");
  }

  CleanEnvironment environment_;
  TempFolder temp_;
  HubServer server_;
  AdapterFiles files_{"bert_head"};
};

TEST_F(AdapterHub, AdapterAndItsBaseModel) {
  ASSERT_EQ(export_onnx({"-m", files_.adapter().string()}, "local").status, 0);
  name_base("org/base");
  files_.edit_config([&](auto& config) { config["revision"] = HubServer::commit(); });
  std::ofstream(files_.adapter() / "tokenizer.json") << "{}";
  std::ofstream(files_.adapter() / "optimizer.pt") << "not needed";
  server_.add_folder("org/base", files_.base());
  server_.add_folder("org/adapter", files_.adapter());
  const ProgramResult result = export_onnx({"-m", "org/adapter"});
  ASSERT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(model(), model("local"));
  EXPECT_TRUE(fs::exists(temp_.path() / "out" / "tokenizer.json"));
  EXPECT_EQ(server_.count("GET", "*optimizer.pt"), 0U);
  // The base model by name or path, and without the network.
  ASSERT_EQ(export_onnx({"-m", files_.base().string(), "--adapter", "org/adapter"}, "again").status, 0);
  EXPECT_EQ(model("again"), model());
  server_.forget_requests();
  ASSERT_EQ(export_onnx({"-m", "org/adapter", "--local_files_only"}, "offline").status, 0);
  EXPECT_TRUE(server_.requests().empty());
  EXPECT_EQ(model("offline"), model());
}

TEST_F(AdapterHub, AdapterInTheRepositoryOfItsBaseModel) {
  ASSERT_EQ(export_onnx({"-m", files_.adapter().string()}, "local").status, 0);
  name_base("org/both");
  server_.add_folder("org/both", files_.base());
  server_.add_folder("org/both", files_.adapter());
  const ProgramResult result = export_onnx({"-m", "org/both"});
  ASSERT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(model(), model("local"));
}

TEST_F(AdapterHub, RefusedBeforeWeightsAreDownloaded) {
  files_.edit_config([](auto& config) { config["peft_type"] = "IA3"; });
  server_.add_folder("org/base", files_.base());
  server_.add_folder("org/adapter", files_.adapter());
  expect_failure(export_onnx({"-m", "org/adapter"}), 5,
                 {"adapter_config.json", "peft_type", "IA3", "merge_and_unload"});
  expect_failure(export_onnx({"-m", files_.base().string(), "--adapter", "org/base"}), 3,
                 {"org/base", "adapter_config.json"});
  name_base("org/none");
  files_.edit_config([](auto& config) { config["peft_type"] = "LORA"; });
  expect_failure(export_onnx({"-m", files_.adapter().string()}), 7,
                 {"org/none", "base_model_name_or_path", "--model BASE --adapter"});
  EXPECT_EQ(server_.count("GET", "*model.safetensors"), 0U);
}

}  // namespace
}  // namespace onnxport::test
