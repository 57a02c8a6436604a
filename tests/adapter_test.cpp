// Adapters: what merging them gives, compared with peft (the fixtures of tests/adapters), and what is
// exported.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>

#include "adapter_files.h"
#include "checkpoint/checkpoint.h"
#include "errors.h"
#include "exporter/adapters.h"
#include "ir/weight_compare.h"
#include "ir/weight_low_rank.h"
#include "onnxport/config.h"
#include "onnxport/error.h"
#include "onnxport/export.h"
#include "onnxport/tasks_manager.h"
#include "support/json.h"

namespace onnxport::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

/// The fixtures that have a file.
std::vector<std::string> fixtures_with(const char* file) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(fs::path(source_dir()) / "tests" / "adapters")) {
    if (fs::exists(entry.path() / file)) names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

/// The elements, read in ranges of `step`.
std::vector<float> read_in_steps(const Weight& weight, std::int64_t step) {
  std::vector<float> values(static_cast<std::size_t>(weight.numel()));
  for (std::int64_t i = 0; i < weight.numel(); i += step) {
    weight.read(i, std::min(step, weight.numel() - i), reinterpret_cast<std::byte*>(values.data() + i));
  }
  return values;
}

class AdapterFixture : public testing::TestWithParam<std::string> {};

TEST_P(AdapterFixture, MergesLikePeft) {
  const AdapterFiles files(GetParam());
  const auto base = Checkpoint::open(files.base());
  const auto config = PretrainedConfig::from_pretrained(files.base());
  const auto adapted = exporter::apply_adapters(base, config, "text-classification", files.adapters());
  std::map<std::string, Tensor> expected;
  for (auto& [key, tensor] : read_safetensors(files.fixture() / "merged.safetensors")) expected[key] = tensor;
  for (const TensorView& view : adapted.checkpoint->tensors()) {
    const Weight weight = adapted.checkpoint->weight(view);
    EXPECT_EQ(weight.name(), view.key);
    const auto found = expected.find(view.key);
    if (found == expected.end()) {  // not touched
      ASSERT_NE(base->find(view.key), nullptr) << view.key;
      EXPECT_TRUE(
          same_elements(weight.cast(DType::f32), base->weight(*base->find(view.key)).cast(DType::f32)));
      continue;
    }
    ASSERT_EQ(weight.shape(), found->second.shape) << view.key;
    const std::vector<double> wanted = found->second.to_doubles(), got = weight.to_doubles();
    double largest = 1, worst = 0;
    for (std::size_t i = 0; i < got.size(); ++i) {
      largest = std::max(largest, std::abs(wanted[i]));
      worst = std::max(worst, std::abs(got[i] - wanted[i]));
    }
    EXPECT_LE(worst, 5e-7 * largest) << view.key;  // peft adds in float32, in another order
    if (weight.dtype() == DType::f32) {
      EXPECT_EQ(read_in_steps(weight, 37), read_in_steps(weight, weight.numel())) << view.key;
    }
    EXPECT_TRUE(adapted.changed.contains(view.key)) << view.key;
    expected.erase(found);
  }
  EXPECT_TRUE(expected.empty()) << expected.begin()->first;
}

INSTANTIATE_TEST_SUITE_P(All, AdapterFixture, testing::ValuesIn(fixtures_with("merged.safetensors")),
                         [](const auto& one) { return one.param; });

class AdapterOutputs : public testing::TestWithParam<std::string> {};

TEST_P(AdapterOutputs, AreThoseOfPeft) {
  const AdapterFiles files(GetParam());
  const fs::path outputs = files.fixture() / "outputs.safetensors";
  // The recorded inputs of a decoder have no past.
  const std::string task = files.task() == "text-generation" ? files.task() : "auto";
  // The configuration of an adapter names ../base, and a second one is added to the first.
  const ExportReport report = main_export({.model = files.adapter(),
                                           .adapters = {files.adapters().begin() + 1, files.adapters().end()},
                                           .output = files.output(),
                                           .task = task,
                                           .reference = outputs});
  EXPECT_TRUE(report.passed());
  // The base model and all adapters by path give the same file.
  main_export({.model = files.base(),
               .adapters = files.adapters(),
               .output = files.output() / "again",
               .task = report.task,
               .validate = false});
  EXPECT_EQ(read_text_file(files.output() / "model.onnx"),
            read_text_file(files.output() / "again" / "model.onnx"));
}

INSTANTIATE_TEST_SUITE_P(All, AdapterOutputs, testing::ValuesIn(fixtures_with("outputs.safetensors")),
                         [](const auto& one) { return one.param; });

// ---------------------------------------------------------------------------------------------------------------------
// Task, configuration and companions

std::vector<std::string> notices_of(MainExportOptions options) {
  std::vector<std::string> notices;
  options.validate = false;
  options.export_options.on_notice = [&](const std::string& text) { notices.push_back(text); };
  main_export(options);
  return notices;
}

bool any_has(const std::vector<std::string>& lines, const std::string& text) {
  return std::any_of(lines.begin(), lines.end(),
                     [&](const std::string& line) { return line.find(text) != std::string::npos; });
}

TEST(Adapters, TaskLabelsAndTokenizerComeFromTheAdapter) {
  const AdapterFiles files("bert_head");  // the base model is a BertModel with 3 labels
  std::ofstream(files.base() / "tokenizer_config.json") << R"({"of": "base"})";
  std::ofstream(files.base() / "vocab.txt") << "a";
  std::ofstream(files.adapter() / "tokenizer_config.json") << R"({"of": "adapter"})";
  std::ofstream(files.adapter() / "config.json") << R"({"model_type": "other"})";
  const auto notices = notices_of({.model = files.adapter(), .output = files.output()});
  EXPECT_TRUE(any_has(notices, "task: text-classification (task_type of the adapter)"));
  EXPECT_TRUE(any_has(notices, "merged into 4 weights"));
  EXPECT_TRUE(any_has(notices, "3 labels, but 'classifier.weight' of the adapter has 5 rows"));
  const json config = parse_json<json>(read_text_file(files.output() / "config.json"));
  EXPECT_EQ(config["model_type"], "bert");
  EXPECT_EQ(config["id2label"].size(), 5U);
  EXPECT_EQ(config["label2id"]["LABEL_4"], 4);
  EXPECT_EQ(read_text_file(files.output() / "tokenizer_config.json"), R"({"of": "adapter"})");
  EXPECT_EQ(read_text_file(files.output() / "vocab.txt"), "a");
  EXPECT_FALSE(fs::exists(files.output() / "adapter_config.json"));
}

TEST(Adapters, ClassOfTheBaseModelTellsTheTask) {
  const AdapterFiles files("bert_head");
  files.edit_config([](auto& config) {
    config["task_type"] = nullptr;
    config["modules_to_save"] = {"classifier"};
    config["auto_mapping"] = {{"base_model_class", "BertForTokenClassification"}};
  });
  const TasksManager& tasks = TasksManager::instance();
  EXPECT_EQ(tasks.get_model_from_task("auto", files.base(), {.adapters = files.adapters()}).task(),
            "token-classification");
  files.edit_config([](auto& config) { config["auto_mapping"] = nullptr; });
  EXPECT_EQ(tasks.get_model_from_task("auto", files.base(), {.adapters = files.adapters()}).task(),
            "feature-extraction");
}

// The embeddings of a model with more tokens come as a whole, both of them.
TEST(Adapters, MoreTokens) {
  const AdapterFiles files("llama_layers_saved");
  files.edit_tensors([](NamedTensors& tensors) {
    for (auto& [key, tensor] : tensors) {
      if (tensor.shape[0] != 99) continue;
      tensor.data.insert(tensor.data.end(), tensor.data.begin(), tensor.data.begin() + 2 * 32 * 4);
      tensor.shape[0] = 101;
    }
  });
  const auto notices = notices_of({.model = files.adapter(), .output = files.output()});
  EXPECT_TRUE(any_has(notices, "vocab_size is now 101"));
  EXPECT_EQ(parse_json<json>(read_text_file(files.output() / "config.json"))["vocab_size"], 101);
}

// Spellings of the same tensors in files of older versions.
TEST(Adapters, OtherSpellingsOfKeys) {
  const AdapterFiles files("bert_head");
  main_export({.model = files.adapter(), .output = files.output(), .validate = false});
  files.edit_tensors([](NamedTensors& tensors) {
    const auto replace = [](std::string& key, const std::string& from, const std::string& to) {
      if (const auto at = key.find(from); at != std::string::npos) key.replace(at, from.size(), to);
    };
    for (auto& [key, tensor] : tensors) {
      replace(key, "lora_A.weight", "lora_A.default.weight");
      replace(key, "lora_B.weight", "lora_B.other.weight");
      replace(key, "query.bias", "query.base_layer.bias");
      replace(key, "classifier.weight", "classifier.modules_to_save.default.weight");
    }
  });
  main_export({.model = files.adapter(), .output = files.output() / "again", .validate = false});
  EXPECT_EQ(read_text_file(files.output() / "model.onnx"),
            read_text_file(files.output() / "again" / "model.onnx"));
}

TEST(Adapters, ModulesAroundAnAdapterAreNotLeftOut) {
  const AdapterFiles files("bert_head");
  std::ofstream(files.adapter() / "modules.json") << "[]";
  const std::string message = complaint([&] { get_model_source(files.adapter()); }, ErrorCode::unsupported);
  EXPECT_NE(message.find("modules.json"), std::string::npos) << message;
}

// An adapter of an adapter: both belong to the model.
TEST(Adapters, BaseModelIsAnAdapter) {
  const AdapterFiles files("llama_two");
  files.edit_config([](auto& config) { config["base_model_name_or_path"] = "../adapter_0"; },
                    "adapter_1/adapter_config.json");
  const ModelSource source = get_model_source(files.adapters()[1]);
  EXPECT_TRUE(fs::equivalent(source.model, files.base()));
  ASSERT_EQ(source.adapters.size(), 2U);
  EXPECT_TRUE(fs::equivalent(source.adapters[0], files.adapters()[0]));
  EXPECT_TRUE(fs::equivalent(source.adapters[1], files.adapters()[1]));
}

// ---------------------------------------------------------------------------------------------------------------------
// The product

TEST(LowRank, EqualsTheProductInEveryRange) {
  std::mt19937 random(1);
  const auto matrix = [&](std::int64_t rows, std::int64_t columns) {
    std::vector<double> values(static_cast<std::size_t>(rows * columns));
    for (double& value : values) value = static_cast<float>(random() % 2001) / 1000.0F - 1.0F;
    return Weight::from_doubles(DType::f32, {rows, columns}, values);
  };
  // Extents beyond a tile of 32768 elements in each direction.
  for (const auto& [rows, rank, columns] : std::vector<std::array<std::int64_t, 3>>{
           {5, 3, 7}, {1, 1, 1}, {3, 20000, 5}, {70, 900, 90}, {2, 1, 70000}}) {
    const Weight base = matrix(rows, columns), left = matrix(rows, rank), right = matrix(rank, columns);
    const Weight product = add_low_rank(base, left, right, 0.25);
    const std::vector<double> a = left.to_doubles(), b = right.to_doubles(), c = base.to_doubles();
    const std::vector<float> whole = read_in_steps(product, product.numel());
    EXPECT_EQ(whole, read_in_steps(product, 101));
    for (std::size_t i = 0; i < whole.size(); i += 11) {
      const auto width = static_cast<std::size_t>(columns), r = static_cast<std::size_t>(rank);
      double sum = 0;
      for (std::size_t k = 0; k < r; ++k) sum += a[i / width * r + k] * b[k * width + i % width];
      ASSERT_EQ(whole[i], static_cast<float>(c[i] + sum * 0.25)) << i;
    }
  }
  EXPECT_THROW(add_low_rank(matrix(2, 2), matrix(2, 3), matrix(4, 2), 1), ExportError);
  EXPECT_THROW(add_low_rank(matrix(3, 2), matrix(2, 3), matrix(3, 2), 1), ExportError);
}

}  // namespace
}  // namespace onnxport::test
