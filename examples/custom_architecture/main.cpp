// Registers the architecture, exports a checkpoint of it for both tasks, and validates each.
//
//   export_gated_encoder CHECKPOINT_DIR OUT_DIR
#include <onnxport/onnxport.h>

#include <cstdio>

extern "C" void onnxport_register(onnxport::TasksManager& tasks);

int main(int argc, char** argv) {
  using namespace onnxport;
  if (argc != 3) {
    std::fprintf(stderr, "usage: export_gated_encoder CHECKPOINT_DIR OUT_DIR\n");
    return 2;
  }
  try {
    TasksManager& tasks = TasksManager::instance();
    onnxport_register(tasks);
    for (const std::string& task : tasks.get_supported_tasks_for_model_type("gated-encoder")) {
      const ExportReport report =
          main_export({.model = argv[1], .output = std::filesystem::path(argv[2]) / task, .task = task});
      for (const ValidationReport& validation : report.validation)
        std::printf("%s", to_string(validation).c_str());
      if (!report.passed()) return 1;
    }
  } catch (const ExportError& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
  return 0;
}
