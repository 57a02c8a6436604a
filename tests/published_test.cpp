// Exports of checkpoints as people publish them: tests/published holds a config.json with the names, dtypes
// and shapes of the tensors; see the README there. The weights are holes of a sparse file, which stay in
// place.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "hollow_file.h"
#include "onnxport/error.h"
#include "onnxport/export.h"
#include "onnxport/tasks_manager.h"
#include "support/dtype_names.h"
#include "support/file.h"
#include "support/json.h"
#include "support/temp_folder.h"
#include "test_paths.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;

fs::path published() { return fs::path(test::source_dir()) / "tests" / "published"; }

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == separator) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

/// `a.{0-2,5}.b`: `a.0.b`, `a.1.b`, `a.2.b`, `a.5.b`.
std::vector<std::string> expand(const std::string& name) {
  const auto open = name.find('{');
  if (open == name.npos) return {name};
  const auto close = name.find('}', open);
  std::vector<std::string> names;
  for (const std::string& range : split(name.substr(open + 1, close - open - 1), ',')) {
    const std::vector<std::string> ends = split(range, '-');
    for (int i = std::stoi(ends.front()); i <= std::stoi(ends.back()); ++i) {
      for (const std::string& rest : expand(name.substr(close + 1)))
        names.push_back(fmt::format("{}{}{}", name.substr(0, open), i, rest));
    }
  }
  return names;
}

std::vector<test::HollowTensor> tensors_of(const fs::path& file) {
  std::vector<test::HollowTensor> tensors;
  std::ifstream list(file);
  for (std::string line; std::getline(list, line);) {
    const std::vector<std::string> cells = split(line, ' ');
    std::vector<std::int64_t> shape;
    if (cells.size() > 2) {
      for (const std::string& extent : split(cells[2], ',')) shape.push_back(std::stoll(extent));
    }
    const bool fp8 = cells[1] == "F8_E4M3";
    const DType dtype = fp8 ? DType::u8 : parse_dtype(cells[1]);
    for (const std::string& name : expand(cells[0]))
      tensors.push_back({name, dtype, shape, fp8 ? cells[1] : std::string()});
  }
  return tensors;
}

/// What an export says: its notices, or the error.
struct Outcome {
  std::string verdict;  ///< `export` or `refuse`
  std::string said;
};

/// `change`: what becomes of the text of config.json.
Outcome export_in_place(const std::string& name, const std::string& task,
                        const std::function<std::string(std::string)>& change = {}) {
  const TempFolder folder;
  const std::string config = read_text_file(published() / name / "config.json");
  std::ofstream(folder.path() / "config.json") << (change ? change(config) : config);
  test::write_hollow_safetensors(folder.path() / "model.safetensors",
                                 tensors_of(published() / name / "tensors.txt"));
  Outcome outcome{"export", ""};
  MainExportOptions options{.model = folder.path(), .output = folder.path(), .validate = false};
  if (!task.empty()) options.task = task;
  options.export_options.external_data = "checkpoint";
  options.export_options.on_notice = [&](const std::string& line) { outcome.said += line + "\n"; };
  try {
    main_export(options);
  } catch (const ExportError& error) {
    return {"refuse", error.what()};
  }
  return outcome;
}

struct Case {
  std::string name, task, verdict, says;
};

std::vector<Case> cases() {
  std::vector<Case> all;
  std::ifstream file(published() / "expected.tsv");
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line.starts_with('#')) continue;
    std::vector<std::string> cells = split(line, '\t');
    cells.resize(4);
    all.push_back({cells[0], cells[1], cells[2], cells[3]});
  }
  return all;
}

TEST(Published, AreExportedOrRefused) {
  for (const Case& one : cases()) {
    SCOPED_TRACE(one.name);
    const Outcome outcome = export_in_place(one.name, one.task);
    EXPECT_EQ(outcome.verdict, one.verdict) << outcome.said;
    EXPECT_NE(outcome.said.find(one.says), std::string::npos)
        << "expected: " << one.says << "\ngot: " << outcome.said;
  }
}

TEST(Published, CoverEverySupportedType) {
  std::set<std::string> types;
  for (const Case& one : cases()) types.insert(one.name.substr(0, one.name.find('/')));
  for (const std::string& type : TasksManager::instance().get_supported_model_types())
    EXPECT_TRUE(types.contains(type)) << type;
}

/// These take the sections of transformers 5 where the file has none, which heads of so few pairs do not fit:
/// the original cannot run them either. Without sections, all axes of an image would turn as one.
TEST(Published, SectionsOfPositionsAreThoseOfTheClass) {
  const auto without_sections = [](const std::string& text) {
    auto config = parse_json<nlohmann::json>(text);
    for (auto* settings : {&config, &config["text_config"]}) {
      for (const char* key : {"rope_scaling", "rope_parameters"})
        if (settings->contains(key)) (*settings)[key].erase("mrope_section");
    }
    if (config["text_config"].is_null()) config.erase("text_config");
    return config.dump();
  };
  for (const auto& [name, pairs] : std::vector<std::pair<const char*, int>>{{"qwen2_vl/base", 64},
                                                                            {"qwen2_5_vl/base", 64},
                                                                            {"glm4v/base", 32},
                                                                            {"glm_ocr/nextn", 32},
                                                                            {"paddleocr_vl/flat", 64}}) {
    const Outcome outcome = export_in_place(name, "", without_sections);
    EXPECT_EQ(outcome.verdict, "refuse") << name;
    EXPECT_NE(outcome.said.find(fmt::format("mrope_section covers {} pairs of a head, expected ", pairs)),
              std::string::npos)
        << name << ": " << outcome.said;
  }
}

/// Weights that stay in place are not read, whatever their number and size: this model has 6 GB of them, all
/// of them transposed.
TEST(Published, TakeLittleMemory) {
  const auto peak_megabytes = [] {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss / 1024;
  };
  const auto before = peak_megabytes();
  const Outcome outcome = export_in_place("gpt2/large", "");
  EXPECT_EQ(outcome.verdict, "export") << outcome.said;
  EXPECT_EQ(outcome.said.find("written beside it"), std::string::npos) << outcome.said;
  EXPECT_LT(peak_megabytes() - before, 150);
}

}  // namespace
}  // namespace onnxport
