/// A pipeline of diffusers in a folder, for tests that change its files.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "errors.h"
#include "golden_fixture.h"
#include "onnxport/export.h"
#include "onnxport/plan.h"
#include "onnxport/tasks_manager.h"
#include "support/file.h"
#include "support/json.h"
#include "support/temp_folder.h"

namespace onnxport::test {

/// A fixture's pipeline, whose files change.
struct Pipeline {
  explicit Pipeline(const std::string& variant) {
    synthesize(read_fixture("diffusers/text-to-image+" + variant), folder());
  }
  std::filesystem::path folder() const { return temp.path() / "pipeline"; }
  std::filesystem::path out() const { return temp.path() / "out"; }
  void change(const std::string& file, const std::function<void(nlohmann::json&)>& by) const {
    nlohmann::json values = parse_json<nlohmann::json>(read_text_file(folder() / file));
    by(values);
    std::ofstream(folder() / file) << values;
  }
  Model open(const std::string& task = "auto", const OpenOptions& options = {}) const {
    return TasksManager::instance().get_model_from_task(task, folder(), options);
  }
  void build() const {
    const Model model = open();
    for (const Component& component : make_plan(model).components) model.build(component);
    model.check_accounting(false);
  }
  std::string complaint(ErrorCode code) const {
    return test::complaint(code, [&] { build(); });
  }
  ExportReport run(MainExportOptions options = {}) const {
    options.model = folder();
    options.output = out();
    options.validate = false;
    return main_export(options);
  }

  TempFolder temp;
};

/// All of these words occur.
inline void expect_words(const std::string& text, const std::vector<std::string>& words) {
  for (const std::string& word : words)
    EXPECT_NE(text.find(word), std::string::npos) << word << " in: " << text;
}

/// Paths below the folder, with `/`.
inline std::set<std::string> files_in(const std::filesystem::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) names.insert(entry.path().lexically_relative(folder).generic_string());
  }
  return names;
}

}  // namespace onnxport::test
