// The layout of sentence-transformers. tests/clients/sentence_transformers loads such folders with the
// client.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "layout_checkpoint.h"
#include "onnxport/inspect.h"

namespace onnxport::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using Checkpoint = LayoutCheckpoint;
using Strings = std::vector<std::string>;

constexpr const char* kBert = "sentence-transformers/feature-extraction+dense_tanh";
constexpr const char* kSplade = "sentence-transformers/feature-extraction+splade";

MainExportOptions options_of(const Checkpoint& checkpoint, const std::string& task = {}) {
  MainExportOptions options = checkpoint.options(task);
  options.layout = "sentence-transformers";
  return options;
}

std::string refusal(const Checkpoint& checkpoint, ErrorCode code = ErrorCode::unsupported) {
  return complaint(code, [&] { plan_export(options_of(checkpoint)); });
}

Strings names_of(const std::vector<ValueSummary>& values) {
  Strings names;
  for (const ValueSummary& value : values) names.push_back(value.name);
  return names;
}

Strings stems_of(const ExportPlan& plan) {
  Strings stems;
  for (const Variant& variant : plan.variants)
    stems.push_back(
        plan.layout.path(plan.components.front(), variant).lexically_relative(plan.layout.folder));
  return stems;
}

Strings precisions_to_files(const Checkpoint& checkpoint, const Strings& names) {
  MainExportOptions options = options_of(checkpoint);
  for (const std::string& name : names) options.precisions.push_back(get_precision(name));
  return stems_of(plan_export(options));
}

// ---- files ----

TEST(SentenceLayout, ReturnsHiddenStatesAndLeavesTheOtherModulesToTheClient) {
  const Checkpoint bert(kBert);
  MainExportOptions options = options_of(bert);
  options.validate = true;
  EXPECT_TRUE(main_export(options).passed());
  const ModelSummary made = summarize(bert.out() / "onnx" / "model.onnx");
  EXPECT_EQ(names_of(made.graph.inputs), (Strings{"input_ids", "attention_mask", "token_type_ids"}));
  EXPECT_EQ(names_of(made.graph.outputs), Strings{"last_hidden_state"});
  for (const InitializerSummary& one : made.graph.initializers)
    EXPECT_FALSE(contains(one.name, "linear")) << one.name;
  for (const char* file : {"modules.json", "config.json", "tokenizer.json", "sentence_bert_config.json",
                           "1_Pooling/config.json", "2_Dense/config.json", "2_Dense/model.safetensors"}) {
    EXPECT_TRUE(fs::exists(bert.out() / file)) << file;
  }
  EXPECT_FALSE(fs::exists(bert.out() / "model.onnx"));
  EXPECT_EQ(
      main_validate(
          {.model = bert.path(), .onnx = bert.out(), .task = options.task, .layout = "sentence-transformers"})
          .size(),
      1U);
}

TEST(SentenceLayout, LeavesOutThePositionsOfDecodersAndTheDecoderOfT5) {
  for (const char* fixture :
       {"sentence-transformers/feature-extraction+qwen3", "sentence-transformers/feature-extraction+t5"}) {
    const ExportPlan plan = plan_export(options_of(Checkpoint(fixture)));
    EXPECT_EQ(plan.components.front().interface.input_names(), (Strings{"input_ids", "attention_mask"}));
  }
}

TEST(SentenceLayout, ReturnsFloat32InHalfPrecision) {
  const Checkpoint bert(kBert);
  MainExportOptions options = options_of(bert);
  options.dtype = "fp16";
  main_export(options);
  const ModelSummary made = summarize(bert.out() / "onnx" / "model.onnx");
  ASSERT_EQ(made.graph.outputs.size(), 1U);
  EXPECT_EQ(made.graph.outputs[0].type, "float32");
}

TEST(SentenceLayout, PutsTheModelIntoTheFolderOfTheFirstModule) {
  const Checkpoint bert(kBert);
  fs::create_directory(bert.file("0_Transformer"));
  for (const char* name : {"config.json", "model.safetensors", "sentence_bert_config.json"})
    fs::rename(bert.file(name), bert.file("0_Transformer") / name);
  bert.edit("modules.json", [](json& list) { list[0]["path"] = "0_Transformer"; });
  const ExportPlan plan = plan_export(options_of(bert));
  EXPECT_EQ(stems_of(plan), Strings{"0_Transformer/onnx/model.onnx"});
}

TEST(SentenceLayout, ReturnsTheLogitsOfSparseEncoders) {
  const Checkpoint splade(kSplade);
  main_export(options_of(splade));
  const ModelSummary made = summarize(splade.out() / "onnx" / "model.onnx");
  EXPECT_EQ(names_of(made.graph.outputs), Strings{"logits"});
  // So does the plain model of the folder.
  MainExportOptions plain = splade.options("fill-mask");
  plain.layout = "optimum";
  plain.library = "transformers";
  main_export(plain);
  EXPECT_EQ(names_of(summarize(splade.out() / "model.onnx").graph.outputs), Strings{"logits"});
}

TEST(SentenceLayout, NamesPrecisionsAsTheClientDoes) {
  const Checkpoint bert(kBert);
  EXPECT_EQ(precisions_to_files(bert, {"fp32", "fp16", "q8", "uint8", "q4"}),
            (Strings{"onnx/model.onnx", "onnx/model_fp16.onnx", "onnx/model_qint8_quantized.onnx",
                     "onnx/model_quint8_quantized.onnx", "onnx/model_q4.onnx"}));
  EXPECT_TRUE(
      contains(complaint(ErrorCode::invalid_argument, [&] { precisions_to_files(bert, {"q8", "int8"}); }),
               "one file for 'q8' and 'int8'"));
  MainExportOptions single = options_of(bert);
  single.recipe = get_precision("q8").recipe;
  EXPECT_EQ(stems_of(plan_export(single)), Strings{"onnx/model.onnx"});
}

// ---- notices and refusals ----

TEST(SentenceLayout, SaysWhatTheClientWouldNotLoad) {
  const Checkpoint bert(kBert);
  Strings notices;
  MainExportOptions options = options_of(bert);
  options.export_options.on_notice = [&](const std::string& text) { notices.push_back(text); };
  const auto said = [&](const std::string& part) {
    return std::any_of(notices.begin(), notices.end(),
                       [&](const std::string& text) { return contains(text, part); });
  };
  main_export(options);
  EXPECT_FALSE(said("model.onnx"));
  options.precisions = {get_precision("fp16")};
  main_export(options);
  EXPECT_TRUE(
      said(R"(there is no onnx/model.onnx: give the client model_kwargs={"file_name": "model_fp16.onnx"})"));
  MainExportOptions plain = bert.options();
  plain.layout = "optimum";
  main_export(plain);
  EXPECT_FALSE(said("the client loads it instead"));
  main_export(options);
  EXPECT_TRUE(said("model.onnx exists: the client loads it instead of onnx/model.onnx"));
}

TEST(SentenceLayout, RefusesWhatTheClientCannotLoad) {
  const std::string bert = refusal(Checkpoint("bert/text-classification"));
  EXPECT_TRUE(contains(bert, "model type 'bert', task 'text-classification': the folder needs modules.json"))
      << bert;
  EXPECT_TRUE(contains(bert, "A CrossEncoder loads the default layout")) << bert;
  const std::string clip = refusal(Checkpoint("sentence-transformers/feature-extraction+clip"));
  EXPECT_TRUE(contains(clip, "only for a first module Transformer or MLMTransformer, got CLIPModel")) << clip;
}

// ---- SPLADE ----

TEST(SpladePooling, ChecksItsSettings) {
  for (const auto& [key, message] :
       {std::pair("pooling_strategy", "pooling_strategy is 'mean', expected max or sum"),
        std::pair("activation_function", "activation_function is 'mean', expected relu or log1p_relu")}) {
    const Checkpoint splade(kSplade);
    splade.edit("1_SpladePooling/config.json", [&, key = key](json& config) { config[key] = "mean"; });
    MainExportOptions options = options_of(splade);
    options.layout = "optimum";
    const std::string text = complaint(ErrorCode::bad_config, [&] { main_export(options); });
    EXPECT_TRUE(contains(text, message)) << text;
  }
}

TEST(SpladePooling, NeedsAMaskedLanguageModelAlone) {
  const Checkpoint splade(kSplade);
  splade.edit("modules.json", [](json& list) { list.push_back(list[1]); });
  MainExportOptions options = options_of(splade);
  options.layout = "optimum";
  const std::string text = complaint(ErrorCode::unsupported, [&] { main_export(options); });
  EXPECT_TRUE(contains(text, "modules.json: 3 modules, expected an MLMTransformer and a SpladePooling"))
      << text;
}

}  // namespace
}  // namespace onnxport::test
