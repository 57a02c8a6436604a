// Checkpoints of the library timm: how they are found, and configurations that the fixtures do not have.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "errors.h"
#include "golden_fixture.h"
#include "onnxport/export.h"
#include "onnxport/nn/pooling.h"
#include "onnxport/nn/response_norm.h"
#include "onnxport/plan.h"
#include "onnxport/tasks_manager.h"
#include "reference/interpreter.h"
#include "support/file.h"
#include "support/json.h"
#include "support/temp_folder.h"

namespace onnxport::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using Strings = std::vector<std::string>;

const Strings fixtures = {
    "convnext_atto", "deit_tiny_distilled", "eva02_tiny",           "mixer_s16", "resnet50", "seresnet50",
    "regnety_002",   "swin_tiny",           "mobilenetv3_small_050"};

// A fixture's checkpoint, whose config.json changes.
struct Timm {
  explicit Timm(const std::string& variant) : fixture(read_fixture("timm/image-classification+" + variant)) {
    synthesize(fixture, folder.path());
    config = parse_json<json>(read_text_file(folder.path() / "config.json"));
  }
  Model open(const std::string& library = {}, const std::string& task = "auto") const {
    std::ofstream(folder.path() / "config.json") << config;
    return TasksManager::instance().get_model_from_task(task, folder.path(), library);
  }
  void build() const {
    const Model model = open();
    for (const Component& component : make_plan(model).components) model.build(component);
    model.check_accounting(false);
  }
  std::string complaint(ErrorCode code) const {
    return test::complaint(code, [&] { build(); });
  }

  GoldenFixture fixture;
  TempFolder folder;
  json config;
};

TEST(Timm, LibraryFamilyAndTaskAreInferred) {
  const Timm timm("resnet50");
  EXPECT_EQ(TasksManager::infer_library_from_model(timm.folder.path()), "timm");
  for (const char* library : {"", "timm"}) {
    const Model model = timm.open(library);
    EXPECT_EQ(model.definition().library, "timm");
    EXPECT_EQ(model.definition().model_type, "resnet");
    EXPECT_EQ(model.config().model_type(), "resnet50");
    EXPECT_EQ(model.task(), "image-classification");
  }
}

TEST(Timm, NameOfTheWeightsDoesNotMatter) {
  Timm timm("resnet50");
  timm.config["architecture"] = "resnet50.a1_in1k";
  EXPECT_EQ(timm.open().definition().model_type, "resnet");
  timm.build();
}

TEST(Timm, UnknownArchitectureListsWhatIsKnown) {
  Timm timm("resnet50");
  timm.config["architecture"] = "resnet51.a1_in1k";
  const std::string message = timm.complaint(ErrorCode::unsupported);
  for (const char* part :
       {"'resnet51'", "similar ones are: resnet50", "vision_transformer", "docs/kinds/timm.md"})
    EXPECT_NE(message.find(part), std::string::npos) << message;

  timm.config["architecture"] = 7;
  EXPECT_NE(timm.complaint(ErrorCode::bad_config).find("'architecture'"), std::string::npos);
  timm.config.erase("architecture");
  EXPECT_NE(test::complaint(ErrorCode::bad_config, [&] { timm.open("timm"); }).find("'architecture'"),
            std::string::npos);
}

// The keys of pretrained_cfg at the top, as early versions wrote them.
TEST(Timm, OldFilesHaveOneObject) {
  Timm timm("deit3_small");
  json flat = timm.config["pretrained_cfg"];
  for (const char* key : {"architecture", "num_features", "model_args"}) flat[key] = timm.config[key];
  timm.config = flat;
  timm.build();
}

TEST(Timm, EveryArgumentMustBeRead) {
  Timm timm("resnet50");
  timm.config["model_args"]["drop_path_rate"] = 0.1;  // of training
  timm.build();
  timm.config["model_args"]["aa_layer"] = "blurpool";
  EXPECT_NE(timm.complaint(ErrorCode::bad_config).find("model_args.aa_layer"), std::string::npos);
}

TEST(Timm, ArgumentsOfTheArchitectureAreFallbacks) {
  Timm timm("resnet18-full");
  timm.config.erase("model_args");
  timm.build();
  timm.config["model_args"] = {{"layers", nullptr}};
  timm.build();
}

// Values that no model has give one clear error or a graph.
TEST(Timm, HostileArguments) {
  for (const std::string& variant : fixtures) {
    const Timm original(variant);
    const Model model = original.open();
    for (const auto& [key, value] : original.config["model_args"].items()) {
      std::vector<json> hostile = {0,   -1,     1'000'003, "nonsense", json::array(), json::array({0, -5}),
                                   0.3, nullptr};
      if (value.is_array()) {
        json longer = value;
        longer.push_back(value.back());
        hostile.push_back(longer);
      }
      for (const json& one : hostile) {
        SCOPED_TRACE(fmt::format("{}: {} = {}", variant, key, one.dump()));
        json args = original.config["model_args"];
        args[key] = one;
        try {
          const Model changed = model.with_config(model.config().with("model_args", args.dump()));
          for (const Component& component : make_plan(changed).components) changed.build(component);
        } catch (const ExportError& error) {
          EXPECT_NE(error.code(), ErrorCode::internal) << error.what();
        }
      }
    }
  }
}

// The file that transformers' class around a model writes has a model type. Its keys may have a prefix.
TEST(Timm, Wrapper) {
  Timm timm("vit_tiny");
  timm.config["model_type"] = "timm_wrapper";
  timm.config["architectures"] = {"TimmWrapperForImageClassification"};
  EXPECT_EQ(TasksManager::infer_library_from_model(timm.folder.path()), "timm");
  std::ofstream(timm.folder.path() / "config.json") << timm.config;
  EXPECT_EQ(TasksManager::infer_library_from_model(timm.folder.path()), "transformers");
  for (const char* prefix : {"", "timm_model."}) {
    const fs::path weights = timm.folder.path() / "model.safetensors";
    NamedTensors tensors = read_safetensors(weights);
    for (auto& [name, tensor] : tensors) name.insert(0, prefix);
    write_safetensors(weights, tensors);
    const Model model = timm.open();
    EXPECT_EQ(model.definition().model_type, "timm_wrapper");
    EXPECT_EQ(model.task(), "image-classification");
    timm.build();

    const Model features = timm.open({}, "feature-extraction");
    const Graph graph = features.build(make_plan(features).components.front());
    EXPECT_EQ(graph.outputs()[0].second.shape(), (Shape{Dim::symbol("batch_size"), 17, 48}));
    EXPECT_EQ(graph.outputs()[1].second.shape(), (Shape{Dim::symbol("batch_size"), 48}));
  }
}

TEST(Timm, ResponseNormIsThatOfTheFormula) {
  constexpr std::int64_t pixels = 6, channels = 3;
  const std::vector<double> weights = {0.5, -2, 3}, biases = {1, 0.25, -1};
  Tensor x(DType::f32, {1, 2, 3, channels});
  std::vector<double> values;
  for (std::int64_t i = 0; i < pixels * channels; ++i) values.push_back(std::sin(static_cast<double>(i * i)));
  x = Tensor::from_doubles(DType::f32, x.shape, values);
  Graph graph;
  const Value input = graph.input("x", {DType::f32, {1, 2, 3, channels}});
  graph.output("y", nn::global_response_norm(input, Weight::from_doubles(DType::f32, {channels}, weights),
                                             Weight::from_doubles(DType::f32, {channels}, biases)));
  const auto y = reference::interpret(graph, {{{"x", x}}})[0][0].reals;

  values = x.to_doubles();
  std::vector<double> norms(channels, 0);
  for (std::size_t i = 0; i < values.size(); ++i) norms[i % channels] += values[i] * values[i];
  double mean = 0;
  for (double& norm : norms) mean += (norm = std::sqrt(norm)) / channels;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::size_t c = i % channels;
    const double expected = values[i] + values[i] * norms[c] / (mean + 1e-6) * weights[c] + biases[c];
    EXPECT_NEAR(y[i], expected, 1e-6) << i;
  }
}

// The last position may begin in the image and end outside of it.
TEST(Timm, PartialPoolingIsThatOfTheFormula) {
  for (const auto& [height, width] : {std::pair<std::int64_t, std::int64_t>{4, 6}, {5, 6}, {5, 7}, {1, 3}}) {
    Tensor x(DType::f32, {1, 2, height, width});
    std::vector<double> values;
    for (std::int64_t i = 0; i < 2 * height * width; ++i)
      values.push_back(std::sin(static_cast<double>(i * i)));
    x = Tensor::from_doubles(DType::f32, x.shape, values);
    values = x.to_doubles();
    Graph graph;
    const Value input = graph.input("x", {DType::f32, {1, 2, Dim::symbol("height"), Dim::symbol("width")}});
    graph.output("y",
                 nn::average_pool2d(
                     input, {.kernel = {2, 2}, .stride = {2, 2}, .count_padding = false, .partial = true}));
    const auto y = reference::interpret(graph, {{{"x", x}}})[0][0];
    ASSERT_EQ(y.shape, (std::vector<std::int64_t>{1, 2, (height + 1) / 2, (width + 1) / 2}));
    std::size_t i = 0;
    for (std::int64_t c = 0; c < 2; ++c) {
      for (std::int64_t top = 0; top < height; top += 2) {
        for (std::int64_t left = 0; left < width; left += 2) {
          double sum = 0, count = 0;
          for (std::int64_t r = top; r < std::min(top + 2, height); ++r) {
            for (std::int64_t k = left; k < std::min(left + 2, width); ++k, ++count)
              sum += values[static_cast<std::size_t>((c * height + r) * width + k)];
          }
          EXPECT_NEAR(y.reals[i++], sum / count, 1e-6);
        }
      }
    }
  }
}

}  // namespace
}  // namespace onnxport::test
