/// What an architecture's file includes, besides the modules that it uses.
#pragma once

#include "onnxport/model.h"
#include "onnxport/nn.h"
#include "onnxport/onnx_config.h"
#include "onnxport/op.h"
#include "onnxport/tasks_manager.h"
#include "onnxport/text_decoder_config.h"
#include "onnxport/text_encoder_config.h"

namespace onnxport::models {

/// A key that a class knows under two names (its attribute_map): the usual one wins where the file has it.
inline std::int64_t either(const PretrainedConfig& config, std::string_view usual, std::string_view own) {
  return config.has(usual) ? config.integer(usual) : config.integer(own);
}

}  // namespace onnxport::models
