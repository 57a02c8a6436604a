/// Options from Python, which arrive as a dict.
#pragma once

#include <map>
#include <string>

#include "bind.h"
#include "handles.h"
#include "onnxport/export.h"

namespace onnxport::python {

/// The members of MainExportOptions, by their names; `optimize`, `quantize` and `variants` as on the command
/// line. Throws TypeError for an unknown name.
MainExportOptions export_options_from(const nb::dict& options);
/// The same for MainValidateOptions.
MainValidateOptions validate_options_from(const nb::dict& options);

}  // namespace onnxport::python
