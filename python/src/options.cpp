#include "options.h"

#include <functional>
#include <string_view>
#include <utility>

#include "interrupt.h"
#include "onnxport/error.h"

namespace onnxport::python {
namespace {

namespace fs = std::filesystem;

using Setters = std::map<std::string, std::function<void(const nb::object&)>>;

template <class T>
std::function<void(const nb::object&)> into(T& member) {
  return [&member](const nb::object& value) { member = nb::cast<T>(value); };
}

// None leaves a member as it is.
void read(const nb::dict& options, const Setters& setters) {
  for (const auto& [key, value] : options) {
    const auto name = nb::cast<std::string>(key);
    const auto found = setters.find(name);
    if (found == setters.end()) throw nb::type_error(("unknown option '" + name + "'").c_str());
    if (value.is_none()) continue;
    try {
      found->second(nb::borrow(value));
    } catch (const nb::cast_error&) {
      throw nb::type_error(("option '" + name + "' has a value of the wrong type").c_str());
    }
  }
}

Split split_from(const std::string& text) {
  if (text == "merged") return Split::merged;
  if (text == "apart") return Split::apart;
  if (text == "monolith") return Split::monolith;
  throw ExportError(ErrorCode::invalid_argument, "split '" + text + "': expected merged, apart or monolith");
}

std::vector<Precision> precisions_from(const std::vector<std::string>& names) {
  std::vector<Precision> precisions;
  for (const std::string& name : names) precisions.push_back(get_precision(name));
  return precisions;
}

void add_hub(Setters& setters, HubOptions& hub) {
  setters["revision"] = into(hub.revision);
  setters["subfolder"] = into(hub.subfolder);
  setters["weights_variant"] = into(hub.weights_variant);
  setters["token"] = into(hub.token);
  setters["cache_dir"] = into(hub.cache_dir);
  setters["local_files_only"] = into(hub.local_files_only);
  setters["force_download"] = into(hub.force_download);
}

// What exports and validations share; `options` is one of both.
template <class Options>
void add_common(Setters& setters, Options& options, DummyShapes& shapes, bool& dynamic_axes,
                std::string& quantize) {
  setters["model"] = into(options.model);
  setters["adapters"] = into(options.adapters);
  setters["task"] = into(options.task);
  setters["dtype"] = into(options.dtype);
  setters["int_dtype"] = into(options.int_dtype);
  setters["library"] = into(options.library);
  setters["variant"] = into(options.variant);
  setters["layout"] = into(options.layout);
  setters["pipeline_tag"] = into(options.pipeline_tag);
  setters["interface_options"] = [&](const nb::object& value) {
    options.interface_options = interface_options_from(nb::cast<std::vector<std::string>>(value));
  };
  setters["atol"] = [&](const nb::object& value) { options.atol = nb::cast<double>(value); };
  setters["split"] = [&](const nb::object& value) {
    options.split = split_from(nb::cast<std::string>(value));
  };
  setters["quantize"] = into(quantize);
  setters["variants"] = [&](const nb::object& value) {
    options.precisions = precisions_from(nb::cast<std::vector<std::string>>(value));
  };
  setters["approximate_gelu"] = [&](const nb::object& value) {
    options.gelu = nb::cast<bool>(value) ? Gelu::tanh : Gelu::as_defined;
  };
  setters["shapes"] = [&](const nb::object& value) { shapes = shapes_from(nb::cast<nb::dict>(value)); };
  setters["dynamic_axes"] = into(dynamic_axes);
  add_hub(setters, options.hub);
}

// As on the command line: a precision may have a dtype of its own.
void apply_quantize(const std::string& quantize, Recipe& recipe, std::string& dtype) {
  if (quantize.empty()) return;
  if (quantize == "keep") {
    recipe.scheme = KeepRecipe{};
    return;
  }
  Precision precision = get_precision(quantize);
  if (!precision.recipe) {
    throw ExportError(ErrorCode::invalid_argument,
                      "quantize '" + quantize + "': is no quantization; use dtype for it");
  }
  if (precision.dtype != DType::f32) dtype = short_name(precision.dtype);
  recipe = std::move(precision.recipe);
}

NonFinite non_finite_from(bool allow) { return allow ? NonFinite::allow : NonFinite::fail; }

}  // namespace

MainExportOptions export_options_from(const nb::dict& options) {
  MainExportOptions made;
  ExportOptions& how = made.export_options;
  std::string quantize;
  Setters setters;
  add_common(setters, made, how.shapes, how.dynamic_axes, quantize);
  setters["output"] = into(made.output);
  setters["opset"] = into(made.opset);
  setters["config_values"] = into(made.config_values);
  setters["legacy"] = into(made.legacy);
  setters["validate"] = into(made.validate);
  setters["reference"] = [&](const nb::object& value) { made.reference = nb::cast<fs::path>(value); };
  setters["allow_non_finite"] = [&](const nb::object& value) {
    made.non_finite = non_finite_from(nb::cast<bool>(value));
  };
  setters["target"] = into(how.target.runtime);
  setters["attention"] = into(how.target.attention);
  setters["ignore_unexpected"] = into(how.ignore_unexpected);
  setters["external_data"] = into(how.external_data);
  setters["external_data_threshold"] = into(how.external_data_threshold);
  setters["external_data_alignment"] = into(how.external_data_alignment);
  setters["on_progress"] = [&](const nb::object& value) { how.on_progress = progress_listener(value); };
  setters["on_notice"] = [&](const nb::object& value) { how.on_notice = line_listener(value); };
  setters["on_detail"] = [&](const nb::object& value) { how.on_detail = line_listener(value); };
  setters["on_download"] = [&](const nb::object& value) { made.hub.on_progress = progress_listener(value); };
  read(options, setters);
  apply_quantize(quantize, made.recipe, made.dtype);
  return made;
}

MainValidateOptions validate_options_from(const nb::dict& options) {
  MainValidateOptions made;
  std::string quantize;
  Setters setters;
  add_common(setters, made, made.validation.shapes, made.validation.dynamic_axes, quantize);
  setters["onnx"] = into(made.onnx);
  setters["reference"] = [&](const nb::object& value) {
    made.validation.reference = nb::cast<fs::path>(value);
  };
  setters["allow_non_finite"] = [&](const nb::object& value) {
    made.validation.non_finite = non_finite_from(nb::cast<bool>(value));
  };
  read(options, setters);
  apply_quantize(quantize, made.recipe, made.dtype);
  return made;
}

}  // namespace onnxport::python
