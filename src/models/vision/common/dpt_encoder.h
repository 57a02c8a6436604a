/// The encoders of DPT: a Vision Transformer, one behind a network of convolutions, or a backbone of another
/// type.
#pragma once

#include <vector>

#include "models/vision/common/dpt_neck.h"

namespace onnxport::models {

/// The results of DPT's own encoder.
struct DptEncoding {
  DptStates tokens;         ///< the embeddings and each layer's result
  std::vector<Value> maps;  ///< [B, C, H, W]: of the convolutions, if the encoder is hybrid
};

/// `s`: the scope of the base model. Throws ExportError(bad_config).
DptEncoding encode_dpt(const TasksManager& tasks, const Scope& s, const PretrainedConfig& config, bool hybrid,
                       Value pixel_values);

/// The states of the layers that the neck takes, which backbone_out_indices lists. `root`: of the checkpoint.
DptStates dpt_layer_states(const TasksManager& tasks, const Scope& root, const PretrainedConfig& config,
                           bool hybrid, Value pixel_values);

/// The same with the backbone of backbone_config as encoder. Throws ExportError(unsupported) if it returns
/// images.
DptStates dpt_backbone_states(const TasksManager& tasks, const Scope& root, const PretrainedConfig& config,
                              Value pixel_values);

/// The tokens of a backbone behind one class token. `s`: of the backbone; `config`: of the model around it.
/// Throws ExportError(unsupported) if it returns anything else.
DptStates dpt_tokens(const TasksManager& tasks, const Scope& s, const PretrainedConfig& config,
                     const PretrainedConfig& backbone, Value pixel_values);

}  // namespace onnxport::models
