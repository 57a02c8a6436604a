// A plugin of another version of onnxport.
#include <cstdlib>

#include "onnxport/export_macro.h"

extern "C" ONNXPORT_API const char* onnxport_plugin_abi() { return "0.0.9 (plugin ABI 1, layout 12345678)"; }
extern "C" ONNXPORT_API void onnxport_register(void* /*tasks*/) { std::abort(); }
