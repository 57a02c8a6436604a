/// Shared parts of models that combine two other architectures.
#pragma once

#include <string>

#include "models/common/definition.h"

namespace onnxport::models {

/// Combines a type with the role `encoder_role` and a cross decoder: `encoder` and `decoder` in config.json,
/// with checkpoint keys below the same names, and `enc_to_dec_proj` between them if their widths differ.
/// `task` exists without past, and with past if the decoder has a cache. The configuration class is an
/// EncoderDecoderBaseOnnxConfig.
ModelDefinition encoder_decoder(TasksManager& tasks, std::string model_type, const std::string& task,
                                Role encoder_role);

}  // namespace onnxport::models
