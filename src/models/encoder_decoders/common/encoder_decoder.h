/// What models of two other architectures have in common.
#pragma once

#include <string>

#include "models/common/definition.h"

namespace onnxport::models {

/// A type with the role `encoder_role` and a cross decoder: `encoder` and `decoder` of config.json and below
/// the same keys of the checkpoint, with `enc_to_dec_proj` between them where their widths differ. `task`
/// comes with and without past, the first where the decoder keeps a cache. The
/// configuration class is an EncoderDecoderBaseOnnxConfig.
ModelDefinition encoder_decoder(TasksManager& tasks, std::string model_type, const std::string& task,
                                Role encoder_role);

}  // namespace onnxport::models
