// Architectures that are written in Python.
#include <memory>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "bind.h"
#include "config/class_defaults.h"
#include "errors.h"
#include "handles.h"
#include "interrupt.h"
#include "onnxport/error.h"
#include "onnxport/tasks_manager.h"

namespace onnxport::python {
namespace {

/// A callable of a definition. The registry outlives the interpreter, so it is never dropped.
class Kept {
 public:
  explicit Kept(nb::object callable) : callable_(callable.release()) {}
  nb::handle get() const { return callable_; }

 private:
  nb::handle callable_;
};

[[noreturn]] void refuse(const std::string& what) { throw ExportError(ErrorCode::internal, what); }

Forward forward_of(nb::object callable, const std::string& model_type) {
  return [kept = Kept(std::move(callable)), model_type](const Inputs& inputs, const Model& model,
                                                        const Component& component) {
    const nb::gil_scoped_acquire gil;
    const nb::object results = call_python([&] { return kept.get()(inputs, model, component); });
    nb::dict named;
    if (!nb::try_cast(results, named))
      refuse("the definition of '" + model_type + "' must return a dict of names and values");
    NamedValues values;
    for (const auto& [name, value] : named) {
      Value made;
      if (!nb::try_cast(value, made)) {
        refuse("the definition of '" + model_type + "' returns something else than a Value as '" +
               nb::cast<std::string>(name) + "'");
      }
      values.emplace_back(nb::cast<std::string>(name), std::move(made));
    }
    return values;
  };
}

// `make(config text, task, int_dtype, float_dtype)` gives a Config.
OnnxConfigConstructor constructor_of(nb::object make) {
  return [kept = Kept(std::move(make))](const PretrainedConfig& config, const std::string& task,
                                        const OnnxConfigOptions& options) {
    const nb::gil_scoped_acquire gil;
    const nb::object made =
        call_python([&] { return kept.get()(config.text(), task, options.int_dtype, options.float_dtype); });
    return nb::cast<ConfigHandle&>(made).config;
  };
}

void register_definition(const std::string& model_type, const std::string& library,
                         const std::vector<std::string>& tasks, nb::object make_config, nb::object forward,
                         const std::vector<std::string>& ignorable_keys,
                         const std::optional<std::pair<std::string, std::string>>& tied,
                         const std::optional<std::string>& class_defaults) {
  ModelDefinition definition{.model_type = model_type,
                             .tasks = tasks,
                             .forward = forward_of(std::move(forward), model_type),
                             .ignorable_keys = ignorable_keys,
                             .library = library,
                             .onnx_config = constructor_of(std::move(make_config))};
  if (tied)
    definition.key_names = {.embeddings = {tied->first + ".weight"}, .head = tied->second + ".weight"};
  if (class_defaults) PretrainedConfig::register_class_defaults(model_type, *class_defaults);
  TasksManager::instance().register_definition(std::move(definition));
}

void register_alias(const std::string& model_type, const std::string& original,
                    std::optional<std::string> class_defaults) {
  TasksManager::instance().register_alias(model_type, original);
  if (const auto defaults = config::class_defaults(original); !class_defaults && defaults)
    class_defaults = defaults->dump();
  if (class_defaults) PretrainedConfig::register_class_defaults(model_type, *class_defaults);
}

}  // namespace

void bind_register(nb::module_& m) {
  m.def("register_definition", register_definition, nb::arg("model_type"), nb::arg("library"),
        nb::arg("tasks"), nb::arg("make_config"), nb::arg("forward"), nb::arg("ignorable_keys"),
        nb::arg("tied").none(), nb::arg("class_defaults").none());
  m.def("register_alias", register_alias, nb::arg("model_type"), nb::arg("original"),
        nb::arg("class_defaults").none(),
        "The definition of another architecture, with its class defaults unless others are given.");
}

}  // namespace onnxport::python
