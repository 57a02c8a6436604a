// TasksManager, models and live weights.
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "arrays.h"
#include "bind.h"
#include "handles.h"
#include "interrupt.h"
#include "onnxport/error.h"
#include "onnxport/hub.h"
#include "onnxport/live_weights.h"
#include "onnxport/tasks_manager.h"

namespace onnxport::python {
namespace {

namespace fs = std::filesystem;
using Array = nb::ndarray<nb::ro>;

bool is_dense(const Array& array) {
  std::int64_t expected = 1;
  for (std::size_t axis = array.ndim(); axis-- > 0;) {
    if (array.shape(axis) == 0) return true;
    if (array.shape(axis) != 1 && array.stride(axis) != expected) return false;
    expected *= static_cast<std::int64_t>(array.shape(axis));
  }
  return true;
}

// The array is kept, and with it the memory of its owner.
LiveTensor live_tensor(const std::string& key, const Array& array) {
  const auto refuse = [&](const std::string& what) {
    throw ExportError(ErrorCode::bad_checkpoint, "tensor '" + key + "' of the model in memory " + what);
  };
  const std::optional<DType> dtype = dtype_of(array.dtype());
  if (!dtype) {
    refuse("has elements of DLPack type " + std::to_string(array.dtype().code) + " with " +
           std::to_string(array.dtype().bits) + " bits, which is not supported");
  }
  if (array.device_type() != nb::device::cpu::value) refuse("is not in the memory of the processor");
  if (!is_dense(array)) refuse("is not dense");
  LiveTensor tensor{.key = key, .dtype = *dtype};
  for (std::size_t axis = 0; axis < array.ndim(); ++axis)
    tensor.shape.push_back(static_cast<std::int64_t>(array.shape(axis)));
  tensor.bytes = {static_cast<const std::byte*>(array.data()), array.nbytes()};
  tensor.owner = std::shared_ptr<const void>(new Array(array), [](const void* held) {
    const nb::gil_scoped_acquire gil;
    delete static_cast<const Array*>(held);
  });
  return tensor;
}

std::unique_ptr<LiveWeights> live_weights(const fs::path& folder,
                                          const std::vector<std::pair<std::string, Array>>& arrays) {
  std::vector<LiveTensor> tensors;
  tensors.reserve(arrays.size());
  for (const auto& [key, array] : arrays) tensors.push_back(live_tensor(key, array));
  return std::make_unique<LiveWeights>(folder, std::move(tensors));
}

Model open_model(const std::string& task, const fs::path& folder, const std::string& library,
                 const std::vector<fs::path>& adapters, const std::string& pipeline_tag,
                 const std::map<std::string, std::string>& config_values) {
  return run_interruptible([&] {
    Model model = TasksManager::instance().get_model_from_task(
        task, folder, {.library = library, .pipeline_tag = pipeline_tag, .adapters = adapters});
    for (const auto& [key, value] : config_values) model = model.with_config(model.config().with(key, value));
    return model;
  });
}

nb::tuple find_source(const fs::path& model, const std::vector<fs::path>& adapters,
                      const std::string& revision, const std::string& subfolder, const std::string& token,
                      const fs::path& cache_dir, bool local_files_only, bool force_download,
                      const nb::object& on_progress, const nb::object& on_notice) {
  const HubOptions hub{.revision = revision,
                       .subfolder = subfolder,
                       .token = token,
                       .cache_dir = cache_dir,
                       .local_files_only = local_files_only,
                       .force_download = force_download,
                       .on_progress = progress_listener(on_progress),
                       .on_notice = line_listener(on_notice)};
  const ModelSource source = run_interruptible([&] { return get_model_source(model, adapters, hub); });
  return nb::make_tuple(source.model, source.adapters, source.pipeline_tag);
}

std::vector<nb::tuple> definitions() {
  std::vector<nb::tuple> all;
  for (const auto& one : TasksManager::instance().definitions()) {
    if (!one->tasks.empty()) all.push_back(nb::make_tuple(one->library, one->model_type, one->tasks));
  }
  return all;
}

}  // namespace

void bind_registry(nb::module_& m) {
  m.def("definitions", definitions, "(library, model type, tasks) of each architecture that has tasks.");
  m.def(
      "tasks_of",
      [](const std::string& model_type, const std::string& library) {
        return TasksManager::instance().get_supported_tasks_for_model_type(model_type, library);
      },
      nb::arg("model_type"), nb::arg("library"));
  m.def("map_from_synonym", [](const std::string& task) { return TasksManager::map_from_synonym(task); });
  m.def("infer_library",
        [](const fs::path& folder) { return TasksManager::infer_library_from_model(folder); });
  m.def(
      "infer_task",
      [](const fs::path& folder, const std::string& library) {
        return run_interruptible(
            [&] { return TasksManager::instance().infer_task_from_model(folder, library); });
      },
      nb::arg("folder"), nb::arg("library"));
  m.def("find_source", find_source, nb::arg("model"), nb::arg("adapters"), nb::arg("revision"),
        nb::arg("subfolder"), nb::arg("token"), nb::arg("cache_dir"), nb::arg("local_files_only"),
        nb::arg("force_download"), nb::arg("on_progress").none(), nb::arg("on_notice").none(),
        "(folder, folders of adapters, pipeline tag) of a model, downloaded if necessary.");

  nb::class_<LiveWeights>(m, "LiveWeights",
                          "The weights of a model in memory, in place of those of a folder.")
      .def(nb::new_(&live_weights), nb::arg("folder"), nb::arg("tensors"));

  nb::class_<Model>(m, "Model", "A checkpoint that was opened for one task. Nothing is loaded.")
      .def_prop_ro("task", &Model::task)
      .def_prop_ro("task_reason", &Model::task_reason)
      .def_prop_ro("folder", [](const Model& model) { return model.folder(); })
      .def_prop_ro("weights_folder", [](const Model& model) { return model.weights_folder(); })
      .def_prop_ro("model_type", [](const Model& model) { return model.config().model_type(); })
      .def_prop_ro("registered_type", [](const Model& model) { return model.definition().model_type; })
      .def_prop_ro("library", [](const Model& model) { return model.definition().library; })
      .def_prop_ro("config_text", [](const Model& model) { return model.config().text(); })
      .def_prop_ro("notices", &Model::notices)
      .def_prop_ro("num_parameters", &Model::num_parameters)
      .def_prop_ro("config", &Model::config)
      .def("scope", &Model::scope, "The root of the model's keys.");
  m.def("open_model", open_model, nb::arg("task"), nb::arg("folder"), nb::arg("library"), nb::arg("adapters"),
        nb::arg("pipeline_tag"), nb::arg("config_values"));
}

}  // namespace onnxport::python
