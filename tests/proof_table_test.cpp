// src/exporter/proof_table.inc lists the values that the fixtures exercise. Written with
// ONNXPORT_WRITE_PROOF_TABLE=1
// (./dev docs), compared without.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "checkpoint/safetensors.h"
#include "exporter/proof.h"
#include "golden_fixture.h"
#include "onnxport/plan.h"
#include "onnxport/tasks_manager.h"
#include "support/dtype_names.h"
#include "support/file.h"
#include "support/temp_folder.h"
#include "test_paths.h"

namespace onnxport::test {
namespace {

namespace fs = std::filesystem;
using exporter::TaskFixtures;
using exporter::TypeFixtures;
using json = nlohmann::ordered_json;

json read_json(const fs::path& file) { return json::parse(std::ifstream(file)); }

// Definitions see shapes, not values: the data of such a file is a hole.
void write_shapes(const fs::path& recipe_file, const fs::path& folder) {
  const json recipe = read_json(recipe_file);
  std::map<std::string, std::pair<DType, std::vector<std::int64_t>>> tensors;
  for (const auto& [name, one] : recipe.at("tensors").items())
    tensors[name] = {parse_dtype(one.at("dtype").get<std::string>()), one.at("shape")};
  const fs::path verbatim = recipe_file.parent_path() / "verbatim.safetensors";
  if (fs::exists(verbatim)) {
    for (const StoredTensor& stored : safetensors::read(File::open(verbatim)))
      tensors[stored.view.key] = {stored.view.dtype, stored.view.shape};
  }
  json header = json::object();
  std::uint64_t offset = 0;
  for (const auto& [name, tensor] : tensors) {
    const auto& [dtype, shape] = tensor;
    std::uint64_t bytes = size_of(dtype);
    for (const std::int64_t extent : shape) bytes *= static_cast<std::uint64_t>(extent);
    header[name] = {{"dtype", std::string(safetensors_name(dtype))},
                    {"shape", shape},
                    {"data_offsets", {offset, offset + bytes}}};
    offset += bytes;
  }
  const std::string text = header.dump();
  const std::uint64_t length = text.size();
  const fs::path file = folder / recipe.value("file", "model.safetensors");
  std::ofstream(file, std::ios::binary).write(reinterpret_cast<const char*>(&length), sizeof length) << text;
  fs::resize_file(file, sizeof length + length + offset);
}

// The checkpoint folder of a fixture, without weights.
void lay_out(const fs::path& fixture, const fs::path& checkpoint) {
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(fixture)) {
    const fs::path name = entry.path().filename();
    const fs::path target = checkpoint / fs::relative(entry.path(), fixture);
    const bool is_case = name.extension() == ".safetensors" && name.stem().has_extension();
    if (!entry.is_regular_file() || is_case || name == "expected.json" || name == "verbatim.safetensors")
      continue;
    fs::create_directories(target.parent_path());
    if (name == "weights.json") {
      write_shapes(entry.path(), target.parent_path());
    } else {
      fs::copy_file(entry.path(), target);
    }
  }
}

// The fixture's model with its graphs built, so that its configuration was read.
Model read_model(const fs::path& checkpoint, const json& expected) {
  const Model model =
      TasksManager::instance().get_model_from_task(expected.at("task").get<std::string>(), checkpoint);
  const bool monolith = expected.value("monolith", false);
  const ExportPlan plan = make_plan(model, {.variant = expected.value("variant", "default"),
                                            .split = monolith ? Split::monolith : Split::merged});
  for (const Component& component : plan.components) model.build(component);
  return model;
}

using Table = std::map<std::pair<std::string, std::string>, TypeFixtures>;

void add(Table& table, const Model& model, const std::string& version) {
  const ModelDefinition& definition = model.definition();
  TaskFixtures& task = table[{definition.library, definition.model_type}][model.task()];
  ++task.count[version];
  for (const exporter::Exercised& value : exporter::exercised(model)) task.tokens.insert(value.token);
}

std::string to_row(const std::string& library, const std::string& model_type, const TypeFixtures& type) {
  std::map<std::string, std::uint64_t> tasks_of;  // by token
  json tasks = json::array();
  for (const auto& [task, fixtures] : type) {
    for (const std::string& token : fixtures.tokens) tasks_of[token] |= std::uint64_t{1} << tasks.size();
    tasks.push_back({task, fixtures.count});
  }
  std::map<std::string, json> tokens;  // by their tasks
  for (const auto& [token, of] : tasks_of) tokens[fmt::format("{:x}", of)].push_back(token);
  std::vector<std::string> lines;
  for (const auto& [of, list] : tokens) lines.push_back(fmt::format("\"{}\":{}", of, list.dump()));
  return fmt::format("{{\"{}\", \"{}\", R\"json({{\"tasks\":{},\n\"tokens\":{{{}}}}})json\"}},\n", library,
                     model_type, tasks.dump(), fmt::join(lines, ",\n"));
}

std::string to_text(const Table& table) {
  std::string text =
      "// Generated by ./dev docs from tests/golden; do not edit.\n"
      "// {library, model_type, tasks with the number of their fixtures by version of transformers, and the\n"
      "// classes of values that they exercise, by tasks: the first task is bit 0 of a hexadecimal number}.\n"
      "// clang-format off\n";
  for (const auto& [type, fixtures] : table) text += to_row(type.first, type.second, fixtures);
  return text;
}

TEST(ProofTable, SaysWhatTheFixturesExercise) {
  const fs::path file = fs::path(source_dir()) / "src" / "exporter" / "proof_table.inc";
  const bool write = std::getenv("ONNXPORT_WRITE_PROOF_TABLE") != nullptr;
  Table table;
  for (const std::string& name : golden_fixtures()) {
    SCOPED_TRACE(name);
    const TempFolder folder;
    const fs::path fixture = fs::path(source_dir()) / "tests" / "golden" / name;
    lay_out(fixture, folder.path() / "checkpoint");
    const json expected = read_json(fixture / "expected.json");
    const Model model = read_model(folder.path() / "checkpoint", expected);
    add(table, model, expected.at("transformers").get<std::string>());
    if (write) continue;
    const Proof proof = get_proof(model);
    EXPECT_GE(proof.fixtures, 1);
    EXPECT_EQ(proof.not_covered, std::vector<std::string>());
    EXPECT_EQ(proof.covered_elsewhere, std::vector<std::string>());
  }
  const std::string text = to_text(table);
  if (write) std::ofstream(file) << text;
  EXPECT_TRUE(read_text_file(file) == text) << file.string() << " is not current. Write it with: ./dev docs";
}

}  // namespace
}  // namespace onnxport::test
