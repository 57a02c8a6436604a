// Models by name, from the outside: which files an export takes from a repository, and what it makes of them.
#include <gtest/gtest.h>
#include <signal.h>  // NOLINT: timers are POSIX
#include <sys/resource.h>
#include <sys/time.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "golden_fixture.h"
#include "hub_server.h"
#include "onnxport/error.h"
#include "onnxport/export.h"
#include "run_program.h"
#include "support/file.h"
#include "support/json.h"
#include "support/temp_folder.h"
#include "test_environment.h"

namespace onnxport::test {
namespace {

namespace fs = std::filesystem;

std::map<std::string, std::string> contents(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file())
      files[entry.path().lexically_relative(folder).generic_string()] = read_text_file(entry.path());
  }
  return files;
}

class HubExport : public testing::Test {
 protected:
  void SetUp() override {
    setenv("HF_ENDPOINT", server_.endpoint().c_str(), 1);
    setenv("HF_HOME", (temp_.path() / "home").c_str(), 1);
    setenv("no_proxy", "*", 1);
  }

  // A checkpoint folder, which is a repository too.
  fs::path make(const std::string& fixture, const std::string& repo = "org/name") {
    const fs::path folder = temp_.path() / "checkpoint";
    synthesize(read_fixture(fixture), folder);
    server_.add_folder(repo, folder);
    return folder;
  }

  fs::path path(const char* name) const { return temp_.path() / name; }
  fs::path snapshot() const {
    return path("home") / "hub" / "models--org--name" / "snapshots" / HubServer::commit();
  }
  // What the cache has of the repository.
  std::set<std::string> cached() const {
    std::set<std::string> names;
    for (const auto& [name, content] : contents(snapshot())) names.insert(name);
    return names;
  }

  ProgramResult export_onnx(std::vector<std::string> more = {},
                            const std::function<void()>& in_child = {}) const {
    std::vector<std::string> arguments = {"export", "onnx",     "--no-validate",
                                          "-m",     "org/name", path("out").string()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_program(arguments, in_child);
  }

  void expect_failure(const ProgramResult& result, int status, const std::vector<std::string>& words) const {
    test::expect_failure(result, status, words);
    EXPECT_FALSE(fs::exists(path("out") / "model.onnx"));
  }

  CleanEnvironment environment_;
  TempFolder temp_;
  HubServer server_;
};

constexpr int kUsage = 2, kConfig = 3, kCheckpoint = 4, kUnsupported = 5, kIo = 7;

TEST_F(HubExport, SameBytesAsFromTheFolder) {
  for (const char* fixture : {"bert/text-classification", "sentence-transformers/feature-extraction+all"}) {
    fs::remove_all(path("checkpoint"));
    fs::remove_all(path("home"));
    fs::remove_all(path("out"));
    fs::remove_all(path("local"));
    const fs::path folder = make(fixture);
    const ProgramResult local = run_program({"export", "onnx", "--no-validate", "-m", folder, path("local")});
    ASSERT_EQ(local.status, 0) << local.err;
    const ProgramResult remote = export_onnx();
    ASSERT_EQ(remote.status, 0) << remote.err;
    EXPECT_TRUE(contents(path("out")) == contents(path("local"))) << fixture;
    // And again without the network, in every way to ask for that.
    fs::remove_all(path("out"));
    server_.forget_requests();
    ASSERT_EQ(export_onnx({"--local_files_only"}).status, 0);
    ASSERT_EQ(export_onnx({}, [] { setenv("HF_HUB_OFFLINE", "1", 1); }).status, 0);
    EXPECT_TRUE(server_.requests().empty());
    EXPECT_TRUE(contents(path("out")) == contents(path("local"))) << fixture;
  }
}

TEST_F(HubExport, OtherCommandsAndTheLibrary) {
  make("bert/text-classification");
  ASSERT_EQ(export_onnx().status, 0);
  EXPECT_EQ(run_program({"validate", "org/name", path("out")}).status, 0);
  const ProgramResult inspected = run_program({"inspect", "org/name", "--local_files_only", "--json"});
  EXPECT_EQ(parse_json<nlohmann::json>(inspected.out)["model_type"], "bert") << inspected.err;
  EXPECT_EQ(run_program({"inspect", "org/none"}).status, kIo);
  fs::remove_all(path("home"));
  const ExportReport report =
      main_export({.model = "org/name", .output = path("library"), .validate = false});
  EXPECT_EQ(report.model_type, "bert");
  EXPECT_TRUE(contents(path("library")) == contents(path("out")));
}

TEST_F(HubExport, OnlyWhatIsNeeded) {
  make("bert/text-classification");
  for (const char* name : {"pytorch_model.bin", "tf_model.h5", "flax_model.msgpack", "README.md",
                           "model.onnx", "onnx/model.onnx", "onnx/config.json", ".gitattributes",
                           "training_args.bin", "model.fp16.safetensors", "openvino/openvino_model.bin"}) {
    server_.add("org/name", name, "unwanted");
  }
  server_.add("org/name", "vocab.txt", "wanted");
  ASSERT_EQ(export_onnx().status, 0);
  EXPECT_EQ(cached(), (std::set<std::string>{"config.json", "model.safetensors", "vocab.txt"}));
}

TEST_F(HubExport, Shards) {
  const fs::path folder = make("bert/text-classification", "org/whole");
  const NamedTensors tensors = read_safetensors(folder / "model.safetensors");
  NamedTensors parts[2];
  nlohmann::json map;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    parts[i % 2].push_back(tensors[i]);
    map[tensors[i].first] = i % 2 == 0 ? "model-1.safetensors" : "model-2.safetensors";
  }
  write_safetensors(folder / "model-1.safetensors", parts[0]);
  write_safetensors(folder / "model-2.safetensors", parts[1]);
  std::ofstream(folder / "model.safetensors.index.json") << nlohmann::json{{"weight_map", map}}.dump();
  fs::remove(folder / "model.safetensors");
  std::ofstream(folder / "model-3.safetensors") << "unwanted";
  std::ofstream(folder / "pytorch_model.bin") << "unwanted";
  server_.add_folder("org/name", folder);
  ASSERT_EQ(export_onnx().status, 0);
  EXPECT_EQ(cached(), (std::set<std::string>{"config.json", "model.safetensors.index.json",
                                             "model-1.safetensors", "model-2.safetensors"}));
  // A shard outside of the folder.
  map.begin().value() = "../../../../../evil";
  server_.add("org/name", "model.safetensors.index.json", nlohmann::json{{"weight_map", map}}.dump());
  fs::remove_all(path("home"));
  fs::remove_all(path("out"));
  expect_failure(export_onnx(), kCheckpoint, {"../../../../../evil"});
  // A shard that is not there.
  map.begin().value() = "model-9.safetensors";
  server_.add("org/name", "model.safetensors.index.json", nlohmann::json{{"weight_map", map}}.dump());
  fs::remove_all(path("home"));
  expect_failure(export_onnx(), kIo, {"org/name", "model-9.safetensors", "no such file"});
}

TEST_F(HubExport, GgufFilesNeedNoConfiguration) {
  server_.add("org/name", "README.md", "words");
  server_.add("org/name", "model.gguf", "not what it is called", true);
  expect_failure(export_onnx(), kCheckpoint, {"model.gguf"});
  EXPECT_EQ(cached(), (std::set<std::string>{"model.gguf"}));
  server_.add("org/name", "other-00001-of-00002.gguf", "a part", true);
  server_.add("org/name", "other-00002-of-00002.gguf", "a part", true);
  expect_failure(export_onnx({"--force_download"}), kCheckpoint,
                 {"org/name", "several .gguf files: model.gguf, other-00001-of-00002.gguf", "give its path"});
}

TEST_F(HubExport, Subfolder) {
  const fs::path folder = make("bert/text-classification", "org/whole");
  fs::create_directories(temp_.path() / "repo" / "deep");
  fs::rename(folder, temp_.path() / "repo" / "deep" / "model");
  server_.add_folder("org/name", temp_.path() / "repo");
  expect_failure(export_onnx(), kConfig, {"org/name", "config.json", "--subfolder"});
  expect_failure(export_onnx({"--subfolder", "deep"}), kConfig, {"deep/config.json"});
  expect_failure(export_onnx({"--subfolder", "../.."}), kUsage, {"--subfolder '../..'"});
  ASSERT_EQ(export_onnx({"--subfolder", "deep/model/"}).status, 0);
  EXPECT_EQ(cached(), (std::set<std::string>{"deep/model/config.json", "deep/model/model.safetensors"}));
}

TEST_F(HubExport, NothingToExport) {
  server_.add("org/name", "README.md", "words");
  expect_failure(export_onnx(), kConfig, {"org/name", "config.json"});
  server_.add("org/name", "config.json", R"({"model_type": "bert"})");
  server_.add("org/name", "tf_model.h5", "unreadable");
  expect_failure(export_onnx(), kCheckpoint, {"org/name", "model.safetensors", "*.gguf"});
  // A type that nobody knows is refused before its weights are downloaded.
  server_.add("org/name", "config.json", R"({"model_type": "zzz"})");
  server_.add("org/name", "model.safetensors", "many bytes", true);
  expect_failure(export_onnx({"--force_download"}), kUnsupported, {"'zzz'"});
  EXPECT_EQ(server_.count("*", "*model.safetensors"), 0U);
  expect_failure(run_program({"export", "onnx", "-m", "org/none", path("out")}), kIo, {"org/none", "404"});
  expect_failure(run_program({"export", "onnx", "-m", "./none", path("out")}), kConfig, {"no such folder"});
  expect_failure(run_program({"export", "onnx", "-m", "a/b/c", path("out")}), kConfig, {"no such folder"});
  expect_failure(run_program({"export", "onnx", "-m", "a b", path("out")}), kUsage, {"'a b'", "ORG/NAME"});
  expect_failure(export_onnx({"--force_download", "--local_files_only"}), kUsage, {"contradicts"});
}

TEST_F(HubExport, FoldersComeFirst) {
  const fs::path folder = make("bert/text-classification");
  const ProgramResult result =
      run_program({"export", "onnx", "--no-validate", "-m", folder, path("out"), "--revision", "v1"});
  EXPECT_EQ(result.status, 0);
  EXPECT_NE(result.err.find("--revision has no effect"), std::string::npos) << result.err;
  EXPECT_TRUE(server_.requests().empty());
}

TEST_F(HubExport, FullDisk) {
  make("bert/text-classification");
  // A limit on the size of files stands in for a full disk.
  expect_failure(export_onnx({},
                             [] {
                               const rlimit limit = {20'000, 20'000};
                               setrlimit(RLIMIT_FSIZE, &limit);
                               std::signal(SIGXFSZ, SIG_IGN);
                             }),
                 kIo, {"blobs", "incomplete"});
  EXPECT_EQ(export_onnx().status, 0);
}

TEST_F(HubExport, KilledHalfWay) {
  make("bert/text-classification");
  server_.set_mischief([](const HubRequest& request, HubAnswer& answer) {
    if (request.method == "GET") answer.piece = 4000;  // a while
  });
  int killed = 0;
  for (int delay = 4; delay < 60; delay += 4) {
    fs::remove_all(path("out"));
    if (delay % 16 == 0) fs::remove_all(path("home"));
    const ProgramResult result = export_onnx({}, [delay] {
      const itimerval timer = {{}, {0, delay * 1000}};
      std::signal(SIGALRM, SIG_DFL);
      setitimer(ITIMER_REAL, &timer, nullptr);
    });
    killed += result.status == 0 ? 0 : 1;
    // Whatever is linked is whole.
    for (const auto& [name, content] :
         fs::exists(snapshot()) ? contents(snapshot()) : decltype(contents("")){})
      EXPECT_TRUE(content == read_text_file(path("checkpoint") / name)) << name;
  }
  EXPECT_GT(killed, 0);
  const ProgramResult result = export_onnx();
  EXPECT_EQ(result.status, 0) << result.err;
  for (const auto& [name, content] : contents(snapshot()))
    EXPECT_TRUE(content == read_text_file(path("checkpoint") / name)) << name;
}

}  // namespace
}  // namespace onnxport::test
