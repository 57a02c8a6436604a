/// Folders with adapters and their base models, for tests.
#pragma once

#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "golden_fixture.h"
#include "support/file.h"
#include "support/json.h"
#include "support/temp_folder.h"
#include "test_paths.h"

namespace onnxport::test {

/// A fixture of tests/adapters: its base model and its adapters, in a temporary folder.
class AdapterFiles {
 public:
  explicit AdapterFiles(const std::string& name)
      : fixture_(std::filesystem::path(source_dir()) / "tests" / "adapters" / name) {
    std::string base_name = read_text_file(fixture_ / "base.txt");
    base_name.erase(base_name.find_last_not_of('\n') + 1);
    const GoldenFixture base_fixture = read_fixture(base_name);
    task_ = base_fixture.task;
    synthesize(base_fixture, base());
    for (int i = 0; std::filesystem::exists(fixture_ / adapter_name(i)); ++i) {
      adapters_.push_back(folder_.path() / adapter_name(i));
      GoldenFixture files;
      files.folder = fixture_ / adapter_name(i);
      synthesize(files, adapters_.back());
    }
  }

  const std::filesystem::path& fixture() const { return fixture_; }
  /// Of the fixture that the base model is from.
  const std::string& task() const { return task_; }
  std::filesystem::path base() const { return folder_.path() / "base"; }
  std::filesystem::path adapter() const { return adapters_.front(); }
  const std::vector<std::filesystem::path>& adapters() const { return adapters_; }
  std::filesystem::path output() const { return folder_.path() / "out"; }

  void edit_config(const std::function<void(nlohmann::ordered_json&)>& edit,
                   const char* file = "adapter_0/adapter_config.json") const {
    const std::filesystem::path path = folder_.path() / file;
    auto config = parse_json<nlohmann::ordered_json>(read_text_file(path));
    edit(config);
    std::ofstream(path) << config.dump();
  }
  void edit_tensors(const std::function<void(NamedTensors&)>& edit,
                    const char* file = "adapter_0/adapter_model.safetensors") const {
    const std::filesystem::path path = folder_.path() / file;
    NamedTensors tensors = read_safetensors(path);
    edit(tensors);
    write_safetensors(path, tensors);
  }

 private:
  static std::string adapter_name(int i) { return "adapter_" + std::to_string(i); }

  TempFolder folder_;
  std::filesystem::path fixture_;
  std::string task_;
  std::vector<std::filesystem::path> adapters_;
};

}  // namespace onnxport::test
