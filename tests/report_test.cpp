// The page about an export: its data, and its errors.
#include "onnxport/report.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "golden_fixture.h"
#include "onnx_model.h"
#include "onnxport/error.h"
#include "onnxport/inspect.h"
#include "run_program.h"
#include "support/file.h"
#include "support/json.h"
#include "support/temp_folder.h"

namespace onnxport::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using Words = std::vector<std::string>;

constexpr int kUsage = 2, kIo = 7;

// The text of the page's data, as a browser reads it: up to the end of its element.
std::string data_text(const fs::path& page) {
  const std::string html = read_text_file(page);
  const std::string open = "<script type=\"application/json\" id=\"data\">";
  const std::size_t start = html.find(open);
  if (start == std::string::npos) return {};
  const std::size_t end = html.find("</script>", start);
  return html.substr(start + open.size(), end - start - open.size());
}

class Report : public testing::Test {
 protected:
  // Exports a fixture with its page, and gives the data of the page.
  json exported(const std::string& fixture, const std::string& task, const Words& more = {}) {
    synthesize(read_fixture(fixture), checkpoint_);
    Words words = {"export", "onnx", "--model",  checkpoint_.string(),
                   "--task", task,   "--report", page_.string()};
    words.insert(words.end(), more.begin(), more.end());
    words.push_back(out_.string());
    const ProgramResult result = run_program(words);
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_NE(result.err.find("wrote " + page_.string()), std::string::npos) << result.err;
    return parse_json<json>(data_text(page_));
  }

  static const json& named(const json& list, const char* key, const std::string& value) {
    const auto it = std::ranges::find_if(list, [&](const json& one) { return one.at(key) == value; });
    if (it == list.end()) throw std::runtime_error("no " + value + " in " + list.dump());
    return *it;
  }
  static std::size_t count_ops(const json& graph, const std::string& op) {
    return static_cast<std::size_t>(
        std::ranges::count_if(graph.at("nodes"), [&](const json& node) { return node.at("op") == op; }));
  }

  void expect_error(const ReportContent& content, ErrorCode code, const Words& words) const {
    try {
      write_report(content, page_);
      ADD_FAILURE() << "no error";
    } catch (const ExportError& error) {
      EXPECT_EQ(error.code(), code) << error.what();
      for (const std::string& word : words)
        EXPECT_NE(std::string(error.what()).find(word), std::string::npos) << error.what();
    }
    EXPECT_FALSE(fs::exists(page_));
  }

  // y = Gemm(x, weight)
  void write_small(const fs::path& path, const std::string& name) const {
    onnx::ModelProto model = make_model();
    onnx::GraphProto& graph = *model.mutable_graph();
    set_value(*graph.add_input(), "x", onnx::TensorProto::FLOAT, {2, 3});
    set_value(*graph.add_output(), "y", onnx::TensorProto::FLOAT, {2, 4});
    add_tensor(graph, name, {3, 4}, some_floats(12, 1));
    add_node(graph, "MatMul", {"x", name}, "h").set_name(name + "/MatMul");
    add_node(graph, "Relu", {"h"}, "y").set_name(name + "/Relu");
    write_model(model, path);
  }

  TempFolder folder_;
  fs::path checkpoint_ = folder_.path() / "checkpoint", out_ = folder_.path() / "out";
  fs::path page_ = folder_.path() / "page.html";
};

TEST_F(Report, OfADecoder) {
  const json data = exported("qwen2/text-generation-with-past", "text-generation-with-past");
  EXPECT_EQ(data["model"], checkpoint_.string());
  EXPECT_GT(data["peak_memory_bytes"], 1'000'000);
  const json& report = data["results"]["export"];
  EXPECT_EQ(report["model_type"], "qwen2");
  EXPECT_FALSE(report.contains("validation"));
  ASSERT_EQ(data["files"].size(), 1U);
  const json& file = data["files"][0];
  EXPECT_EQ(file["file"], "model.onnx");
  EXPECT_EQ(file["bytes"], fs::file_size(out_ / "model.onnx"));
  EXPECT_EQ(named(file["graph"]["inputs"], "name", "input_ids")["shape"],
            (json{"batch_size", "sequence_length"}));
  EXPECT_EQ(named(report["files"], "path", "model.onnx")["bytes"], file["bytes"]);
  for (const json& check : data["results"]["validation"]) EXPECT_EQ(check["file"], "model.onnx");

  // The cache goes into the next call.
  ASSERT_EQ(data["links"].size(), 1U);
  EXPECT_EQ(data["links"][0]["from"], "model");
  EXPECT_EQ(data["links"][0]["to"], "model");
  const json tensors = data["links"][0]["tensors"];
  EXPECT_EQ(tensors[0], (json{"present.0.key", "past_key_values.0.key"}));
  for (const json& pair : tensors) EXPECT_TRUE(pair[0].get<std::string>().starts_with("present."));

  // The graph as the definition builds it.
  ASSERT_EQ(data["graphs"].size(), 1U);
  const json& nodes = data["graphs"][0]["nodes"];
  EXPECT_GT(count_ops(data["graphs"][0], "attention"), 0U);
  std::set<std::string> keys;
  for (const json& node : nodes) {
    for (const json& operand : node.value("in", json::array())) EXPECT_LT(operand, nodes.size());
    if (!node.contains("weight") || node["weight"].contains("constant")) continue;
    for (const json& source : node["weight"]["from"]) {
      EXPECT_EQ(source["file"], "model.safetensors");
      keys.insert(source["key"]);
    }
  }
  EXPECT_TRUE(keys.contains("model.layers.0.self_attn.q_proj.weight"));
  EXPECT_TRUE(keys.contains("model.embed_tokens.weight"));
}

TEST_F(Report, OfQuantizedVariants) {
  const json data = exported("qwen2/text-generation-with-past", "text-generation-with-past",
                             {"--layout", "transformers.js", "--variants", "fp32,q4", "--block-size", "16"});
  ASSERT_EQ(data["files"].size(), 2U);
  const json& plain = named(data["files"], "variant", "");
  const json& quantized = named(data["files"], "variant", "q4");
  EXPECT_EQ(plain["component"], quantized["component"]);
  EXPECT_EQ(count_ops(plain["graph"], "MatMulNBits"), 0U);
  EXPECT_GT(count_ops(quantized["graph"], "MatMulNBits"), 0U);
  const json& node = named(quantized["graph"]["nodes"], "op", "MatMulNBits");
  EXPECT_EQ(node["attrs"]["bits"], 4);
  EXPECT_EQ(named(data["results"]["export"]["quantization"], "variant", "q4")["tied"].type(),
            json::value_t::number_unsigned);
  const json& check = named(data["results"]["validation"], "file", quantized["file"]);
  EXPECT_LT(named(check["drift"], "name", "logits")["cosine"], 1.0);
  EXPECT_EQ(data["graphs"].size(), 1U) << "the variants have one definition";
}

TEST_F(Report, OfSeveralComponents) {
  const json data =
      exported("whisper/automatic-speech-recognition-with-past", "automatic-speech-recognition-with-past");
  std::set<std::string> components;
  for (const json& file : data["files"]) components.insert(file["component"]);
  EXPECT_EQ(components, (std::set<std::string>{"encoder_model", "decoder_model", "decoder_with_past_model",
                                               "decoder_model_merged"}));
  const auto link = [&](const std::string& from, const std::string& to) {
    for (const json& one : data["links"])
      if (one["from"] == from && one["to"] == to) return one["tensors"];
    return json();
  };
  EXPECT_EQ(link("encoder_model", "decoder_model_merged"),
            (json::array({{"last_hidden_state", "encoder_hidden_states"}})));
  EXPECT_FALSE(link("decoder_model_merged", "decoder_model_merged").is_null());
  EXPECT_FALSE(link("decoder_model", "decoder_with_past_model").is_null());
  EXPECT_TRUE(link("decoder_model_merged", "encoder_model").is_null());
  EXPECT_EQ(data["graphs"].size(), 3U);
  const json& merged = named(data["files"], "component", "decoder_model_merged");
  const json& branches = named(merged["graph"]["nodes"], "op", "If")["graphs"];
  EXPECT_FALSE(branches["then_branch"]["nodes"].empty());
  EXPECT_FALSE(branches["else_branch"]["types"].empty());
}

TEST_F(Report, TypesOfValuesAreInferred) {
  write_small(folder_.path() / "a.onnx", "w");
  const ModelSummary model = summarize_with_types(folder_.path() / "a.onnx");
  ASSERT_EQ(model.graph.values.size(), 1U);
  EXPECT_EQ(model.graph.values[0].name, "h");
  EXPECT_EQ(model.graph.values[0].shape, (Words{"2", "4"}));
  const json types =
      parse_json<json>(report_data({.onnx = {folder_.path() / "a.onnx"}}))["files"][0]["graph"]["types"];
  EXPECT_EQ(types, (json{{"h", "float32[2, 4]"}, {"y", "float32[2, 4]"}}));
  EXPECT_TRUE(summarize(folder_.path() / "a.onnx").graph.values.empty()) << "the file does not declare it";
}

TEST_F(Report, NamesCannotEndTheData) {
  const std::string name = "</script><script>alert(1)</script><!-- \xff & \"quoted\"";
  write_small(folder_.path() / "a.onnx", name);
  write_report({.onnx = {folder_.path() / "a.onnx"}}, page_);
  const std::string text = data_text(page_);
  EXPECT_EQ(text.find('<'), std::string::npos);
  const std::string read = parse_json<json>(text)["files"][0]["graph"]["initializers"][0]["name"];
  EXPECT_EQ(read, "</script><script>alert(1)</script><!-- \xef\xbf\xbd & \"quoted\"");
}

TEST_F(Report, TheSameFilesGiveTheSameBytes) {
  write_small(folder_.path() / "out/onnx/b.onnx", "w");
  write_small(folder_.path() / "out/onnx/a_q4.onnx", "v");
  write_report({.onnx = {folder_.path() / "out"}}, page_);
  const std::string first = read_text_file(page_);
  fs::rename(folder_.path() / "out", folder_.path() / "elsewhere");
  write_report({.onnx = {folder_.path() / "elsewhere"}}, page_);
  EXPECT_EQ(read_text_file(page_), first);
  const json data = parse_json<json>(data_text(page_));
  EXPECT_EQ(data["files"][0]["file"], "a_q4.onnx");
  EXPECT_EQ(data["files"][0]["variant"], "q4");
  EXPECT_EQ(data["files"][0]["component"], "a");
}

TEST_F(Report, OfAFolderWithAFolderForEachModel) {
  write_small(out_ / "unet/model.onnx", "w");
  write_small(out_ / "vae_decoder/model.onnx", "w");
  const json data = parse_json<json>(report_data({.onnx = {out_}}));
  ASSERT_EQ(data["files"].size(), 2U);
  EXPECT_EQ(data["files"][0]["component"], "unet/model");
  EXPECT_EQ(data["files"][1]["file"], "vae_decoder/model.onnx");
}

TEST_F(Report, ResultsOfOtherCommands) {
  exported("bert/text-classification", "text-classification", {"--no-validate"});
  EXPECT_TRUE(parse_json<json>(data_text(page_))["results"]["validation"].empty());
  const fs::path checks = folder_.path() / "checks.json", times = folder_.path() / "times.json";
  const ProgramResult validated = run_program(
      {"validate", checkpoint_.string(), out_.string(), "--task", "text-classification", "--json"});
  ASSERT_EQ(validated.status, 0) << validated.err;
  std::ofstream(checks) << validated.out;
  const ProgramResult timed =
      run_program({"bench", out_.string(), "--runs", "3", "--json", "--report", page_.string()});
  ASSERT_EQ(timed.status, 0) << timed.err;
  EXPECT_EQ(parse_json<json>(data_text(page_))["results"]["bench"]["files"][0]["runs"], 3);
  std::ofstream(times) << timed.out;
  // The files may lie elsewhere by now.
  fs::rename(out_, folder_.path() / "moved");
  const ProgramResult result = run_program({"report", "--json", (folder_.path() / "moved").string(), "--data",
                                            checks.string(), "--data", times.string()});
  ASSERT_EQ(result.status, 0) << result.err;
  const json said = parse_json<json>(result.out);
  EXPECT_EQ(said["page"], (folder_.path() / "moved/report.html").string());
  EXPECT_EQ(said["bytes"], fs::file_size(folder_.path() / "moved/report.html"));
  const json data = parse_json<json>(data_text(folder_.path() / "moved/report.html"));
  EXPECT_EQ(data["results"]["validation"][0]["file"], "model.onnx");
  EXPECT_EQ(data["results"]["validation"][0]["passed"], true);
  EXPECT_EQ(data["results"]["bench"]["files"][0]["file"], "model.onnx");
  EXPECT_TRUE(data["results"]["export"].is_null());
  EXPECT_FALSE(data.contains("peak_memory_bytes"));
}

TEST_F(Report, ErrorsNameWhatIsWrong) {
  write_small(folder_.path() / "a.onnx", "w");
  fs::create_directory(folder_.path() / "empty");
  std::ofstream(folder_.path() / "broken.onnx") << "no model";
  expect_error({.onnx = {folder_.path() / "missing"}}, ErrorCode::io, {"there is no", "missing"});
  expect_error({.onnx = {folder_.path() / "empty"}}, ErrorCode::io, {"empty has no .onnx file"});
  expect_error({.onnx = {folder_.path() / "broken.onnx"}}, ErrorCode::io, {"broken.onnx"});
  const fs::path file = folder_.path() / "a.onnx";
  expect_error({.onnx = {file}, .results = {{"x.json", "{"}}}, ErrorCode::invalid_argument,
               {"x.json", "--json", "got no JSON"});
  expect_error({.onnx = {file}, .results = {{"x.json", "{\"a\": 1}"}}}, ErrorCode::invalid_argument,
               {"x.json", "got other JSON"});
  expect_error({.onnx = {file}, .results = {{"x.json", "{\"cases\": 1}"}}}, ErrorCode::invalid_argument,
               {"x.json", "got other JSON"});
}

TEST_F(Report, APageThatCannotBeWritten) {
  write_small(folder_.path() / "a.onnx", "w");
  const std::string model = (folder_.path() / "a.onnx").string();
  const std::string nowhere = (folder_.path() / "none/page.html").string();
  expect_failure(run_program({"report", model, "-o", nowhere}), kIo, {nowhere, "there is no folder"});
  expect_failure(run_program({"report", model, "-o", folder_.path().string()}), kIo, {"is a folder"});
  expect_failure(run_program({"report", model, "--data", nowhere}), kIo, {nowhere});
  expect_failure(run_program({"report"}), kUsage, {});
  // An export finds out before it works.
  synthesize(read_fixture("bert/text-classification"), checkpoint_);
  expect_failure(
      run_program({"export", "onnx", "--model", checkpoint_.string(), "--report", nowhere, out_.string()}),
      kIo, {nowhere, "there is no folder"});
  EXPECT_FALSE(fs::exists(out_));
}

TEST_F(Report, InTheFolderOfTheExport) {
  page_ = out_ / "report.html";
  out_ /= "";  // as shells complete it
  exported("bert/text-classification", "text-classification", {"--no-validate"});
}

}  // namespace
}  // namespace onnxport::test
