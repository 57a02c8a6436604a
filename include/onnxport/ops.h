/// The semantic ops by name. Definitions of models do not need it: they call the functions of op.h.
#pragma once

#include <cstdint>

#include "onnxport/graph.h"

namespace onnxport {

/// Every semantic op, from ops.def.
enum class Op : std::uint8_t {
#define ONNXPORT_LEAF(name) name,
#define ONNXPORT_PRIMITIVE(name) name,
#include "onnxport/ops.def"
};

}  // namespace onnxport
