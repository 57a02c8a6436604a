// Exports a checkpoint with the C++ API, step by step: open the model, make its configuration, export,
// validate.
//
//   export_model CHECKPOINT_DIR OUT.onnx
#include <onnxport/onnxport.h>

#include <cstdio>

int main(int argc, char** argv) {
  using namespace onnxport;
  if (argc != 3) {
    std::fprintf(stderr, "usage: export_model CHECKPOINT_DIR OUT.onnx\n");
    return 2;
  }
  try {
    const std::filesystem::path onnx_path = argv[2];

    // The base model. Its weights stay on disk.
    const TasksManager& tasks = TasksManager::instance();
    const Model base_model = tasks.get_model_from_task("feature-extraction", argv[1]);

    // Its configuration class describes the inputs, outputs and axes of the file.
    const OnnxConfigConstructor onnx_config_constructor = tasks.get_exporter_config_constructor(base_model);
    const auto onnx_config = onnx_config_constructor(base_model.config(), "feature-extraction", {});
    for (const auto& [name, axes] : onnx_config->outputs()) {
      std::printf("output %s", name.c_str());
      for (const auto& [axis, symbol] : axes) std::printf("  %d: %s", axis, symbol.c_str());
      std::printf("\n");
    }

    const auto [onnx_inputs, onnx_outputs] =
        export_onnx(base_model, *onnx_config, onnx_path, onnx_config->default_onnx_opset());

    // Throws if the file does not compute the same as the model.
    const ValidationReport report = validate_model_outputs(*onnx_config, base_model, onnx_path, onnx_outputs,
                                                           onnx_config->atol_for_validation());
    std::printf("%s", to_string(report).c_str());
  } catch (const ExportError& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
  return 0;
}
