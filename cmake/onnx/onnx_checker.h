// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <onnx/defs/schema.h>

namespace onnxport {

/// The official operator schemas of the domains "" and "ai.onnx.ml", for CheckerContext::set_schema_registry
/// and InferShapes. A schema is built at its first look-up (about 20 us); ONNX's own registry builds all 650
/// at once (20 ms). Safe to use from several threads.
const onnx::ISchemaRegistry& onnx_schemas();

}  // namespace onnxport
