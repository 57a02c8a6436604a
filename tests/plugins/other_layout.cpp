// A plugin that was compiled with other sizes of public types (see cmake/tests.cmake).
#include <cstdlib>

#include "onnxport/plugin.h"

namespace {
void never_called(onnxport::TasksManager& /*tasks*/) { std::abort(); }
}  // namespace

ONNXPORT_PLUGIN(never_called);
