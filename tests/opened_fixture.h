/// The checkpoint of a golden fixture, opened.
#pragma once

#include <filesystem>
#include <string>

#include "golden_fixture.h"
#include "onnxport/plan.h"
#include "onnxport/tasks_manager.h"
#include "support/temp_folder.h"

namespace onnxport::test {

/// For its own task, or for another one.
class Opened {
 public:
  explicit Opened(const std::string& name, const std::string& task = {})
      : fixture_(read_fixture(name)), model_(open(task)) {}
  const Model& model() const { return model_; }
  std::filesystem::path folder() const { return folder_.path(); }
  std::filesystem::path checkpoint() const { return folder_.path() / "checkpoint"; }
  ExportPlan plan(PlanRequest request = {}) const {
    request.output = folder_.path() / "out";
    return make_plan(model_, request);
  }

 private:
  Model open(const std::string& task) const {
    synthesize(fixture_, checkpoint());
    return TasksManager::instance().get_model_from_task(task.empty() ? fixture_.task : task, checkpoint());
  }
  GoldenFixture fixture_;
  TempFolder folder_;
  Model model_;
};

}  // namespace onnxport::test
