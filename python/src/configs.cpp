// OnnxConfig and the classes below it.
#include <algorithm>
#include <array>
#include <utility>

#include "arrays.h"
#include "bind.h"
#include "handles.h"
#include "onnxport/error.h"
#include "onnxport/middle_end.h"
#include "onnxport/tasks_manager.h"

namespace onnxport::python {
namespace {

namespace fs = std::filesystem;

// Lists in Python are of [name, {axis: symbol}].
std::vector<std::pair<std::string, std::map<int, std::string>>> listed(const AxesByName& axes) {
  return axes;
}

OnnxConfigOptions options_from(const std::string& int_dtype, const std::string& float_dtype,
                               const std::string& variant, const std::vector<std::string>& interface_options,
                               const std::optional<fs::path>& preprocessors) {
  OnnxConfigOptions options{.int_dtype = int_dtype,
                            .float_dtype = float_dtype,
                            .variant = variant,
                            .interface_options = interface_options_from(interface_options)};
  if (preprocessors) options.preprocessors = load_preprocessors(*preprocessors);
  return options;
}

ConfigHandle make_config(const std::string& model_type, const std::string& library, const std::string& config,
                         const std::string& task, const std::string& int_dtype,
                         const std::string& float_dtype, const std::string& variant,
                         const std::vector<std::string>& interface_options,
                         const std::optional<fs::path>& preprocessors) {
  const std::string mapped = TasksManager::map_from_synonym(task);
  const OnnxConfigConstructor make =
      TasksManager::instance().get_exporter_config_constructor(model_type, mapped, library);
  return {make(PretrainedConfig::from_json(config, "the configuration", model_type), mapped,
               options_from(int_dtype, float_dtype, variant, interface_options, preprocessors))};
}

ConfigHandle config_of_model(const Model& model, const std::string& int_dtype, const std::string& float_dtype,
                             const std::string& variant, const std::vector<std::string>& interface_options) {
  const OnnxConfigConstructor make = TasksManager::instance().get_exporter_config_constructor(model);
  return {make(model.config(), model.task(),
               options_from(int_dtype, float_dtype, variant, interface_options, {}))};
}

// The classes of the middle end, which a definition in Python derives from.
template <class Config>
std::shared_ptr<const OnnxConfig> make_middle(PretrainedConfig config, std::string task,
                                              OnnxConfigOptions options) {
  return make_onnx_config<Config>(std::move(config), std::move(task), std::move(options));
}

class PlainTextAndVision : public TextAndVisionOnnxConfig {
 public:
  using TextAndVisionOnnxConfig::TextAndVisionOnnxConfig;
  AxesByName inputs() const override {
    return {{"input_ids", {{0, "text_batch_size"}, {1, "sequence_length"}}},
            {"pixel_values", {{0, "image_batch_size"}, {1, "num_channels"}, {2, "height"}, {3, "width"}}},
            {"attention_mask", {{0, "text_batch_size"}, {1, "sequence_length"}}}};
  }
  NormalizedConfig normalized_config() const override { return NormalizedTextConfig(config()); }
};

using Middle = std::pair<const char*, MakeOnnxConfig>;
constexpr std::array kMiddle = {
    Middle{"TextEncoderOnnxConfig", make_middle<TextEncoderOnnxConfig>},
    Middle{"TextDecoderWithPositionIdsOnnxConfig", make_middle<TextDecoderWithPositionIdsOnnxConfig>},
    Middle{"TextDecoderOnnxConfig", make_middle<TextDecoderOnnxConfig>},
    Middle{"TextSeq2SeqOnnxConfig", make_middle<TextSeq2SeqOnnxConfig>},
    Middle{"VisionOnnxConfig", make_middle<VisionOnnxConfig>},
    Middle{"TextAndVisionOnnxConfig", make_middle<PlainTextAndVision>},
    Middle{"AudioOnnxConfig", make_middle<AudioOnnxConfig>},
};

ConfigHandle make_middle_config(const std::string& name, const std::string& model_type,
                                const std::string& config, const std::string& task,
                                const std::string& int_dtype, const std::string& float_dtype,
                                const std::optional<fs::path>& preprocessors) {
  for (const auto& [known, make] : kMiddle) {
    if (name != known) continue;
    return {make(PretrainedConfig::from_json(config, "the configuration", model_type),
                 TasksManager::map_from_synonym(task),
                 options_from(int_dtype, float_dtype, "default", {}, preprocessors))};
  }
  throw ExportError(ErrorCode::unsupported, "a class derived from " + name +
                                                " alone cannot be made here: derive it from a class of the "
                                                "middle end, such as TextEncoderOnnxConfig");
}

// The nearest class that Python has too.
std::string base_class(const OnnxConfig& config) {
  const auto is = [&]<class Config>(const Config*) {
    return dynamic_cast<const Config*>(&config) != nullptr;
  };
  const auto null = []<class Config>() { return static_cast<const Config*>(nullptr); };
#define ONNXPORT_IF_IS(Class) \
  if (is(null.template operator()<Class>())) return #Class
  ONNXPORT_IF_IS(TextEncoderOnnxConfig);
  ONNXPORT_IF_IS(TextDecoderWithPositionIdsOnnxConfig);
  ONNXPORT_IF_IS(TextDecoderOnnxConfig);
  ONNXPORT_IF_IS(TextSeq2SeqOnnxConfig);
  ONNXPORT_IF_IS(AudioToTextOnnxConfig);
  ONNXPORT_IF_IS(EncoderDecoderBaseOnnxConfig);
  ONNXPORT_IF_IS(VisionOnnxConfig);
  ONNXPORT_IF_IS(TextAndVisionOnnxConfig);
  ONNXPORT_IF_IS(AudioOnnxConfig);
  ONNXPORT_IF_IS(OnnxSeq2SeqConfigWithPast);
  ONNXPORT_IF_IS(OnnxConfigWithPast);
#undef ONNXPORT_IF_IS
  return "OnnxConfig";
}

// As far as the defaults of the original class tell.
std::string base_class_of_type(const std::string& model_type, const std::string& library) {
  const auto definition = TasksManager::instance().get_definition(model_type, library);
  for (const std::string& task : definition->tasks) {
    try {
      return base_class(*definition->onnx_config(
          PretrainedConfig::from_json("{}", "the defaults of " + model_type, model_type), task, {}));
    } catch (const ExportError&) {  // NOLINT(bugprone-empty-catch): the class has no such default
    }
  }
  return "OnnxConfig";
}

ConfigHandle with_behavior(const ConfigHandle& handle, const std::string& behavior, bool use_past,
                           bool use_past_in_inputs) {
  const auto* both = dynamic_cast<const OnnxSeq2SeqConfigWithPast*>(handle.config.get());
  const auto refuse = [](const std::string& what) { throw ExportError(ErrorCode::invalid_argument, what); };
  if (both == nullptr) refuse("with_behavior: the configuration is not one of an encoder with a decoder");
  ConfigBehavior part = ConfigBehavior::monolith;
  if (behavior == "encoder") {
    part = ConfigBehavior::encoder;
  } else if (behavior == "decoder") {
    part = ConfigBehavior::decoder;
  } else if (behavior != "monolith") {
    refuse("behavior '" + behavior + "': expected monolith, encoder or decoder");
  }
  return {both->with_behavior(part, use_past, use_past_in_inputs)};
}

// (input, output, {axis: symbol} of the input, {axis: symbol} of the output) of each state.
std::vector<nb::tuple> states(const OnnxConfig& config) {
  std::vector<nb::tuple> all;
  for (const StateSpec& state : config.states()) {
    std::map<int, std::string> past, present;
    for (std::size_t axis = 0; axis < state.shape.size(); ++axis) {
      if (state.shape[axis].is_constant()) continue;
      const int position = static_cast<int>(axis);
      past[position] = state.shape[axis].str();
      present[position] = state.growing_axis == position ? state.grown : past[position];
    }
    all.push_back(nb::make_tuple(state.input, state.output, past, present));
  }
  return all;
}

}  // namespace

void bind_configs(nb::module_& m) {
  nb::class_<ConfigHandle>(m, "Config", "A configuration class of the library.")
      .def_prop_ro("task", [](const ConfigHandle& handle) { return handle.config->task(); })
      .def_prop_ro("model_type",
                   [](const ConfigHandle& handle) { return handle.config->config().model_type(); })
      .def_prop_ro("inputs",
                   [](const ConfigHandle& handle) {
                     AxesByName inputs = handle.config->inputs(), outputs = handle.config->outputs();
                     handle.config->apply(handle.config->options().interface_options, inputs, outputs);
                     return listed(inputs);
                   })
      .def_prop_ro("outputs",
                   [](const ConfigHandle& handle) {
                     AxesByName inputs = handle.config->inputs(), outputs = handle.config->outputs();
                     handle.config->apply(handle.config->options().interface_options, inputs, outputs);
                     return listed(outputs);
                   })
      .def_prop_ro("states", [](const ConfigHandle& handle) { return states(*handle.config); })
      .def_prop_ro("atol", [](const ConfigHandle& handle) { return handle.config->atol_for_validation(); })
      .def_prop_ro("opset", [](const ConfigHandle& handle) { return handle.config->default_onnx_opset(); })
      .def_prop_ro("variants", [](const ConfigHandle& handle) { return handle.config->variants(); })
      .def_prop_ro("base_class", [](const ConfigHandle& handle) { return base_class(*handle.config); })
      .def(
          "normalized",
          [](const ConfigHandle& handle, const std::string& quantity) {
            return handle.config->normalized_config().maybe(quantity);
          },
          nb::arg("quantity"))
      .def(
          "dummy_inputs",
          [](const ConfigHandle& handle, const nb::dict& shapes, std::uint64_t seed) {
            return to_numpy(handle.config->generate_dummy_inputs(shapes_from(shapes), seed));
          },
          nb::arg("shapes"), nb::arg("seed"))
      .def("with_behavior", with_behavior, nb::arg("behavior"), nb::arg("use_past"),
           nb::arg("use_past_in_inputs"))
      .def(
          "changed",
          [](const ConfigHandle& handle, const std::optional<AxesByName>& inputs,
             const std::optional<AxesByName>& outputs, std::optional<double> atol, std::optional<int> opset,
             const std::map<std::string, std::string>& origins,
             const std::map<std::string, std::string>& input_origins) {
            return ConfigHandle{
                changed(handle.config, {inputs, outputs, atol, opset, origins, input_origins})};
          },
          nb::arg("inputs").none(), nb::arg("outputs").none(), nb::arg("atol").none(),
          nb::arg("opset").none(), nb::arg("origins") = std::map<std::string, std::string>(),
          nb::arg("input_origins") = std::map<std::string, std::string>());
  m.def("make_config", make_config, nb::arg("model_type"), nb::arg("library"), nb::arg("config"),
        nb::arg("task"), nb::arg("int_dtype"), nb::arg("float_dtype"), nb::arg("variant"),
        nb::arg("interface_options"), nb::arg("preprocessors").none());
  m.def("config_of_model", config_of_model, nb::arg("model"), nb::arg("int_dtype"), nb::arg("float_dtype"),
        nb::arg("variant"), nb::arg("interface_options"));
  m.def("make_middle_config", make_middle_config, nb::arg("name"), nb::arg("model_type"), nb::arg("config"),
        nb::arg("task"), nb::arg("int_dtype"), nb::arg("float_dtype"), nb::arg("preprocessors").none());
  m.def("base_class_of_type", base_class_of_type, nb::arg("model_type"), nb::arg("library"));
}

}  // namespace onnxport::python
