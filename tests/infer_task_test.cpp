// The task of checkpoints whose config.json names no class: the head that they hold.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "config/json.h"
#include "errors.h"
#include "exporter/task_name.h"
#include "golden_fixture.h"
#include "hub_server.h"
#include "onnxport/plan.h"
#include "onnxport/tasks_manager.h"
#include "run_program.h"
#include "support/file.h"
#include "support/json.h"
#include "support/temp_folder.h"
#include "test_environment.h"

namespace onnxport::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

json read_json(const fs::path& file) { return config::parse_json(read_text_file(file), file.string()); }

/// A checkpoint of a fixture whose config.json can be changed.
class Unnamed {
 public:
  explicit Unnamed(const std::string& fixture) {
    synthesize(read_fixture(fixture), folder());
    config_ = read_json(folder() / "config.json");
    name({});
  }
  fs::path folder() const { return temp_.path() / "checkpoint"; }
  void name(const std::vector<std::string>& architectures) {
    config_["architectures"] = architectures;
    if (architectures.empty()) config_.erase("architectures");
    std::ofstream(folder() / "config.json") << config_.dump();
  }
  /// Removes tensors whose keys contain a text.
  void drop(const std::string& text) const {
    NamedTensors tensors = read_safetensors(folder() / "model.safetensors");
    std::erase_if(tensors, [&](const auto& tensor) { return tensor.first.find(text) != std::string::npos; });
    write_safetensors(folder() / "model.safetensors", tensors);
  }
  Model open(const std::string& pipeline_tag = {}) const {
    return TasksManager::instance().get_model_from_task("auto", folder(), {.pipeline_tag = pipeline_tag});
  }

 private:
  TempFolder temp_;
  json config_;
};

/// Heads that two tasks share: the first task of the type counts.
const std::set<std::pair<std::string, std::string>> kShared = {
    {"dpt/semantic-segmentation", "image-segmentation"},
    {"segformer/semantic-segmentation", "image-segmentation"},
    {"modernbert/token-classification", "text-classification"},
    // Their checkpoints for tokens have a pooler, too.
    {"canine/token-classification", "text-classification"},
    {"fnet/token-classification", "text-classification"},
    {"layoutlm/token-classification", "text-classification"},
    {"squeezebert/token-classification", "text-classification"},
    // Text generation leaves the tower out.
    {"qwen3_5/image-text-to-text-with-past", "text-generation"},
    {"qwen3_5_moe/image-text-to-text-with-past", "text-generation"},
};

/// Whether feature-extraction reads every tensor: another task has the same tensors (a tied head, or none).
bool features_read_all(const fs::path& checkpoint) {
  const Model model = TasksManager::instance().get_model_from_task("feature-extraction", checkpoint);
  const ExportPlan plan = make_plan(model, {.split = Split::apart});
  for (const Component& component : plan.components) model.build(component);
  return model.unread_tensors().empty();
}

// ---- every type: without the name of a class, the same task, if the task has tensors of its own ----

class HeadOf : public testing::TestWithParam<std::string> {};

TEST_P(HeadOf, IsFoundWithoutAName) {
  const GoldenFixture fixture = read_fixture(GetParam());
  Unnamed checkpoint(GetParam());
  const Model unnamed = checkpoint.open();
  const std::string expected = exporter::base_task(fixture.task);
  const std::string found = exporter::base_task(unnamed.task());
  if (found == expected || kShared.contains({GetParam(), found})) return;
  EXPECT_EQ(found, "feature-extraction") << unnamed.task_reason();
  EXPECT_TRUE(features_read_all(checkpoint.folder())) << unnamed.task_reason();
}

std::vector<std::string> plain_fixtures() {
  std::vector<std::string> names;
  for (const std::string& name : golden_fixtures()) {
    const bool is_folder_of_models =
        name.starts_with("sentence-transformers/") || name.starts_with("diffusers/");
    if (is_first_of_task(name) && !is_folder_of_models) names.push_back(name);
  }
  return names;
}

INSTANTIATE_TEST_SUITE_P(Fixtures, HeadOf, testing::ValuesIn(plain_fixtures()), [](const auto& fixture) {
  std::string name = fixture.param;
  for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
  return name;
});

// ---- what decides ----

TEST(InferTask, TheReasonIsSaid) {
  Unnamed checkpoint("bert/fill-mask");
  const Model head = checkpoint.open();
  EXPECT_EQ(head.task(), "fill-mask");
  checkpoint.name({"JobBertCrf"});
  EXPECT_EQ(checkpoint.open().task(), "fill-mask");
  checkpoint.name({});
  EXPECT_NE(
      head.task_reason().find("'architectures' names no class; the checkpoint has its head: cls.predictions"),
      std::string::npos)
      << head.task_reason();
  checkpoint.drop("cls.");
  const Model base = checkpoint.open();
  EXPECT_EQ(base.task(), "feature-extraction");
  EXPECT_EQ(base.task_reason(),
            "'architectures' names no class, and the checkpoint has the head of no other task");
  // A class that is named, but has no task here, is not taken for the model without a head.
  for (const char* name : {"JobBertCrf", "BertForCausalLM"}) {
    checkpoint.name({name});
    const std::string message = complaint(ErrorCode::unsupported, [&] { checkpoint.open(); });
    EXPECT_NE(message.find(fmt::format("architecture '{}' implies", name)), std::string::npos) << message;
    EXPECT_NE(message.find("choose one with --task: feature-extraction"), std::string::npos) << message;
  }
  checkpoint.name({"BertForTokenClassification"});
  EXPECT_EQ(checkpoint.open().task(), "token-classification");
  EXPECT_EQ(checkpoint.open().task_reason(), "architectures: BertForTokenClassification");
  EXPECT_EQ(TasksManager::instance().get_model_from_task("fill-mask", checkpoint.folder()).task_reason(), "");
}

// A captioner has no projections, which the features need.
TEST(InferTask, AClassWithoutATaskOfTheTypeIsAnError) {
  Unnamed checkpoint("blip/feature-extraction");
  checkpoint.name({"BlipForConditionalGeneration"});
  const std::string message = complaint(ErrorCode::unsupported, [&] { checkpoint.open(); });
  EXPECT_NE(message.find("architecture 'BlipForConditionalGeneration' implies one of the tasks "
                         "text2text-generation, automatic-speech-recognition, image-to-text, text-to-audio, "
                         "image-text-to-text, audio-text-to-text, none of which is supported for 'blip'"),
            std::string::npos)
      << message;
  EXPECT_NE(message.find("choose one with --task: feature-extraction, image-text-retrieval"),
            std::string::npos)
      << message;
  EXPECT_EQ(TasksManager::instance().get_model_from_task("feature-extraction", checkpoint.folder()).task(),
            "feature-extraction");
}

TEST(InferTask, OldNamesOfClasses) {
  const std::map<std::string, std::vector<std::string>> names = {
      {"t5/text2text-generation-with-past", {"T5WithLMHeadModel"}},
      {"gpt2/text-generation-with-past", {"GPT2LMHeadModel", "GPT2DoubleHeadsModel"}},
      {"bert/fill-mask", {"BertForPreTraining", "BertWithLMHeadModel"}},
  };
  for (const auto& [fixture, classes] : names) {
    Unnamed checkpoint(fixture);
    for (const std::string& name : classes) {
      checkpoint.name({name});
      EXPECT_EQ(TasksManager::instance().infer_task_from_model(checkpoint.folder()),
                read_fixture(fixture).task)
          << name;
    }
  }
}

TEST(InferTask, TheTagOfTheRepositoryComesAfterTheClass) {
  Unnamed checkpoint("bert/fill-mask");
  EXPECT_EQ(checkpoint.open("text-classification").task(), "text-classification");
  EXPECT_EQ(checkpoint.open("text-classification").task_reason(),
            "pipeline_tag of the repository: text-classification; 'architectures' names no class");
  EXPECT_EQ(checkpoint.open("zero-shot-classification").task(), "text-classification") << "a synonym";
  EXPECT_EQ(checkpoint.open("text-to-speech").task(), "fill-mask") << "not a task of the type";
  checkpoint.name({"BertForQuestionAnswering"});
  EXPECT_EQ(checkpoint.open("text-classification").task(), "question-answering");
}

/// The task that an export of a repository says.
class TagOfTheHub : public testing::Test {
 protected:
  TagOfTheHub() {
    setenv("HF_ENDPOINT", server_.endpoint().c_str(), 1);
    setenv("HF_HOME", (temp_.path() / "home").c_str(), 1);
    setenv("no_proxy", "*", 1);
  }
  std::string export_onnx(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments = {"export", "onnx",     "--no-validate",
                                          "-m",     "org/name", (temp_.path() / "out").string()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_program(arguments).err;
  }
  CleanEnvironment environment_;
  TempFolder temp_;
  HubServer server_;
};

TEST_F(TagOfTheHub, IsTakenFromTheHubOrTheModelCard) {
  Unnamed checkpoint("bert/fill-mask");
  server_.add_folder("org/name", checkpoint.folder());
  EXPECT_NE(
      export_onnx().find("task: fill-mask ('architectures' names no class; the checkpoint has its head"),
      std::string::npos);
  server_.set_mischief([](const HubRequest& request, HubAnswer& answer) {
    if (!request.path.starts_with("/api/models/")) return;
    json info = parse_json<json>(answer.body);
    info["pipeline_tag"] = "feature-extraction";
    answer.body = info.dump();
  });
  const std::string expected = "task: feature-extraction (pipeline_tag of the repository: feature-extraction";
  EXPECT_NE(export_onnx().find(expected), std::string::npos);
  // Without the network, the card in the cache says it.
  server_.add("org/name", "README.md",
              "---\nlicense: mit\npipeline_tag: \"feature-extraction\"\n---\ntext\n");
  EXPECT_NE(export_onnx().find(expected), std::string::npos);
  EXPECT_NE(export_onnx({"--local_files_only"}).find(expected), std::string::npos);
  // A line of the text is not metadata.
  server_.set_mischief({});
  for (const char* card :
       {"pipeline_tag: feature-extraction\n", "---\n---\npipeline_tag: feature-extraction\n"}) {
    server_.add("org/name", "README.md", card);
    EXPECT_NE(export_onnx({"--force_download"}).find("task: fill-mask"), std::string::npos) << card;
  }
}

}  // namespace
}  // namespace onnxport::test
