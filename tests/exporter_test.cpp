#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <numeric>

#include "errors.h"
#include "onnxport/error.h"
#include "onnxport/model.h"
#include "onnxport/op.h"
#include "onnxport/tasks_manager.h"
#include "support/temp_folder.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;
using test::complaint;
using Strings = std::vector<std::string>;
using Integers = std::vector<std::int64_t>;

testing::AssertionResult contains(const std::string& text, const std::string& part) {
  if (text.find(part) != text.npos) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "\"" << text << "\" has no \"" << part << '"';
}

void write(const fs::path& file, std::string_view content) {
  fs::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary) << content;
}

/// A safetensors file of zeros.
void write_weights(const fs::path& file, const std::vector<std::pair<std::string, Integers>>& tensors) {
  std::string header;
  std::uint64_t end = 0;
  for (const auto& [name, shape] : tensors) {
    const std::uint64_t begin = end;
    end += std::accumulate(shape.begin(), shape.end(), sizeof(float), std::multiplies<>());
    header += fmt::format(R"({}"{}":{{"dtype":"F32","shape":[{}],"data_offsets":[{},{}]}})",
                          header.empty() ? "{" : ",", name, fmt::join(shape, ","), begin, end);
  }
  header += "}";
  std::string bytes;
  for (int shift = 0; shift < 64; shift += 8) bytes += static_cast<char>(header.size() >> shift & 0xff);
  write(file, bytes + header + std::string(end, '\0'));
}

// ---- an architecture of one embedding ----

constexpr const char* toy_config =
    R"({"model_type": "toy", "architectures": ["ToyModel"], "vocab_size": 5, "hidden_size": 4})";

class ToyOnnxConfig : public TextEncoderOnnxConfig {
 public:
  using TextEncoderOnnxConfig::TextEncoderOnnxConfig;
  AxesByName inputs() const override {
    return text_inputs({"input_ids", "attention_mask", "token_type_ids"});
  }
};

NamedValues toy_forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Scope s = model.scope();
  const std::int64_t hidden = model.config().integer("hidden_size");
  Graph& graph = inputs["input_ids"].graph();
  const Value table =
      graph.weight(s.weight("embeddings.weight", {model.config().integer("vocab_size"), hidden}));
  const Value states = op::embedding(table, inputs["input_ids"]);
  const auto head = [&](Value x, const std::string& name, std::int64_t out) {
    return op::linear(x, graph.weight(s.weight(name, {out, hidden})));
  };
  if (component.task == "feature-extraction") return {{"last_hidden_state", states}};
  if (component.task == "fill-mask") return {{"logits", head(states, "lm_head.weight", 5)}};
  const Value pooled = head(op::select(states, 1, 0), "pooler.weight", hidden);
  return {{"logits", head(pooled, "classifier.weight", model.config().num_labels())}};
}

ModelDefinition toy_definition() {
  ModelDefinition definition;
  definition.model_type = "toy";
  definition.tasks = {"feature-extraction", "fill-mask", "text-classification"};
  definition.forward = toy_forward;
  definition.ignorable_keys = {"*.position_ids"};
  return definition;
}

/// A registry that knows the toy, and a checkpoint of it.
class Exporter : public testing::Test {
 protected:
  Exporter() {
    PretrainedConfig::register_class_defaults("toy",
                                              R"({"vocab_size": 5, "hidden_size": 8, "pad_token_id": 0})");
    manager.register_model<ToyOnnxConfig>(toy_definition());
    write_config(toy_config);
    write_weights({{"embeddings.weight", {5, 4}}});
  }
  void write_config(std::string_view text) const { write(folder.path() / "config.json", text); }
  void write_weights(const std::vector<std::pair<std::string, Integers>>& tensors) const {
    onnxport::write_weights(folder.path() / "model.safetensors", tensors);
  }
  Model open(std::string_view task = "feature-extraction") const {
    return manager.get_model_from_task(task, folder.path());
  }
  static std::shared_ptr<const OnnxConfig> config_of(const Model& model) {
    return model.definition().onnx_config(model.config(), model.task(), {});
  }
  /// A model of the toy with another forward function, built.
  void build_with(Forward forward, bool dynamic_axes = true) {
    ModelDefinition definition = toy_definition();
    definition.forward = std::move(forward);
    manager.register_model<ToyOnnxConfig>(std::move(definition));
    const Model model = open();
    model.build(*config_of(model), {}, dynamic_axes);
  }

  TempFolder folder;
  TasksManager manager;
};

PretrainedConfig bert(std::string_view text = "{}") {
  return PretrainedConfig::from_json(text, "config.json", "bert");
}

// ---- OnnxConfig ----

class PlainConfig : public TextEncoderOnnxConfig {
 public:
  PlainConfig(PretrainedConfig config, std::string task = "feature-extraction",
              OnnxConfigOptions options = {}, AxesByName inputs = {})
      : TextEncoderOnnxConfig(std::move(config), std::move(task), std::move(options)),
        inputs_(std::move(inputs)) {}
  AxesByName inputs() const override { return inputs_.empty() ? TextEncoderOnnxConfig::inputs() : inputs_; }

 private:
  AxesByName inputs_;
};

TEST(OnnxConfig, ChecksDtypes) {
  const PlainConfig config(bert(), "fill-mask", {.int_dtype = "int32", .float_dtype = "bf16"});
  EXPECT_EQ(config.int_dtype(), DType::i32);
  EXPECT_EQ(config.float_dtype(), DType::bf16);
  EXPECT_EQ(complaint(ErrorCode::invalid_argument,
                      [] { PlainConfig(bert(), "fill-mask", {.float_dtype = "fp8"}); }),
            "float dtype 'fp8', expected one of fp32, fp16, bf16");
  EXPECT_TRUE(contains(
      complaint(ErrorCode::invalid_argument, [] { PlainConfig(bert(), "x", {.int_dtype = "fp32"}); }),
      "expected one of int64, int32, int8"));
}

TEST(OnnxConfig, NamesOutputsByTask) {
  const auto outputs = [](const std::string& task) { return PlainConfig(bert(), task).outputs(); };
  const Axes tokens = {{0, "batch_size"}, {1, "sequence_length"}};
  EXPECT_EQ(outputs("feature-extraction"), (AxesByName{{"last_hidden_state", tokens}}));
  EXPECT_EQ(outputs("default"), outputs("feature-extraction"));
  EXPECT_EQ(outputs("sequence-classification"), (AxesByName{{"logits", {{0, "batch_size"}}}}));
  EXPECT_EQ(outputs("question-answering"), (AxesByName{{"start_logits", tokens}, {"end_logits", tokens}}));
  EXPECT_EQ(outputs("multiple-choice"), (AxesByName{{"logits", {{0, "batch_size"}, {1, "num_choices"}}}}));
  EXPECT_TRUE(contains(complaint(ErrorCode::unsupported, [&] { outputs("juggling"); }), "task 'juggling'"));
}

TEST(OnnxConfig, TextInputsHaveChoicesWhereTheTaskHas) {
  EXPECT_EQ(PlainConfig(bert()).inputs()[1].second, (Axes{{0, "batch_size"}, {1, "sequence_length"}}));
  EXPECT_EQ(PlainConfig(bert(), "multiple-choice").inputs()[0].second,
            (Axes{{0, "batch_size"}, {1, "num_choices"}, {2, "sequence_length"}}));
}

TEST(OnnxConfig, InterfaceOverlaysSymbolsOnSizes) {
  const PlainConfig config(
      bert(), "feature-extraction", {.int_dtype = "int32"},
      {{"input_ids", {{0, "batch_size"}}}, {"attention_mask", {{1, "past + sequence_length"}}}});
  const std::vector<TensorSpec> inputs = config.interface().inputs;
  EXPECT_EQ(inputs[0].dtype, DType::i32);
  EXPECT_EQ(inputs[0].shape, (Shape{Dim::symbol("batch_size"), 16}));
  EXPECT_EQ(inputs[1].shape, (Shape{2, Dim::symbol("past") + Dim::symbol("sequence_length")}));
  EXPECT_EQ(inputs[1].axes.at(1).name, "past + sequence_length");
  const Interface fixed = config.interface({.batch_size = 3, .sequence_length = 7}, false);
  EXPECT_EQ(fixed.inputs[1].shape, (Shape{3, 7}));
  EXPECT_EQ(fixed.output_names(), Strings{"last_hidden_state"});

  const PlainConfig wrong(bert(), "fill-mask", {}, {{"input_ids", {{2, "x"}}}});
  EXPECT_TRUE(contains(complaint(ErrorCode::internal, [&] { wrong.interface(); }),
                       "names axis 2 'x', but the dummy tensor has 2"));
}

// ---- dummy inputs ----

const AxesByName text_inputs = {
    {"input_ids", {}}, {"attention_mask", {}}, {"token_type_ids", {}}, {"position_ids", {}}};

Integers dummy(const OnnxConfig& config, std::string_view name, std::uint64_t seed = 0,
               const DummyShapes& shapes = {}) {
  return find(config.generate_dummy_inputs(shapes, seed), name)->to_ints();
}

TEST(DummyInputs, FollowTheVocabulary) {
  const PlainConfig config(bert(R"({"vocab_size": 4, "pad_token_id": 2})"), "fill-mask", {}, text_inputs);
  const Integers ids = dummy(config, "input_ids");
  EXPECT_EQ(ids.size(), 32U);
  for (const std::int64_t id : {0, 1, 3}) EXPECT_NE(std::count(ids.begin(), ids.end(), id), 0) << id;
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 2), 0);
  EXPECT_LE(*std::max_element(ids.begin(), ids.end()), 3);
  EXPECT_EQ(dummy(config, "attention_mask"), Integers(32, 1));
  const Integers positions = dummy(config, "position_ids");
  EXPECT_EQ(positions[15], 15);
  EXPECT_EQ(positions[16], 0);
  const Integers types = dummy(config, "token_type_ids");
  EXPECT_EQ(std::count(types.begin(), types.end(), 0) + std::count(types.begin(), types.end(), 1), 32);
  EXPECT_NE(std::count(types.begin(), types.end(), 1), 0);
}

TEST(DummyInputs, KeepWithinSmallTables) {
  const PlainConfig one(bert(R"({"vocab_size": 1, "pad_token_id": 0, "type_vocab_size": 1})"), "fill-mask",
                        {}, text_inputs);
  EXPECT_EQ(dummy(one, "input_ids"), Integers(32, 0));
  EXPECT_EQ(dummy(one, "token_type_ids"), Integers(32, 0));
  const PlainConfig none(bert(R"({"vocab_size": 0})"));
  EXPECT_TRUE(
      contains(complaint(ErrorCode::bad_config, [&] { none.generate_dummy_inputs(); }), "'vocab_size' is 0"));
}

TEST(DummyInputs, DependOnTheSeedAlone) {
  const PlainConfig config(bert());
  EXPECT_EQ(dummy(config, "input_ids", 1), dummy(PlainConfig(bert()), "input_ids", 1));
  EXPECT_NE(dummy(config, "input_ids", 1), dummy(config, "input_ids", 2));
}

TEST(DummyInputs, HaveTheAskedSizes) {
  const NamedTensors tensors =
      PlainConfig(bert(), "multiple-choice", {.int_dtype = "int32"})
          .generate_dummy_inputs({.batch_size = 3, .sequence_length = 5, .num_choices = 2});
  EXPECT_EQ(tensors[0].second.shape, (Integers{3, 2, 5}));
  EXPECT_EQ(tensors[0].second.dtype, DType::i32);
  const PlainConfig config(bert());
  EXPECT_TRUE(contains(
      complaint(ErrorCode::invalid_argument, [&] { config.generate_dummy_inputs({.batch_size = 0}); }),
      "batch_size of the dummy inputs is 0"));
  EXPECT_TRUE(contains(
      complaint(ErrorCode::invalid_argument,
                [&] { config.generate_dummy_inputs({.batch_size = 1 << 20, .sequence_length = 1 << 20}); }),
      "choose smaller sizes"));
}

TEST(DummyInputs, OfAudio) {
  const AudioOnnxConfig config(PretrainedConfig::from_json("{}", "config.json", "wav2vec2"),
                               "audio-classification", {.float_dtype = "fp16"});
  EXPECT_EQ(config.inputs(), (AxesByName{{"input_values", {{0, "batch_size"}, {1, "sequence_length"}}}}));
  const NamedTensors tensors = config.generate_dummy_inputs({.batch_size = 3, .audio_sequence_length = 50});
  ASSERT_EQ(tensors.size(), 1U);
  EXPECT_EQ(tensors[0].second.dtype, DType::f16);
  EXPECT_EQ(tensors[0].second.shape, (Integers{3, 50}));
  const std::vector<double> values = tensors[0].second.to_doubles();
  const auto [lowest, highest] = std::minmax_element(values.begin(), values.end());
  EXPECT_GE(*lowest, -1);
  EXPECT_LT(*lowest, -0.5);
  EXPECT_LE(*highest, 1);
  EXPECT_GT(*highest, 0.5);
  EXPECT_TRUE(contains(
      complaint(
          ErrorCode::invalid_argument,
          [&] { config.generate_dummy_inputs({.batch_size = 1 << 20, .audio_sequence_length = 1 << 20}); }),
      "choose smaller sizes"));
}

TEST(DummyInputs, NameAnInputWithoutGenerator) {
  const PlainConfig config(bert(), "fill-mask", {}, {{"pixel_values", {}}});
  EXPECT_TRUE(contains(complaint(ErrorCode::internal, [&] { config.generate_dummy_inputs(); }),
                       "makes input 'pixel_values'"));
}

// ---- Inputs ----

TEST(Inputs, AreFoundByName) {
  Graph graph;
  const Value a = graph.input("a", {DType::i64, {2}});
  const Value b = graph.input("b", {DType::i64, {3}});
  const Inputs inputs({{"a", a}});
  EXPECT_EQ(inputs["a"], a);
  EXPECT_FALSE(inputs.has("b"));
  EXPECT_TRUE(contains(complaint(ErrorCode::internal, [&] { inputs["b"]; }), "asks for input 'b'"));
  EXPECT_EQ(inputs.with("b", b)["b"], b);
  EXPECT_EQ(inputs.with("a", b)["a"], b);
  EXPECT_EQ(inputs["a"], a);
}

// ---- Model ----

TEST_F(Exporter, BuildsAGraph) {
  const Model model = open();
  const Graph graph = model.build(*config_of(model));
  ASSERT_EQ(graph.inputs().size(), 3U);
  EXPECT_EQ(graph.inputs()[0].first, "input_ids");
  ASSERT_EQ(graph.outputs().size(), 1U);
  EXPECT_EQ(to_string(graph.outputs()[0].second.type()), "float32[batch_size, sequence_length, 4]");
  EXPECT_EQ(model.check_accounting(false), Strings{});
  EXPECT_EQ(model.num_parameters(), 20);

  const Graph fixed = model.build(*config_of(model), {.batch_size = 1, .sequence_length = 3}, false);
  EXPECT_EQ(to_string(fixed.outputs()[0].second.type()), "float32[1, 3, 4]");
  const Graph half =
      model.build(ToyOnnxConfig(model.config(), "feature-extraction", {.float_dtype = "fp16"}));
  EXPECT_EQ(half.outputs()[0].second.dtype(), DType::f16);
}

TEST_F(Exporter, WantsTheOutputsOfTheConfigurationClass) {
  const auto no_output = [](const Inputs&, const Model&, const Component&) { return NamedValues{}; };
  EXPECT_TRUE(
      contains(complaint(ErrorCode::internal, [&] { build_with(no_output); }), "lists 'last_hidden_state'"));
  const auto no_value = [](const Inputs&, const Model&, const Component&) {
    return NamedValues{{"last_hidden_state", {}}};
  };
  EXPECT_TRUE(contains(complaint(ErrorCode::internal, [&] { build_with(no_value); }),
                       "no value for output 'last_hidden_state'"));
}

TEST_F(Exporter, WantsTheAxesOfTheConfigurationClass) {
  const auto output = [](auto change) {
    return [change](const Inputs& inputs, const Model&, const Component&) {
      return NamedValues{{"last_hidden_state", change(inputs["input_ids"])}};
    };
  };
  EXPECT_TRUE(
      contains(complaint(ErrorCode::shape,
                         [&] { build_with(output([](Value ids) { return op::transpose(ids, 0, 1); })); }),
               "axis 0 of output 'last_hidden_state' [sequence_length, batch_size] is 'sequence_length', but "
               "its configuration class calls it 'batch_size'"));
  EXPECT_THROW(build_with(output([](Value ids) { return op::select(ids, 1, 0); })),
               ExportError);                                                               // no axis 1
  EXPECT_NO_THROW(build_with(output([](Value ids) { return op::slice(ids, 1, 0, 1); })));  // fixed: a number
  EXPECT_NO_THROW(build_with(output([](Value ids) { return op::transpose(ids, 0, 1); }), false));
  // What strides make of a length goes by its name, and by no other input's.
  const auto half = [](Value x, std::int64_t axis) {  // a sum: floor(…) + min(…)
    return op::slice(x, axis, 0, x.dim(axis).floor_div(2) + x.dim(axis).min(1));
  };
  EXPECT_NO_THROW(build_with(output([=](Value ids) { return half(ids, 1); })));
  EXPECT_THROW(build_with(output([=](Value ids) { return half(op::transpose(ids, 0, 1), 0); })), ExportError);
  EXPECT_THROW(build_with(output([](Value ids) { return op::concat({ids, ids}, 1); })), ExportError);
}

TEST_F(Exporter, RefusesAConfigurationForAnotherTask) {
  const Model model = open();
  EXPECT_TRUE(contains(
      complaint(ErrorCode::internal, [&] { model.build(ToyOnnxConfig(model.config(), "fill-mask")); }),
      "opened for task 'feature-extraction'"));
}

TEST_F(Exporter, KnowsTheHeadsOfOtherTasks) {
  write_weights({{"embeddings.weight", {5, 4}},
                 {"lm_head.weight", {5, 4}},
                 {"pooler.weight", {4, 4}},
                 {"x.position_ids", {1}}});
  const Model model = open();
  model.build(*config_of(model));
  EXPECT_EQ(model.check_accounting(false), Strings{});  // the pooler too, though the classifier is missing
}

TEST_F(Exporter, NamesTensorsThatNobodyReads) {
  write_weights({{"embeddings.weight", {5, 4}},
                 {"lm_head.weight", {5, 4}},
                 {"surprise.weight", {2}},
                 {"surprise.bias", {2}}});
  const Model model = open();
  model.build(*config_of(model));
  const std::string message = complaint(ErrorCode::bad_checkpoint, [&] { model.check_accounting(false); });
  EXPECT_TRUE(contains(
      message, "unexpected tensors in model.safetensors: surprise.bias, surprise.weight; no task of 'toy'"));
  EXPECT_EQ(model.check_accounting(true), Strings{message});

  std::vector<std::pair<std::string, Integers>> many = {{"embeddings.weight", {5, 4}}};
  for (int i = 0; i < 20; ++i) many.push_back({"surprise." + std::to_string(i), {1}});
  write_weights(many);
  const Model other = open();
  other.build(*config_of(other));
  EXPECT_TRUE(contains(other.check_accounting(true).at(0), ", … (20 in all); "));
}

TEST_F(Exporter, NamesKnobsThatNobodyReads) {
  write_config(
      R"({"model_type": "toy", "hidden_size": 4, "is_decoder": true, "odd_key": 1, "pad_token_id": 3})");
  const Model model = open();
  model.build(*config_of(model));
  const std::string message = complaint(ErrorCode::bad_config, [&] { model.check_accounting(false); });
  // The dummy inputs looked at pad_token_id, the graph did not; and hidden_size was read.
  EXPECT_TRUE(contains(message,
                       "config.json sets is_decoder = true (default false), pad_token_id = 3 (default 0), "
                       "which the definition of 'toy' does not read"));
  EXPECT_EQ(model.check_accounting(true), Strings{message});
  EXPECT_EQ(model.config().unknown_keys(), Strings{"odd_key"});
}

TEST_F(Exporter, OtherTasksDoNotCountAsReading) {
  write_config(R"({"model_type": "toy", "hidden_size": 4, "vocab_size": 5, "head_scale": 2})");
  PretrainedConfig::register_class_defaults("toy", R"({"vocab_size": 5, "hidden_size": 8, "head_scale": 1})");
  write_weights({{"embeddings.weight", {5, 4}}, {"lm_head.weight", {5, 4}}});
  ModelDefinition definition = toy_definition();
  definition.forward = [](const Inputs& inputs, const Model& model, const Component& component) {
    if (component.task == "fill-mask") model.config().integer("head_scale");
    return toy_forward(inputs, model, component);
  };
  manager.register_model<ToyOnnxConfig>(std::move(definition));
  const Model model = open();
  model.build(*config_of(model));
  EXPECT_TRUE(contains(complaint(ErrorCode::bad_config, [&] { model.check_accounting(false); }),
                       "head_scale = 2 (default 1)"));
}

TEST_F(Exporter, ReadsFoldersBelow) {
  onnxport::write_weights(folder.path() / "2_Dense" / "model.safetensors",
                          {{"linear.weight", {2, 4}}, {"linear.bias", {2}}});
  write(folder.path() / "2_Dense" / "config.json", "{\"in_features\": 4}");
  ModelDefinition definition = toy_definition();
  definition.forward = [](const Inputs& inputs, const Model& model, const Component& component) {
    const Value states = toy_forward(inputs, model, component)[0].second;
    const Value weight = states.graph().weight(model.scope_of("2_Dense").weight("linear.weight", {2, 4}));
    return NamedValues{{"last_hidden_state", op::linear(states, weight)}};
  };
  manager.register_model<ToyOnnxConfig>(std::move(definition));
  const Model model = open();
  EXPECT_EQ(model.read_file("2_Dense/config.json"), "{\"in_features\": 4}");
  EXPECT_EQ(to_string(model.build(*config_of(model)).outputs()[0].second.type()),
            "float32[batch_size, sequence_length, 2]");
  EXPECT_TRUE(contains(complaint(ErrorCode::bad_checkpoint, [&] { model.check_accounting(false); }),
                       "unexpected tensors in 2_Dense/model.safetensors: linear.bias"));
  EXPECT_EQ(model.num_parameters(), 30);
}

TEST_F(Exporter, StaysInItsFolder) {
  const Model model = open();
  for (const char* name : {"../x", "a/../../x", "/etc/passwd", ""}) {
    EXPECT_TRUE(contains(complaint(ErrorCode::bad_config, [&] { model.read_file(name); }), "is not inside"))
        << name;
    EXPECT_TRUE(contains(complaint(ErrorCode::bad_config, [&] { model.scope_of(name / fs::path("..")); }),
                         "is not inside"));
  }
  EXPECT_TRUE(contains(complaint(ErrorCode::bad_config, [&] { model.read_file("none.json"); }),
                       "none.json: no such file"));
}

TEST_F(Exporter, WantsWeights) {
  fs::remove(folder.path() / "model.safetensors");
  complaint(ErrorCode::bad_checkpoint, [&] { open(); });
}

// ---- TasksManager ----

TEST_F(Exporter, RegistryKnowsItsTypes) {
  EXPECT_EQ(manager.get_supported_model_types(), Strings{"toy"});
  EXPECT_EQ(manager.get_supported_tasks_for_model_type("toy"), toy_definition().tasks);
  EXPECT_EQ(manager.get_definition("toy")->model_type, "toy");
  const auto make = manager.get_exporter_config_constructor("toy", "masked-lm");
  EXPECT_EQ(make(bert(), "masked-lm", {})->task(), "fill-mask");
  EXPECT_EQ(manager.get_exporter_config_constructor(open("default"))(bert(), "default", {})->inputs().size(),
            3U);

  ModelDefinition later = toy_definition();
  later.tasks = {"fill-mask"};
  manager.register_model<ToyOnnxConfig>(later);
  later.library = "a_library";
  manager.register_model<ToyOnnxConfig>(later);
  EXPECT_EQ(manager.get_supported_tasks_for_model_type("toy"), Strings{"fill-mask"});
  ASSERT_EQ(manager.definitions().size(), 2U);
  EXPECT_EQ(manager.definitions()[0]->library, "a_library");
}

TEST_F(Exporter, RegistryNamesWhatIsNotSupported) {
  EXPECT_TRUE(contains(complaint(ErrorCode::unsupported, [&] { manager.get_definition("toyy"); }),
                       "similar types are: toy;"));
  EXPECT_TRUE(contains(complaint(ErrorCode::unsupported, [&] { manager.get_definition("qqqqqq"); }),
                       "docs/adding-an-architecture.md"));
  EXPECT_EQ(complaint(ErrorCode::unsupported, [&] { manager.get_definition("toy", "timm"); }),
            "library 'timm' is not supported");
  EXPECT_EQ(
      complaint(ErrorCode::unsupported, [&] { manager.get_exporter_config_constructor("toy", "causal-lm"); }),
      "task 'text-generation' is not supported for model type 'toy'; supported: feature-extraction, "
      "fill-mask, "
      "text-classification");
  complaint(ErrorCode::unsupported, [&] { open("question-answering"); });
}

TEST_F(Exporter, RegistryRefusesHalfADefinition) {
  ModelDefinition definition = toy_definition();
  definition.forward = nullptr;
  EXPECT_TRUE(contains(
      complaint(ErrorCode::invalid_argument, [&] { manager.register_model<ToyOnnxConfig>(definition); }),
      "definition of 'toy' has no forward function"));
  EXPECT_TRUE(
      contains(complaint(ErrorCode::invalid_argument, [&] { manager.register_definition(toy_definition()); }),
               "has no configuration class"));
}

TEST(TasksManager, MapsSynonyms) {
  const std::pair<const char*, const char*> synonyms[] = {
      {"default", "feature-extraction"},
      {"masked-lm", "fill-mask"},
      {"causal-lm", "text-generation"},
      {"causal-lm-with-past", "text-generation-with-past"},
      {"seq2seq-lm", "text2text-generation"},
      {"sequence-classification", "text-classification"},
      {"vision2seq-lm", "image-to-text"},
      {"zero-shot-classification", "text-classification"},
      {"stable-diffusion", "text-to-image"},
      {"speech2seq-lm-with-past", "automatic-speech-recognition-with-past"},
      {"ctc", "automatic-speech-recognition"},
      {"translation-with-past", "text2text-generation-with-past"},
      {"mask-generation", "mask-generation"},
      {"sentence-similarity", "sentence-similarity"},
      {"fill-mask", "fill-mask"},
      {"-with-past", "-with-past"},
      {"auto", "auto"},
      {"text-generation-with-past", "text-generation-with-past"},
  };
  for (const auto& [task, expected] : synonyms) EXPECT_EQ(TasksManager::map_from_synonym(task), expected);
}

TEST_F(Exporter, InfersTheTaskFromTheArchitecture) {
  const auto infer = [&](const std::string& architecture, Strings tasks) {
    ModelDefinition definition = toy_definition();
    definition.tasks = std::move(tasks);
    manager.register_model<ToyOnnxConfig>(std::move(definition));
    write_config(R"({"model_type": "toy", "architectures": [")" + architecture + "\"]}");
    return manager.infer_task_from_model(folder.path());
  };
  const Strings encoder = {"feature-extraction", "fill-mask",           "multiple-choice",
                           "question-answering", "text-classification", "token-classification"};
  const Strings decoder = {"feature-extraction", "feature-extraction-with-past", "text-generation",
                           "text-generation-with-past", "text-classification"};
  EXPECT_EQ(infer("ToyModel", encoder), "feature-extraction");
  EXPECT_EQ(infer("ToyForMaskedLM", encoder), "fill-mask");
  EXPECT_EQ(infer("ToyWithLMHeadModel", encoder), "fill-mask");
  EXPECT_EQ(infer("ToyForPreTraining", encoder), "fill-mask");
  EXPECT_EQ(infer("ElectraForPreTraining", encoder), "feature-extraction");
  EXPECT_EQ(infer("ToyForMultipleChoice", encoder), "multiple-choice");
  EXPECT_EQ(infer("ToyForQuestionAnsweringSimple", encoder), "question-answering");
  EXPECT_EQ(infer("ToyForSequenceClassification", encoder), "text-classification");
  EXPECT_EQ(infer("ToyForTokenClassification", encoder), "token-classification");
  EXPECT_EQ(infer("ToyModel", decoder), "feature-extraction-with-past");
  EXPECT_EQ(infer("ToyForCausalLM", decoder), "text-generation-with-past");
  EXPECT_EQ(infer("ToyLMHeadModel", decoder), "text-generation-with-past");
  EXPECT_EQ(infer("ToyForSequenceClassification", {"audio-classification"}), "audio-classification");
  EXPECT_EQ(infer("ToyForConditionalGeneration",
                  {"audio-classification", "automatic-speech-recognition-with-past"}),
            "automatic-speech-recognition-with-past");
  EXPECT_EQ(infer("ToyForImageClassificationWithTeacher", {"image-classification", "masked-im"}),
            "image-classification");
  EXPECT_EQ(infer("Toy", {"text-to-audio"}), "text-to-audio");  // the only task of the type

  EXPECT_TRUE(contains(
      complaint(ErrorCode::unsupported, [&] { infer("ToyForCausalLM", {"fill-mask", "multiple-choice"}); }),
      "architecture 'ToyForCausalLM' implies task 'text-generation', which is not supported for 'toy', and "
      "the "
      "checkpoint has the tensors of no task; choose one with --task: fill-mask, multiple-choice"));
  EXPECT_TRUE(contains(complaint(ErrorCode::unsupported, [&] { infer("Toy", encoder); }),
                       "'Toy' implies no task, and the checkpoint has the head of no task; choose one"));
  write_config(R"({"model_type": "toy"})");
  EXPECT_EQ(manager.infer_task_from_model(folder.path()), "feature-extraction");
}

TEST_F(Exporter, OpensAModelForItsOwnTask) {
  EXPECT_EQ(open("auto").task(), "feature-extraction");
  const Model model = open("sequence-classification");
  EXPECT_EQ(model.task(), "text-classification");
  EXPECT_EQ(model.folder(), folder.path());
  EXPECT_EQ(model.definition().model_type, "toy");
  write_config(R"({"model_type": "boat"})");
  EXPECT_TRUE(contains(complaint(ErrorCode::unsupported, [&] { open(); }),
                       "model type 'boat' of library 'transformers'"));
}

TEST_F(Exporter, OpensSentenceTransformers) {
  ModelDefinition definition = toy_definition();
  definition.library = "sentence_transformers";
  definition.model_type = "transformer";
  definition.tasks = {"sentence-similarity", "feature-extraction"};
  EXPECT_TRUE(contains(
      complaint(ErrorCode::invalid_argument, [&] { manager.register_model<ToyOnnxConfig>(definition); }),
      "has no modules"));
  definition.modules = {"Transformer"};
  manager.register_model<ToyOnnxConfig>(definition);

  EXPECT_EQ(TasksManager::infer_library_from_model(folder.path()), "transformers");
  const fs::path modules = folder.path() / "modules.json";
  write(modules, R"([{"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"}])");
  EXPECT_EQ(TasksManager::infer_library_from_model(folder.path()), "sentence_transformers");
  EXPECT_EQ(manager.infer_task_from_model(folder.path()), "feature-extraction");
  EXPECT_EQ(open("auto").definition().model_type, "transformer");
  EXPECT_EQ(open("auto").config().model_type(), "toy");
  EXPECT_EQ(open("sentence-similarity").task(), "sentence-similarity");
  EXPECT_EQ(manager.get_model_from_task("auto", folder.path(), "transformers").definition().model_type,
            "toy");

  write(modules, R"([{"path": "", "type": "sentence_transformers.models.CLIPModel"}])");
  EXPECT_TRUE(
      contains(complaint(ErrorCode::unsupported, [&] { open(); }), "a module is not supported: 'CLIPM"));
  for (const char* text : {"{}", "[]", "[1]", "[{\"path\": \"\"}]", "[{\"type\": 1}]"}) {
    write(modules, text);
    EXPECT_TRUE(contains(complaint(ErrorCode::bad_config, [&] { open(); }), "expected a list of modules"))
        << text;
  }
}

}  // namespace
}  // namespace onnxport
