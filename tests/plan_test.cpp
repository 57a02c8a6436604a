// Interfaces, components and plans as data, and what running a plan costs.
#include "onnxport/plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>

#include "errors.h"
#include "onnxport/error.h"
#include "onnxport/export.h"
#include "onnxport/inspect.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/op.h"
#include "opened_fixture.h"
#include "reference/interpreter.h"
#include "support/temp_folder.h"

namespace onnxport::test {
namespace {

namespace fs = std::filesystem;
using Strings = std::vector<std::string>;
using Integers = std::vector<std::int64_t>;

Strings names_of(const ExportPlan& plan) {
  Strings names;
  for (const Component& component : plan.components) names.push_back(component.name);
  for (const Merge& merge : plan.merges) names.push_back(merge.name);
  return names;
}

const StateSpec& state(const Component& component, std::int64_t layer, std::string_view part) {
  const auto& states = component.interface.states;
  const auto it = std::find_if(states.begin(), states.end(),
                               [&](const StateSpec& one) { return one.layer == layer && one.part == part; });
  EXPECT_NE(it, states.end()) << component.name << ' ' << layer << ' ' << part;
  return *it;
}

// ---- plans ----

TEST(Plan, ListsComponentsAndMerges) {
  const Opened t5("t5/text2text-generation-with-past");
  const Strings parts = {"encoder_model", "decoder_model", "decoder_with_past_model"};
  Strings with_merge = parts;
  with_merge.emplace_back("decoder_model_merged");
  EXPECT_EQ(names_of(t5.plan()), with_merge);
  EXPECT_EQ(names_of(t5.plan({.split = Split::apart})), parts);
  EXPECT_NE(
      complaint(ErrorCode::unsupported, [&] { t5.plan({.split = Split::monolith}); }).find("--monolith"),
      std::string::npos);
  const Opened without("t5/text2text-generation");
  EXPECT_EQ(names_of(without.plan()), (Strings{"encoder_model", "decoder_model"}));
  EXPECT_EQ(names_of(without.plan({.split = Split::monolith})), Strings{"model"});

  const ExportPlan plan = t5.plan({.dtype = "fp16", .opset = 17});
  EXPECT_EQ(plan.opset, 17);
  ASSERT_EQ(plan.variants.size(), 1U);
  EXPECT_EQ(plan.variants[0].dtype, DType::f16);
  EXPECT_EQ(plan.layout.path(plan.component("encoder_model"), plan.variants[0]),
            t5.folder() / "out" / "encoder_model.onnx");
  EXPECT_EQ(plan.component("decoder_model").part, "decoder");
  complaint(ErrorCode::internal, [&] { plan.component("unet"); });
}

TEST(Plan, RefusesAVariantThatThereIsNot) {
  const Opened bert("bert/fill-mask");
  EXPECT_NE(complaint(ErrorCode::invalid_argument, [&] { bert.plan({.variant = "split"}); })
                .find("--variant 'split': the variants of bert are default"),
            std::string::npos);
}

// One list gives names, axes and shapes of the cache.
TEST(Plan, StatesAreOneList) {
  const Opened t5("t5/text2text-generation-with-past");
  const ExportPlan plan = t5.plan();
  EXPECT_TRUE(plan.component("encoder_model").interface.states.empty());
  const Component& first = plan.component("decoder_model");
  const Component& next = plan.component("decoder_with_past_model");
  EXPECT_FALSE(first.interface.takes_past());
  EXPECT_TRUE(next.interface.takes_past());
  const StateSpec& given = state(first, 1, "key");
  EXPECT_EQ(given.input, "");
  EXPECT_EQ(given.output, "present.1.decoder.key");
  const StateSpec& own = state(next, 1, "key");
  EXPECT_EQ(own.input, "past_key_values.1.decoder.key");
  EXPECT_EQ(own.growing_axis, 2);
  EXPECT_EQ(own.shape[2], Dim::symbol("past_decoder_sequence_length"));
  EXPECT_EQ(own.grown, "past_decoder_sequence_length + decoder_sequence_length");
  const StateSpec& cross = state(next, 1, "encoder.value");
  EXPECT_EQ(cross.input, "past_key_values.1.encoder.value");
  EXPECT_EQ(cross.output, "");  // it does not change
  EXPECT_FALSE(cross.growing_axis.has_value());
  for (const StateSpec& one : next.interface.states) {
    const TensorSpec* input = next.interface.find_input(one.input);
    ASSERT_NE(input, nullptr) << one.input;
    EXPECT_EQ(input->shape, one.shape);
    EXPECT_EQ(next.interface.dummies->type(one.input, {.batch_size = 3, .past_sequence_length = 5}).shape[0],
              Dim(3));
  }
}

TEST(Plan, ChangesTheFloatDtypeOfAComponent) {
  const Opened llama("llama/text-generation-with-past");
  const Component whole = llama.plan().component("model");
  const Component half = in_dtype(whole, DType::f16);
  EXPECT_EQ(state(half, 0, "key").dtype, DType::f16);
  EXPECT_EQ(half.interface.find_input("past_key_values.0.key")->dtype, DType::f16);
  EXPECT_EQ(half.interface.find_input("input_ids")->dtype, DType::i64);
  const NamedTensors inputs = half.interface.dummies->make({});
  EXPECT_EQ(find(inputs, "past_key_values.0.key")->dtype, DType::f16);
  EXPECT_EQ(llama.model().build(half).outputs()[0].second.dtype(), DType::f16);
  EXPECT_EQ(state(whole, 0, "key").dtype, DType::f32);
}

TEST(Plan, ABatchIsAListOfPlans) {
  const Opened bert("bert/fill-mask"), llama("llama/text-generation-with-past");
  for (const ExportPlan& plan : std::vector<ExportPlan>{bert.plan(), llama.plan()})
    EXPECT_TRUE(run_plan(plan).passed());
  EXPECT_TRUE(fs::exists(bert.folder() / "out" / "model.onnx"));
  EXPECT_TRUE(fs::exists(llama.folder() / "out" / "model.onnx"));
}

// ---- what an export costs ----

// How often the graph of each component is built, and what is said of interpretations.
struct Costs {
  std::map<std::string, int> builds;  ///< by task and component
  Strings interpretations;
  ExportReport report;
};

Costs costs_of(const std::string& fixture, bool merged = true) {
  const Opened opened(fixture);
  Costs costs;
  auto counted = std::make_shared<ModelDefinition>(opened.model().definition());
  counted->forward = [&costs, original = counted->forward](const Inputs& inputs, const Model& model,
                                                           const Component& component) {
    ++costs.builds[component.task + ' ' + component.name];
    return original(inputs, model, component);
  };
  const Model model(counted, opened.model().config(), {.path = opened.checkpoint()}, opened.model().task());
  const ExportPlan plan =
      make_plan(model, {.split = merged ? Split::merged : Split::apart, .output = opened.folder() / "out"});
  RunOptions options;
  options.export_options.on_detail = [&](const std::string& text) {
    if (text.starts_with("interpreting ")) costs.interpretations.push_back(text);
  };
  costs.report = run_plan(plan, options);
  return costs;
}

TEST(Costs, EachGraphIsBuiltAndInterpretedOnce) {
  const Costs t5 = costs_of("t5/text2text-generation-with-past");
  const std::string task = "text2text-generation-with-past ";
  EXPECT_EQ(t5.builds, (std::map<std::string, int>{{task + "encoder_model", 1},
                                                   {task + "decoder_model", 1},
                                                   {task + "decoder_with_past_model", 1}}));
  EXPECT_EQ(t5.interpretations.size(), 3U);
  EXPECT_EQ(t5.report.validation.size(), 5U);  // the merged decoder has two branches
  EXPECT_TRUE(t5.report.passed());

  const Costs bert = costs_of("bert/fill-mask");
  EXPECT_EQ(bert.builds, (std::map<std::string, int>{{"fill-mask model", 1}}));
  EXPECT_EQ(bert.interpretations.size(), 1U);
  EXPECT_TRUE(bert.report.passed());
}

// Tensors that the task does not read: the graphs of other tasks tell whether they are known, and those of
// the export are not built again for it.
TEST(Costs, LeftoverTensorsAskOtherTasksOnly) {
  const Costs bart = costs_of("bart/feature-extraction+head-checkpoint");
  ASSERT_GT(bart.builds.size(), 1U);
  for (const auto& [name, count] : bart.builds) EXPECT_EQ(count, 1) << name;
}

// ---- integer inputs ----

TEST(IntDtype, FilesTakeIt) {
  for (const char* fixture :
       {"bert/fill-mask", "roberta/fill-mask", "llama/text-generation-with-past",
        "opt/text-generation-with-past", "bart/text2text-generation-with-past", "bart/text-classification",
        "t5/text2text-generation-with-past", "sam/feature-extraction", "clip/feature-extraction",
        "sentence-transformers/feature-extraction+mean"}) {
    for (const char* dtype : {"int32", "int8"}) {
      SCOPED_TRACE(std::string(fixture) + ' ' + dtype);
      const Opened opened(fixture);
      const ExportPlan plan = opened.plan({.int_dtype = dtype});
      const ExportReport report = run_plan(plan);
      for (const ValidationReport& one : report.validation) EXPECT_TRUE(one.passed()) << to_string(one);
      for (const Component& component : plan.components) {
        const ModelSummary summary = summarize(plan.layout.path(component, plan.variants[0]));
        for (const ValueSummary& input : summary.graph.inputs) {
          EXPECT_NE(input.type, "int64") << input.name;
          if (input.name == "input_ids") EXPECT_EQ(input.type, dtype);
        }
      }
    }
  }
}

// A vocabulary of this size.
Model with_vocabulary(const Opened& opened, std::int64_t size) {
  return opened.model().with_config(opened.model().config().with("vocab_size", std::to_string(size)));
}

TEST(IntDtype, NamesAVocabularyThatDoesNotFit) {
  const Opened bert("bert/fill-mask"), t5("t5/text2text-generation-with-past");
  EXPECT_EQ(complaint(ErrorCode::unsupported,
                      [&] { make_plan(with_vocabulary(bert, 129), {.int_dtype = "int8"}); }),
            "input 'input_ids' of dtype int8: vocab_size is 129, expected at most 128; use int32 or int64");
  EXPECT_NO_THROW(make_plan(with_vocabulary(bert, 128), {.int_dtype = "int8"}));
  EXPECT_NO_THROW(make_plan(with_vocabulary(bert, 129), {.int_dtype = "int32"}));
  complaint(ErrorCode::unsupported, [&] { make_plan(with_vocabulary(t5, 30000), {.int_dtype = "int8"}); });
  EXPECT_NE(complaint(ErrorCode::invalid_argument, [&] { bert.plan({.int_dtype = "int4"}); })
                .find("expected one of int64, int32, int8"),
            std::string::npos);
}

TEST(IntDtype, NamesPositionsThatDoNotFit) {
  const Opened llama("llama/text-generation-with-past");
  const DummyShapes shapes = {.sequence_length = 100, .past_sequence_length = 29};
  EXPECT_NE(
      complaint(ErrorCode::unsupported, [&] { llama.plan({.int_dtype = "int8", .shapes = shapes}); })
          .find("input 'position_ids' of dtype int8: the number of positions of the dummy inputs is 129, "
                "expected at most 128"),
      std::string::npos);
  EXPECT_EQ(llama.plan({.int_dtype = "int8"}).components[0].interface.dummies->longest_sequence, 64);
}

// ---- preprocessors ----

class AnyImages : public VisionOnnxConfig {
 public:
  using VisionOnnxConfig::VisionOnnxConfig;
  bool takes_any_image_size() const override { return false; }
};

TEST(Preprocessors, GiveTheImageSize) {
  const TempFolder folder;
  const auto loaded = [&](const std::string& text) {
    std::ofstream(folder.path() / "preprocessor_config.json") << text;
    return load_preprocessors(folder.path());
  };
  EXPECT_TRUE(load_preprocessors(folder.path()).empty());
  EXPECT_FALSE(loaded("{}")[0].image_size.has_value());
  EXPECT_EQ(loaded(R"({"size": 30})")[0].image_size, (ImageSize{30, 30}));
  const std::vector<Preprocessor> cropped =
      loaded(R"({"size": 30, "crop_size": {"height": 20, "width": 24}})");
  EXPECT_EQ(cropped[0].image_size, (ImageSize{20, 24}));
  EXPECT_EQ(cropped[0].file, folder.path() / "preprocessor_config.json");

  const PretrainedConfig config = PretrainedConfig::from_json("{}", "config.json", "resnet");
  const AnyImages plain(config, "feature-extraction");
  const AnyImages sized(config, "feature-extraction", {.preprocessors = cropped});
  EXPECT_EQ(plain.interface().inputs[0].shape, (Shape{Dim::symbol("batch_size"), 3, 64, 64}));
  EXPECT_EQ(sized.interface().inputs[0].shape, (Shape{Dim::symbol("batch_size"), 3, 20, 24}));
  EXPECT_EQ(sized.preprocessors().size(), 1U);
}

// ---- states of hybrids, tokens as vectors ----

// Layer 0 has a convolution's state, layer 1 none, layer 2 keys and values.
class HybridOnnxConfig : public TextDecoderOnnxConfig {
 public:
  using TextDecoderOnnxConfig::TextDecoderOnnxConfig;
  std::vector<StateSpec> states() const override {
    std::vector<StateSpec> states = {fixed_state(0, "conv", {4})};
    for (StateSpec& one : key_value(2, 1, 4)) states.push_back(std::move(one));
    return states;
  }
};

// The checkpoint of a hybrid that keeps its states in another order than it lists them.
class Hybrid : public testing::Test {
 protected:
  Hybrid() {
    fs::create_directories(folder.path());
    std::ofstream(folder.path() / "config.json") << R"({"model_type": "hybrid", "vocab_size": 7})";
    write_safetensors(folder.path() / "model.safetensors",
                      {{"table", Tensor::from_doubles(DType::f32, {7, 4}, std::vector<double>(28, 0.5))}});
    definition.model_type = "hybrid";
    definition.tasks = {"text-generation-with-past"};
    definition.onnx_config = make_onnx_config<HybridOnnxConfig>;
    definition.forward = [this](const Inputs& inputs, const Model& model, const Component& component) {
      model.config().integer("vocab_size");
      nn::DecoderPass pass(inputs, component.interface.states);
      Graph& graph = pass.graph();
      const Value x = op::embedding(graph.weight(model.scope().weight("table", {7, 4})), pass.input_ids());
      if (keeps_all) {
        const nn::KeyValue past = pass.past(2);
        const Value heads = op::unsqueeze(x, 1);
        const Value key = op::concat({past.key, heads}, 2);
        pass.keep(2, {key, op::concat({past.value, heads}, 2)});
      }
      EXPECT_FALSE(pass.past(1).key);
      EXPECT_FALSE(pass.past(0).key);
      const Value conv = op::add(pass.past(0, "conv"), op::sum(x, 1));
      pass.keep(0, "conv", conv);
      pass.keep(1, "conv", x);  // no state of the interface
      NamedValues outputs = {{"logits", op::add(x, op::unsqueeze(conv, 1))}};
      pass.add_presents(outputs);
      return outputs;
    };
  }
  Model open() const {
    return Model(std::make_shared<ModelDefinition>(definition),
                 PretrainedConfig::from_pretrained(folder.path()), {.path = folder.path()},
                 "text-generation-with-past");
  }

  TempFolder folder;
  ModelDefinition definition;
  bool keeps_all = true;
};

TEST_F(Hybrid, LayersTakeAndKeepTheirStatesByName) {
  const ExportPlan plan = make_plan(open(), {.output = folder.path() / "out"});
  const Interface& interface = plan.components[0].interface;
  EXPECT_EQ(interface.input_names(), (Strings{"input_ids", "attention_mask", "past_conv.0",
                                              "past_key_values.2.key", "past_key_values.2.value"}));
  EXPECT_EQ(interface.output_names(),
            (Strings{"logits", "present_conv.0", "present.2.key", "present.2.value"}));
  EXPECT_EQ(interface.find_input("past_conv.0")->shape, (Shape{Dim::symbol("batch_size"), 4}));
  const ExportReport report = run_plan(plan);
  for (const ValidationReport& one : report.validation) EXPECT_TRUE(one.passed()) << to_string(one);
  const ModelSummary file = summarize(folder.path() / "out" / "model.onnx");
  EXPECT_EQ(file.graph.outputs[1].shape, (Strings{"batch_size", "4"}));
  EXPECT_EQ(file.graph.outputs[2].shape,
            (Strings{"batch_size", "1", "past_sequence_length + sequence_length", "4"}));
}

TEST_F(Hybrid, NamesAStateThatNoLayerKept) {
  keeps_all = false;
  const Model model = open();
  EXPECT_NE(complaint(ErrorCode::internal, [&] { model.build(make_plan(model).components[0]); })
                .find("no layer kept the state 'present.2.key' (layer 2, key)"),
            std::string::npos);
}

// A decoder behind other towers takes its tokens as vectors.
class LlamaFromEmbeddings : public TextDecoderWithPositionIdsOnnxConfig {
 public:
  using TextDecoderWithPositionIdsOnnxConfig::TextDecoderWithPositionIdsOnnxConfig;
  AxesByName inputs() const override {
    AxesByName names = TextDecoderWithPositionIdsOnnxConfig::inputs();
    for (auto& [name, axes] : names) {
      if (name == "input_ids") name = "inputs_embeds";
    }
    return names;
  }
};

TEST(Decoder, TakesTokensAsVectors) {
  const Opened llama("llama/text-generation-with-past");
  const Model& model = llama.model();
  const Component by_ids = llama.plan().components[0];
  const Component by_vectors = LlamaFromEmbeddings(model.config(), model.task()).component();
  EXPECT_EQ(by_vectors.interface.find_input("inputs_embeds")->shape.back(), Dim(32));
  NamedTensors ids = by_ids.interface.dummies->make({});
  NamedTensors vectors = ids;
  const Tensor& tokens = ids[0].second;
  const Weight table = model.scope().base_model("model").weight("embed_tokens.weight", {99, 32});
  Tensor rows(DType::f32, {99, 32});
  table.cast(DType::f32).read(0, 99 * 32, rows.data.data());
  const std::vector<double> all = rows.to_doubles();
  std::vector<double> looked_up;
  for (const std::int64_t id : tokens.to_ints())
    looked_up.insert(looked_up.end(), all.begin() + id * 32, all.begin() + (id + 1) * 32);
  vectors[0] = {"inputs_embeds",
                Tensor::from_doubles(DType::f32, {tokens.shape[0], tokens.shape[1], 32}, looked_up)};
  const std::vector<reference::Case> first = {ids}, second = {vectors};
  const auto expected = reference::interpret(model.build(by_ids), first);
  const auto got = reference::interpret(model.build(by_vectors), second);
  ASSERT_EQ(got[0].size(), expected[0].size());
  for (std::size_t i = 0; i < got[0].size(); ++i)
    EXPECT_EQ(reference::to_tensor(got[0][i]).data, reference::to_tensor(expected[0][i]).data) << i;
}

// ---- validating what lies in a folder ----

TEST(MainValidate, FindsThePlanOfAFolder) {
  const Opened bart("bart/text2text-generation");
  for (const bool monolith : {false, true}) {
    const fs::path out = bart.folder() / (monolith ? "whole" : "split");
    const Split split = monolith ? Split::monolith : Split::merged;
    run_plan(make_plan(bart.model(), {.split = split, .output = out}), {.validate = false});
    const MainValidateOptions options{
        .model = bart.checkpoint(), .onnx = out, .task = "text2text-generation"};
    const auto reports = main_validate(options);
    EXPECT_EQ(reports.size(), monolith ? 1U : 2U);
    for (const ValidationReport& one : reports) EXPECT_TRUE(one.passed()) << to_string(one);
  }
  const auto of_file = main_validate({.model = bart.checkpoint(),
                                      .onnx = bart.folder() / "split" / "decoder_model.onnx",
                                      .task = "text2text-generation"});
  ASSERT_EQ(of_file.size(), 1U);
  EXPECT_TRUE(of_file[0].passed());
  complaint(ErrorCode::invalid_argument, [&] {
    main_validate({.model = bart.checkpoint(),
                   .onnx = bart.folder() / "split" / "unet.onnx",
                   .task = "text2text-generation"});
  });
  fs::remove(bart.folder() / "split" / "decoder_model.onnx");
  complaint(ErrorCode::io, [&] {
    main_validate(
        {.model = bart.checkpoint(), .onnx = bart.folder() / "split", .task = "text2text-generation"});
  });
}

TEST(MainValidate, ValidatesMergedDecoders) {
  const Opened t5("t5/text2text-generation-with-past");
  run_plan(t5.plan(), {.validate = false});
  const fs::path out = t5.folder() / "out";
  const std::string task = t5.model().task();
  EXPECT_EQ(main_validate({.model = t5.checkpoint(), .onnx = out, .task = task}).size(), 5U);
  const auto merged =
      main_validate({.model = t5.checkpoint(), .onnx = out / "decoder_model_merged.onnx", .task = task});
  ASSERT_EQ(merged.size(), 2U);
  EXPECT_TRUE(merged[0].passed() && merged[1].passed());
}

TEST(CheckpointBytes, CountTheFilesThatAreRead) {
  const Opened bert("bert/fill-mask");
  const auto bytes = fs::file_size(bert.checkpoint() / "model.safetensors");
  std::ofstream(bert.checkpoint() / "other.safetensors") << "not read";
  EXPECT_EQ(bert.model().checkpoint_bytes(), bytes);
}

}  // namespace
}  // namespace onnxport::test
