// A plugin that does not say for which version it was built.
#include <cstdlib>

#include "onnxport/export_macro.h"

extern "C" ONNXPORT_API void onnxport_register(void* /*tasks*/) { std::abort(); }
