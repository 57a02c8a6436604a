// The program from outside: what it prints, its exit status, and what it leaves behind when something is
// wrong.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <utility>

#include "golden_fixture.h"
#include "onnxport/error.h"
#include "onnxport/export.h"
#include "onnxport/plugin.h"
#include "run_program.h"
#include "runtime/session.h"
#include "support/file.h"
#include "support/json.h"
#include "support/temp_folder.h"
#include "test_paths.h"

namespace onnxport::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// A fresh checkpoint folder of a fixture, to be damaged.
class Cli : public testing::Test {
 protected:
  void make(const std::string& fixture) { synthesize(read_fixture(fixture), checkpoint_); }

  std::string checkpoint() const { return checkpoint_.string(); }
  std::string output() const { return (folder_.path() / "out").string(); }
  fs::path file(const char* name) const { return checkpoint_ / name; }

  void edit_config(const std::function<void(json&)>& edit) const {
    json config = parse_json<json>(read_text_file(file("config.json")));
    edit(config);
    std::ofstream(file("config.json")) << config.dump();
  }

  void edit_tensors(const std::function<void(NamedTensors&)>& edit) const {
    NamedTensors tensors = read_safetensors(file("model.safetensors"));
    edit(tensors);
    write_safetensors(file("model.safetensors"), tensors);
  }

  ProgramResult export_onnx(std::vector<std::string> more = {},
                            const std::function<void()>& in_child = {}) const {
    std::vector<std::string> arguments = {"export", "onnx", "--model", checkpoint(), output()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_program(arguments, in_child);
  }

  // One error that holds all these words, the right status, and no model left behind.
  void expect_failure(const ProgramResult& result, int status, const std::vector<std::string>& words) const {
    test::expect_failure(result, status, words);
    EXPECT_TRUE(leftovers().empty()) << leftovers().front();
  }

  std::vector<std::string> leftovers() const {
    std::vector<std::string> names;
    std::error_code error;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(output(), error)) {
      const std::string name = entry.path().filename().string();
      if (name.find("onnx") != std::string::npos || name.ends_with(".tmp")) names.push_back(name);
    }
    return names;
  }

  TempFolder folder_;
  fs::path checkpoint_ = folder_.path() / "checkpoint";
};

constexpr int kUsage = 2, kConfig = 3, kCheckpoint = 4, kUnsupported = 5, kIo = 7, kValidation = 8;

// ---- what works ----

TEST_F(Cli, ExportsAndValidates) {
  make("bert/text-classification");
  const ProgramResult result = export_onnx();
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_NE(result.err.find("task: text-classification (arch"), std::string::npos) << result.err;
  EXPECT_NE(result.out.find("-[✓] (2, 3) matches (2, 3)"), std::string::npos) << result.out;
  EXPECT_TRUE(fs::exists(output() + "/model.onnx"));
  EXPECT_TRUE(fs::exists(output() + "/config.json"));
  const ProgramResult again =
      run_program({"validate", checkpoint(), output(), "--task", "sequence-classification"});
  EXPECT_EQ(again.status, 0) << again.err;
}

TEST_F(Cli, JsonReport) {
  make("distilbert/feature-extraction");
  const ProgramResult result = export_onnx({"--json", "--task", "feature-extraction", "--opset", "14"});
  ASSERT_EQ(result.status, 0) << result.err;
  const json report = parse_json<json>(result.out);
  EXPECT_EQ(report["ok"], true);
  EXPECT_EQ(report["opset"], 14);
  EXPECT_EQ(report["outputs"], json({"last_hidden_state"}));
  EXPECT_GE(report["validation"][0]["cases"].size(), 4U);
  const ProgramResult failed = run_program({"export", "onnx", "--json", "--model", "/nowhere", output()});
  EXPECT_EQ(parse_json<json>(failed.out)["ok"], false);
}

TEST_F(Cli, IntDtypeOfInputs) {
  make("bert/fill-mask");
  for (const char* dtype : {"int8", "int32"}) {
    const ProgramResult result = export_onnx({"--int-dtype", dtype});
    EXPECT_EQ(result.status, 0) << result.err;
    const ProgramResult file = run_program({"inspect", output() + "/model.onnx", "--json"});
    EXPECT_TRUE(parse_json<json>(file.out)["inputs"]["input_ids"].get<std::string>().starts_with(dtype))
        << file.out;
    EXPECT_EQ(run_program({"validate", checkpoint(), output(), "--int-dtype", dtype}).status, 0);
  }
  EXPECT_EQ(export_onnx({"--int-dtype", "int4"}).status, kUsage);
}

TEST_F(Cli, HalfPrecisionValidates) {
  make("bert/feature-extraction");
  for (const char* dtype : {"fp16", "bf16"}) {
    const ProgramResult result = export_onnx({"--dtype", dtype});
    EXPECT_EQ(result.status, 0) << dtype << "\n" << result.out << result.err;
  }
  const ProgramResult old = export_onnx({"--dtype", "bf16", "--opset", "12"});
  EXPECT_EQ(old.status, kUsage);
  EXPECT_NE(old.err.find("--opset 13"), std::string::npos) << old.err;
}

TEST_F(Cli, WithoutDynamicAxesAllAreNumbers) {
  make("bert/multiple-choice");
  const ProgramResult result =
      export_onnx({"--no-dynamic-axes", "--batch_size", "3", "--sequence_length", "5", "--num_choices", "2"});
  ASSERT_EQ(result.status, 0) << result.out << result.err;
  const runtime::Session session(output() + "/model.onnx");
  for (const auto& input : session.inputs()) EXPECT_EQ(input.shape, (std::vector<std::int64_t>{3, 2, 5}));
  EXPECT_EQ(session.outputs()[0].shape, (std::vector<std::int64_t>{3, 2}));
}

TEST_F(Cli, AudioInEveryDtype) {
  make("wav2vec2/automatic-speech-recognition");
  const std::vector<std::string> dtypes = {"fp32", "fp16", "bf16"};
  for (const std::string& dtype : dtypes) {
    for (const char* opset : {"18", "22"}) {  // the first in which convolutions take bfloat16
      const ProgramResult result = export_onnx(
          {"--dtype", dtype, "--opset", opset, "--batch_size", "2", "--audio_sequence_length", "1200"});
      EXPECT_EQ(result.status, 0) << dtype << "\n" << result.out << result.err;
      EXPECT_NE(result.out.find("batch_size 1, audio_sequence_length 601"), std::string::npos) << result.out;
    }
  }
  ASSERT_EQ(export_onnx({"--no-dynamic-axes", "--audio_sequence_length", "400"}).status, 0);
  const runtime::Session session(output() + "/model.onnx");
  EXPECT_EQ(session.inputs()[0].shape, (std::vector<std::int64_t>{2, 400}));
  EXPECT_EQ(session.outputs()[0].shape, (std::vector<std::int64_t>{2, 19, 29}));
}

TEST_F(Cli, ExternalDataLiesBesideTheModel) {
  make("bert/feature-extraction");
  const ProgramResult result = export_onnx({"--external-data", "always"});
  ASSERT_EQ(result.status, 0) << result.err;
  EXPECT_TRUE(fs::exists(output() + "/model.onnx_data"));
}

TEST_F(Cli, WeightsStayInTheCheckpoint) {
  for (const char* fixture : {"llama/text-generation-with-past+bf16", "t5/text2text-generation-with-past",
                              "bert/feature-extraction", "wav2vec2/automatic-speech-recognition"}) {
    for (const char* dtype : {"fp32", "fp16", "bf16"}) {
      fs::remove_all(checkpoint_);
      make(fixture);
      const std::string config = read_text_file(file("config.json"));
      const std::string weights = read_text_file(file("model.safetensors"));
      const ProgramResult result =
          run_program({"export", "onnx", "--model", checkpoint(), checkpoint(), "--external-data",
                       "checkpoint", "--dtype", dtype, "--opset", "22"});
      EXPECT_EQ(result.status, 0) << fixture << " " << dtype << "\n" << result.out << result.err;
      if (std::string(fixture).starts_with("llama")) {
        EXPECT_FALSE(fs::exists(file("model.onnx_data")));
      }
      EXPECT_EQ(read_text_file(file("config.json")), config);
      EXPECT_EQ(read_text_file(file("model.safetensors")), weights);
    }
  }
}

TEST_F(Cli, WeightsInTheCheckpointOfAnotherFolder) {
  make("bert/feature-extraction");
  expect_failure(export_onnx({"--external-data", "checkpoint"}), kUsage,
                 {"model.safetensors", "export into the checkpoint's own folder, " + checkpoint()});
  EXPECT_FALSE(fs::exists(output()));
  EXPECT_EQ(export_onnx({"--external-data-threshold", "5"}).status, kUsage);
  EXPECT_EQ(export_onnx({"--external-data", "always", "--external-data-threshold", "1000000"}).status, 0);
  EXPECT_FALSE(fs::exists(output() + "/model.onnx_data"));
}

TEST_F(Cli, AlignmentOfExternalData) {
  make("bert/feature-extraction");
  const auto size_with = [&](const char* alignment) {
    EXPECT_EQ(export_onnx({"--external-data", "always", "--external-data-alignment", alignment}).status, 0);
    return fs::file_size(output() + "/model.onnx_data");
  };
  EXPECT_GT(size_with("65536"), 2 * size_with("64"));
  for (const char* wrong : {"3", "-64", "134217728", "x"}) {
    const ProgramResult result = export_onnx({"--external-data-alignment", wrong});
    EXPECT_EQ(result.status, kUsage) << result.err;
    EXPECT_NE(result.err.find("--external-data-alignment"), std::string::npos) << result.err;
  }
}

TEST_F(Cli, EveryOpset) {
  make("mpnet/feature-extraction");
  for (int opset = 11; opset <= runtime::newest_opset; ++opset) {
    const ProgramResult result = export_onnx({"--opset", std::to_string(opset)});
    EXPECT_EQ(result.status, 0) << "opset " << opset << "\n" << result.out << result.err;
  }
  EXPECT_EQ(export_onnx({"--opset", "10"}).status, kUsage);
  EXPECT_EQ(export_onnx({"--opset", std::to_string(runtime::newest_opset + 1)}).status, kUsage);
}

TEST_F(Cli, RecordedReference) {
  make("bert/feature-extraction");
  const std::string recorded = read_fixture("bert/feature-extraction").folder / "model.0.safetensors";
  const ProgramResult good = export_onnx({"--reference", recorded});
  EXPECT_EQ(good.status, 0) << good.out << good.err;
  EXPECT_NE(good.out.find("recorded in model.0.safetensors"), std::string::npos);
  NamedTensors tensors = read_safetensors(recorded);
  for (auto& [name, tensor] : tensors) {
    if (name != "out/last_hidden_state") continue;
    std::vector<double> values = tensor.to_doubles();
    values[3] += 0.1;
    tensor = Tensor::from_doubles(tensor.dtype, tensor.shape, values);
  }
  const fs::path wrong = folder_.path() / "wrong.safetensors";
  write_safetensors(wrong, tensors);
  const ProgramResult bad = export_onnx({"--reference", wrong.string()});
  EXPECT_EQ(bad.status, kValidation);
  EXPECT_NE(bad.out.find("-[x] values not close enough"), std::string::npos) << bad.out;
}

TEST_F(Cli, ValidateFindsAWrongModel) {
  make("bert/feature-extraction");
  ASSERT_EQ(export_onnx({"--no-validate"}).status, 0);
  edit_tensors([](NamedTensors& tensors) {
    for (auto& [name, tensor] : tensors) {
      if (name.find("query.bias") == std::string::npos) continue;
      std::vector<double> values = tensor.to_doubles();
      for (double& value : values) value += 1;
      tensor = Tensor::from_doubles(tensor.dtype, tensor.shape, values);
    }
  });
  const ProgramResult result = run_program({"validate", checkpoint(), output()});
  EXPECT_EQ(result.status, kValidation) << result.out;
}

TEST_F(Cli, InspectAndList) {
  make("bert/feature-extraction");
  ASSERT_EQ(export_onnx({"--no-validate"}).status, 0);
  const ProgramResult file = run_program({"inspect", output() + "/model.onnx"});
  EXPECT_EQ(file.status, 0) << file.err;
  for (const char* word : {"last_hidden_state", "encoder.layer.1.attention", "batch_size", "nodes"}) {
    EXPECT_NE(file.out.find(word), std::string::npos) << word << "\n" << file.out;
  }
  const ProgramResult folder = run_program({"inspect", checkpoint(), "--json"});
  EXPECT_EQ(parse_json<json>(folder.out)["model_type"], "bert") << folder.err;
  const ProgramResult list = run_program({"list"});
  EXPECT_NE(list.out.find("xlm-roberta"), std::string::npos);
  EXPECT_NE(run_program({"inspect", checkpoint() + "/config.json"}).status, 0);
}

TEST_F(Cli, FlagsOfTheFieldsExporter) {
  make("bert/feature-extraction");
  const ProgramResult accepted =
      export_onnx({"--no-validate", "--framework", "pt", "--trust-remote-code", "--dynamo",
                   "--no-constant-folding", "--device", "cpu", "--cache_dir", ""});
  EXPECT_EQ(accepted.status, 0) << accepted.err;
  for (const char* word : {"--trust-remote-code has no effect", "--dynamo has no effect",
                           "--no-constant-folding has no effect"}) {
    EXPECT_NE(accepted.err.find(word), std::string::npos) << accepted.err;
  }
  const ProgramResult refused = export_onnx({"--slim"});
  EXPECT_EQ(refused.status, kUnsupported);
  EXPECT_NE(refused.err.find("--slim is not built yet"), std::string::npos) << refused.err;
  EXPECT_EQ(export_onnx({"--no-such-flag"}).status, kUsage);
  const ProgramResult parse = export_onnx({"--json", "--dtype", "fp8"});
  EXPECT_EQ(parse.status, kUsage);
  EXPECT_EQ(parse_json<json>(parse.out)["exit_status"], kUsage) << parse.out;
}

// ---- what is wrong ----

TEST_F(Cli, NoConfig) {
  make("bert/feature-extraction");
  fs::remove(file("config.json"));
  expect_failure(export_onnx(), kConfig, {"config.json", checkpoint()});
}

TEST_F(Cli, BrokenConfig) {
  make("bert/feature-extraction");
  std::ofstream(file("config.json")) << "{\"model_type\": \"bert\",\n \"hidden_size\": }";
  expect_failure(export_onnx(), kConfig, {"config.json", "line 2"});
}

TEST_F(Cli, UnknownModelType) {
  make("bert/feature-extraction");
  edit_config([](json& config) { config["model_type"] = "distillbert"; });
  expect_failure(export_onnx(), kUnsupported, {"distillbert", "distilbert", "adding-an-architecture"});
}

TEST_F(Cli, UnsupportedTask) {
  make("bert/feature-extraction");
  expect_failure(export_onnx({"--task", "image-classification"}), kUnsupported,
                 {"image-classification", "feature-extraction", "token-classification"});
}

TEST_F(Cli, UnknownActivation) {
  make("bert/feature-extraction");
  edit_config([](json& config) { config["hidden_act"] = "gelv"; });
  expect_failure(export_onnx(), kConfig, {"gelv", "gelu"});
}

TEST_F(Cli, ConfigurationsOfSpeechThatDoNotFit) {
  make("wav2vec2/audio-classification");
  const auto expect_refused = [&](const char* key, const json& value, int status,
                                  const std::vector<std::string>& words) {
    json before;
    edit_config([&](json& config) { before = std::exchange(config[key], value); });
    expect_failure(export_onnx(), status, words);
    edit_config([&](json& config) { config[key] = before; });
  };
  expect_refused("conv_stride", {5, 2}, kConfig, {"conv_dim", "3, 3 and 2 numbers"});
  expect_refused("feat_extract_norm", "batch", kConfig, {"feat_extract_norm", "'batch'", "'group'"});
  expect_refused("num_conv_pos_embedding_groups", 0, kConfig, {"num_conv_pos_embedding_groups 0"});
  expect_refused("num_attention_heads", 5, kConfig, {"hidden_size 32", "num_attention_heads 5"});
  expect_refused("tdnn_kernel", {5, 3}, kConfig, {"tdnn_dim", "3, 2 and 3 numbers"});
  expect_refused("add_adapter", true, kUnsupported, {"add_adapter", "audio-classification"});
  expect_refused("conv_kernel", {10, 3, 3}, kCheckpoint, {"conv_layers.2.conv.weight", "[24, 16, 3]"});
}

TEST_F(Cli, UnreadKnob) {
  make("bert/feature-extraction");
  edit_config([](json& config) { config["is_decoder"] = true; });
  expect_failure(export_onnx(), kConfig, {"is_decoder"});
  EXPECT_EQ(export_onnx({"--ignore-unexpected", "--no-validate"}).status, 0);
}

TEST_F(Cli, MissingTensor) {
  make("bert/feature-extraction");
  edit_tensors([](NamedTensors& tensors) {
    std::erase_if(tensors, [](const auto& entry) {
      return entry.first.find("layer.1.output.dense.weight") != std::string::npos;
    });
  });
  expect_failure(export_onnx(), kCheckpoint, {"layer.1.output.dense.weight", "model.safetensors"});
}

TEST_F(Cli, WrongShape) {
  make("bert/feature-extraction");
  edit_config([](json& config) { config["intermediate_size"] = 40; });
  expect_failure(export_onnx(), kCheckpoint, {"intermediate.dense.weight", "[37, 32]", "[40, 32]"});
}

TEST_F(Cli, UnexpectedTensor) {
  make("bert/feature-extraction");
  edit_tensors([](NamedTensors& tensors) {
    tensors.emplace_back("encoder.layer.0.adapter.weight", Tensor(DType::f32, {2, 2}));
  });
  expect_failure(export_onnx(), kCheckpoint, {"encoder.layer.0.adapter.weight", "--ignore-unexpected"});
  const ProgramResult ignored = export_onnx({"--ignore-unexpected"});
  EXPECT_EQ(ignored.status, 0) << ignored.err;
  EXPECT_NE(ignored.err.find("encoder.layer.0.adapter.weight"), std::string::npos) << ignored.err;
}

TEST_F(Cli, HeadOfAnotherTaskIsNoSurprise) {
  make("bert/fill-mask");
  EXPECT_EQ(export_onnx({"--task", "feature-extraction"}).status, 0);
}

TEST_F(Cli, HeadThatIsNotThere) {
  make("bert/fill-mask");
  expect_failure(export_onnx({"--task", "text-classification"}), kCheckpoint, {"pooler"});
}

TEST_F(Cli, TruncatedWeights) {
  make("bert/feature-extraction");
  const auto size = fs::file_size(file("model.safetensors"));
  for (const std::uintmax_t left :
       {size - 1, size / 2, std::uintmax_t{100}, std::uintmax_t{5}, std::uintmax_t{0}}) {
    fs::resize_file(file("model.safetensors"), left);
    expect_failure(export_onnx(), kCheckpoint, {"model.safetensors"});
  }
}

TEST_F(Cli, LyingHeaders) {
  make("bert/feature-extraction");
  const auto write = [&](const std::string& header, std::size_t payload, std::uint64_t length) {
    std::ofstream out(file("model.safetensors"), std::ios::binary);
    out.write(reinterpret_cast<const char*>(&length), sizeof length);
    out << header << std::string(payload, '\0');
  };
  const auto tensor = [](const char* name, const char* shape, int begin, int end) {
    return std::string("\"") + name + R"(":{"dtype":"F32","shape":)" + shape + ",\"data_offsets\":[" +
           std::to_string(begin) + "," + std::to_string(end) + "]}";
  };
  const std::vector<std::pair<std::string, std::string>> headers = {
      {"{" + tensor("outside", "[4]", 0, 16) + "}", "outside"},
      {"{" + tensor("a", "[1]", 0, 4) + "," + tensor("overlap", "[1]", 2, 6) + "}", "overlap"},
      {"{" + tensor("huge", "[4611686018427387904,4]", 0, 4) + "}", "huge"},
      {"{" + tensor("twice", "[1]", 0, 4) + "," + tensor("twice", "[1]", 4, 8) + "}", "twice"},
      {"{\"\xff\xfe\":1}", "utf-8"},
      {"{not json", "json"},
  };
  for (const auto& [header, word] : headers) {
    write(header, 8, header.size());
    const ProgramResult result = export_onnx();
    EXPECT_EQ(result.status, kCheckpoint) << header << "\n" << result.err;
    std::string lower = result.err;
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](unsigned char c) { return std::tolower(c); });
    EXPECT_NE(lower.find(word), std::string::npos) << result.err;
  }
  write("{}", 0, ~std::uint64_t{0});
  expect_failure(export_onnx(), kCheckpoint, {"model.safetensors"});
}

TEST_F(Cli, ShardMissing) {
  make("bert/feature-extraction");
  NamedTensors all = read_safetensors(file("model.safetensors"));
  json index = {{"metadata", json::object()}, {"weight_map", json::object()}};
  NamedTensors parts[2];
  for (std::size_t i = 0; i < all.size(); ++i) {
    index["weight_map"][all[i].first] =
        i % 2 == 0 ? "model-00001-of-00002.safetensors" : "model-00002-of-00002.safetensors";
    parts[i % 2].push_back(all[i]);
  }
  fs::remove(file("model.safetensors"));
  write_safetensors(file("model-00001-of-00002.safetensors"), parts[0]);
  write_safetensors(file("model-00002-of-00002.safetensors"), parts[1]);
  std::ofstream(file("model.safetensors.index.json")) << index.dump();
  EXPECT_EQ(export_onnx().status, 0);
  fs::remove_all(output());
  fs::remove(file("model-00002-of-00002.safetensors"));
  expect_failure(export_onnx(), kCheckpoint, {"model-00002-of-00002.safetensors"});
}

TEST_F(Cli, OutputFolderNotWritable) {
  make("bert/feature-extraction");
  // A path below a regular file can be written by nobody, root included.
  const std::string below = checkpoint() + "/config.json/out";
  const ProgramResult result = run_program({"export", "onnx", "--model", checkpoint(), below});
  EXPECT_EQ(result.status, kIo) << result.err;
  EXPECT_NE(result.err.find("config.json/out"), std::string::npos) << result.err;
}

TEST_F(Cli, DiskFull) {
  make("bert/feature-extraction");
  // A limit on the size of files stands in for a full disk: writes fail half way, and the signal is ignored.
  const auto small_files = [] {
    const rlimit limit = {40'000, 40'000};
    setrlimit(RLIMIT_FSIZE, &limit);
    std::signal(SIGXFSZ, SIG_IGN);
  };
  expect_failure(export_onnx({}, small_files), kIo, {"model.onnx"});
  // The next run succeeds.
  EXPECT_EQ(export_onnx().status, 0);
}

TEST_F(Cli, KilledHalfWay) {
  make("bert/feature-extraction");
  for (int delay = 0; delay < 24; delay += 2) {
    fs::remove_all(output());
    // The child arranges its own death by a timer of real time.
    const ProgramResult result = export_onnx({"--no-validate"}, [delay] {
      itimerval timer = {};
      timer.it_value.tv_usec = 1000 + delay * 1000;
      setitimer(ITIMER_REAL, &timer, nullptr);
      std::signal(SIGALRM, SIG_DFL);
    });
    if (fs::exists(output() + "/model.onnx")) {
      const runtime::Session session(output() + "/model.onnx");  // whole, or this throws
      EXPECT_TRUE(fs::exists(output() + "/config.json"));
    } else {
      EXPECT_NE(result.status, 0);
    }
    ASSERT_EQ(export_onnx({"--no-validate"}).status, 0);
    for (const std::string& name : leftovers()) EXPECT_FALSE(name.ends_with(".tmp")) << name;
  }
}

TEST_F(Cli, AnUnknownPlaceForWeightsIsFoundBeforeAnythingIsWritten) {
  make("bert/feature-extraction");
  MainExportOptions options{.model = checkpoint(), .output = output()};
  options.export_options.external_data = "somewhere";
  EXPECT_THROW(main_export(options), ExportError);
  EXPECT_FALSE(fs::exists(output()));
}

TEST_F(Cli, PluginThatIsNone) {
  make("bert/feature-extraction");
  const ProgramResult result = export_onnx({"--plugin", checkpoint() + "/config.json"});
  EXPECT_EQ(result.status, kUsage) << result.err;
  EXPECT_NE(result.err.find("--plugin"), std::string::npos) << result.err;
}

TEST(Plugin, OfThisVersionRegistersItsTypes) {
  const ProgramResult result = run_program({"list", "--plugin", plugin_dir() + "/right.so"});
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_NE(result.out.find("of-a-plugin"), std::string::npos) << result.out;
}

TEST(Plugin, OfAnotherVersionIsRefused) {
  const std::string expected = fmt::format("expected {}", plugin_abi().data());
  const auto refuse = [&](const char* name, const std::string& version) {
    const ProgramResult result = run_program({"list", "--plugin", plugin_dir() + "/" + name});
    test::expect_failure(result, kUsage, {name, version, expected, "build it again", "ONNXPORT_PLUGIN"});
    EXPECT_EQ(result.out, "");
  };
  refuse("other_version.so", "built for 0.0.9 (plugin ABI 1, layout 12345678)");
  refuse("no_version.so", "states no version");
  // Compiled from these headers, but the sizes of strings differ.
  refuse("other_layout.so", fmt::format("built for {} (plugin ABI {}, layout ", kVersion, kPluginAbi));
}

}  // namespace
}  // namespace onnxport::test
