// Tables of positions, and the lengths of validation that they allow.
#include <gtest/gtest.h>

#include <cctype>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "config/json.h"
#include "golden_fixture.h"
#include "onnxport/export.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/op.h"
#include "support/file.h"
#include "support/temp_folder.h"
#include "test_paths.h"
#include "validate/lookups.h"

namespace onnxport::test {
namespace {

namespace fs = std::filesystem;
using json = nlohmann::ordered_json;

Value table(Graph& graph, std::int64_t rows) {
  const std::vector<double> values(static_cast<std::size_t>(2 * rows));
  return graph.weight(Weight::from_doubles(DType::f32, {rows, 2}, values));
}

// How many tokens the graph takes, if its input is [1, sequence_length] with this value everywhere.
std::int64_t longest(const Graph& graph, std::int64_t value) {
  std::int64_t length = 0;
  for (;; ++length) {
    const std::vector<std::int64_t> ids(static_cast<std::size_t>(length + 1), value);
    const NamedTensors inputs = {{"ids", Tensor::from_ints(DType::i64, {1, length + 1}, ids)}};
    if (length > 100 || !validate::finds_all_rows(graph, inputs)) return length;
  }
}

constexpr std::int64_t kUnlimited = 101;

TEST(Lookups, AreBoundedByLengthsCountsAndInputs) {
  using Make = std::function<Value(Graph&, Value)>;
  struct Row {
    const char* what;
    Make make;
    std::int64_t longest;
  };
  const std::vector<Row> rows = {
      {"0, 1, …", [](Graph& g, Value x) { return op::embedding(table(g, 10), op::arange(g, x.dim(1))); }, 10},
      {"2, 3, …", [](Graph& g, Value x) { return op::embedding(table(g, 10), op::arange(g, x.dim(1), 2)); },
       8},
      {"the first rows", [](Graph& g, Value x) { return op::slice(table(g, 10), 0, 0, x.dim(1)); }, 10},
      {"a count of real tokens",
       [](Graph& g, Value x) { return op::embedding(table(g, 10), nn::position_ids_from_input_ids(x, 1)); },
       8},
      {"ids in the table", [](Graph& g, Value x) { return op::embedding(table(g, 10), x); }, kUnlimited},
      {"ids beyond it", [](Graph& g, Value x) { return op::embedding(table(g, 5), x); }, 0},
      {"what nobody knows",
       [](Graph& g, Value x) { return op::embedding(table(g, 1), op::argmax(op::cast(x, DType::f32), 1)); },
       kUnlimited}};
  for (const Row& row : rows) {
    Graph graph;
    const Value ids = graph.input("ids", {DType::i64, {1, Dim::symbol("sequence_length")}});
    graph.output("y", row.make(graph, ids));
    EXPECT_EQ(longest(graph, 6), row.longest) << row.what;
  }
}

// ---- every type with a table of positions ----

const std::set<std::string>& names_of_lengths() {
  static const std::set<std::string> names = {"max_position_embeddings", "max_target_positions",
                                              "max_source_positions", "n_positions"};
  return names;
}

constexpr std::int64_t kShort = 10;

// Sets all lengths in a configuration to kShort. Returns the old ones.
std::set<std::int64_t> shorten(json& config) {
  std::set<std::int64_t> old;
  for (auto& [key, value] : config.items()) {
    if (value.is_object()) {
      old.merge(shorten(value));
    } else if (names_of_lengths().contains(key) && value.is_number() && value.get<std::int64_t>() > kShort) {
      old.insert(value.get<std::int64_t>());
      value = kShort;
    }
  }
  return old;
}

json read(const fs::path& file) { return config::parse_ordered_json(read_text_file(file), file.string()); }

class ShortPositions : public testing::TestWithParam<std::string> {};

TEST_P(ShortPositions, AreValidatedWithShorterCases) {
  const GoldenFixture fixture = read_fixture(GetParam());
  const TempFolder folder;
  const fs::path checkpoint = folder.path() / "checkpoint";
  fs::create_directory(checkpoint);
  synthesize(fixture, checkpoint);
  json config = read(checkpoint / "config.json");
  const std::set<std::int64_t> old = shorten(config);
  ASSERT_FALSE(old.empty());
  std::ofstream(checkpoint / "config.json") << config;

  const fs::path weights = checkpoint / "model.safetensors";
  NamedTensors tensors = read_safetensors(weights);
  for (auto& [name, tensor] : tensors) {
    const auto named = [&, key = name](const char* part) { return key.find(part) != std::string::npos; };
    // A table of distances has rows for both directions.
    const std::int64_t each = named("rel_embeddings") ? 2 : 1;
    // Places on a page or an image have lengths of their own.
    const bool places = named("vision") || named(".x_position") || named(".y_position") ||
                        named(".h_position") || named(".w_position");
    const bool is_table = named("position") || named("wpe") || each == 2;
    if (!is_table || places || tensor.shape.size() != 2) continue;
    // The table may have some rows more, for padding.
    auto length = old.upper_bound(tensor.shape[0] / each);
    if (length == old.begin()) continue;
    const std::int64_t rows = tensor.shape[0] - each * (*--length - kShort);
    std::vector<double> values = tensor.to_doubles();
    values.resize(static_cast<std::size_t>(rows * tensor.shape[1]));
    tensor = Tensor::from_doubles(tensor.dtype, {rows, tensor.shape[1]}, values);
  }
  write_safetensors(weights, tensors);

  const ExportReport report = main_export({.model = checkpoint,
                                           .output = folder.path() / "out",
                                           .task = fixture.task,
                                           .library = fixture.library,
                                           .split = fixture.monolith ? Split::monolith : Split::merged});
  ASSERT_FALSE(report.validation.empty());
  for (const ValidationReport& one : report.validation) EXPECT_TRUE(one.passed()) << to_string(one);
}

// Of each type whose configuration names a length. Those left out have tables of distances in windows, or of
// frames, which the rule above would cut by mistake.
std::vector<std::string> fixtures_with_positions() {
  const std::set<std::string> left_out = {
      "clap", "grounding-dino", "mctct", "mm-grounding-dino", "moonshine_streaming", "voxtral"};
  std::vector<std::string> names;
  for (const std::string& name : fixture_of_each_type()) {
    if (left_out.contains(name.substr(0, name.find('/')))) continue;
    const fs::path config = fs::path(source_dir()) / "tests" / "golden" / name / "config.json";
    if (!fs::exists(config)) continue;  // a pipeline, whose components have their own
    json content = read(config);
    if (!shorten(content).empty()) names.push_back(name);
  }
  return names;
}

std::string test_name(const testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  }
  return name;
}

INSTANTIATE_TEST_SUITE_P(Types, ShortPositions, testing::ValuesIn(fixtures_with_positions()), test_name);

// One file with both halves, and a class that does not know what it holds.
INSTANTIATE_TEST_SUITE_P(Fixtures, ShortPositions,
                         testing::Values("bart/text2text-generation+monolith",
                                         "speech_to_text/automatic-speech-recognition+monolith",
                                         "whisper/automatic-speech-recognition+monolith",
                                         "sentence-transformers/feature-extraction+roberta",
                                         "sentence-transformers/feature-extraction+mpnet"),
                         test_name);

}  // namespace
}  // namespace onnxport::test
