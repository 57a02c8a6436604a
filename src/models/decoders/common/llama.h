/// Llama, for types whose models are Llama's under a name of their own.
#pragma once

#include "onnxport/inputs.h"
#include "onnxport/interface.h"
#include "onnxport/model.h"

namespace onnxport::models {

NamedValues forward_llama(const Inputs& inputs, const Model& model, const Component& component);

}  // namespace onnxport::models
