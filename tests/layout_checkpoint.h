/// Checkpoints of fixtures, to be exported for a client.
#pragma once

#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "errors.h"
#include "golden_fixture.h"
#include "layout/genai_config.h"
#include "onnxport/export.h"
#include "support/file.h"
#include "support/json.h"
#include "support/temp_folder.h"

namespace onnxport::test {

/// A fixture's checkpoint, perhaps edited.
class LayoutCheckpoint {
 public:
  explicit LayoutCheckpoint(const std::string& fixture, std::string layout = "genai")
      : fixture_(read_fixture(fixture)), layout_(std::move(layout)) {
    synthesize(fixture_, path());
  }
  std::filesystem::path path() const { return folder_.path() / "checkpoint"; }
  std::filesystem::path out() const { return folder_.path() / "out"; }
  std::filesystem::path file(const char* name) const { return path() / name; }

  void write(const char* name, const nlohmann::json& content) const {
    std::ofstream(file(name)) << content.dump();
  }
  void edit(const char* name, const std::function<void(nlohmann::json&)>& change) const {
    nlohmann::json content = parse_json<nlohmann::json>(read_text_file(file(name)));
    change(content);
    write(name, content);
  }
  void edit_tensors(const std::function<void(NamedTensors&)>& change) const {
    NamedTensors tensors = read_safetensors(file("model.safetensors"));
    change(tensors);
    write_safetensors(file("model.safetensors"), tensors);
  }

  MainExportOptions options(const std::string& task = {}) const {
    return {.model = path(),
            .output = out(),
            .task = task.empty() ? fixture_.task : task,
            .layout = layout_,
            .validate = false};
  }
  ExportPlan plan(const std::string& task = {}) const { return plan_export(options(task)); }
  nlohmann::json settings() const {
    const ExportPlan made = plan();
    return parse_json<nlohmann::json>(layout::genai_config(made));
  }
  std::string refusal(const std::string& task = {}) const {
    return complaint(ErrorCode::unsupported, [&] { plan(task); });
  }

 private:
  GoldenFixture fixture_;
  std::string layout_;
  TempFolder folder_;
};

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != text.npos;
}

}  // namespace onnxport::test
