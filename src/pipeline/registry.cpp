// The registry of this process: every architecture of models.def.
#include "onnxport/tasks_manager.h"

namespace onnxport {

namespace models {
#define ONNXPORT_MODEL(name) void register_##name(TasksManager& tasks);
#include "models/models.def"
#undef ONNXPORT_MODEL
}  // namespace models

namespace {

struct BuiltIn : TasksManager {
  BuiltIn() {
#define ONNXPORT_MODEL(name) models::register_##name(*this);
#include "models/models.def"
#undef ONNXPORT_MODEL
    mark_built_in();
  }
};

}  // namespace

TasksManager& TasksManager::instance() {
  static BuiltIn registry;
  return registry;
}

}  // namespace onnxport
