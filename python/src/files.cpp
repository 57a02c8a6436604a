// Commands on .onnx files.
#include <utility>

#include "bind.h"
#include "interrupt.h"
#include "onnxport/error.h"
#include "onnxport/onnx_files.h"
#include "options.h"
#include "runtime/library_path.h"
#include "runtime/session.h"

namespace onnxport::python {
namespace {

namespace fs = std::filesystem;

DynamicQuantization quantization_from(const nb::dict& given) {
  DynamicQuantization made;
  const auto symmetry = [](nb::handle value) {
    return nb::cast<bool>(value) ? Symmetry::symmetric : Symmetry::asymmetric;
  };
  for (const auto& [key, value] : given) {
    const auto name = nb::cast<std::string>(key);
    if (name == "weight_dtype") {
      made.weight_dtype = parse_dtype(nb::cast<std::string>(value));
    } else if (name == "symmetric_weights") {
      made.weights = symmetry(value);
    } else if (name == "symmetric_tables") {
      made.tables = symmetry(value);
    } else if (name == "per_channel") {
      made.per_channel = nb::cast<bool>(value);
    } else if (name == "reduce_range") {
      made.reduce_range = nb::cast<bool>(value);
    } else if (name == "operators") {
      made.operators = nb::cast<std::vector<std::string>>(value);
    } else if (name == "nodes") {
      made.nodes = nb::cast<std::vector<std::string>>(value);
    } else if (name == "excluded_nodes") {
      made.excluded_nodes = nb::cast<std::vector<std::string>>(value);
    } else {
      throw nb::type_error(("unknown setting '" + name + "'").c_str());
    }
  }
  return made;
}

std::vector<nb::tuple> quantize(const fs::path& onnx_model, const fs::path& output, const nb::dict& settings,
                                bool external_data, const nb::object& on_progress,
                                const nb::object& on_notice) {
  const QuantizeOptions options{.onnx_model = onnx_model,
                                .output = output,
                                .quantization = quantization_from(settings),
                                .external_data = external_data,
                                .on_progress = progress_listener(on_progress),
                                .on_notice = line_listener(on_notice)};
  const auto files = run_interruptible([&] { return quantize_onnx_files(options); });
  std::vector<nb::tuple> made;
  for (const QuantizedModelFile& file : files)
    made.push_back(nb::make_tuple(file.source, file.path, file.source_bytes, file.bytes, file.nodes));
  return made;
}

}  // namespace

void bind_files(nb::module_& m) {
  m.def("quantize", quantize, nb::arg("onnx_model"), nb::arg("output"), nb::arg("settings"),
        nb::arg("external_data"), nb::arg("on_progress").none(), nb::arg("on_notice").none(),
        "Quantizes .onnx files dynamically: (source, path, bytes before, bytes after, nodes) of each.");
  m.def(
      "set_onnxruntime", [](const fs::path& library) { runtime::set_library(library); }, nb::arg("library"));
  m.def("onnxruntime_version", runtime::version);
  m.def("optimizing_export_command", optimizing_export_command, nb::arg("onnx_model"), nb::arg("output"),
        nb::arg("level"));
}

}  // namespace onnxport::python
