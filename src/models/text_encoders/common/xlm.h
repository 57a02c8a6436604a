/// XLM and FlauBERT.
#pragma once

#include "onnxport/inputs.h"
#include "onnxport/middle_end.h"
#include "onnxport/model.h"
#include "onnxport/plan.h"

namespace onnxport::models {

class XlmOnnxConfig : public TextEncoderOnnxConfig {
 public:
  using TextEncoderOnnxConfig::TextEncoderOnnxConfig;
  AxesByName inputs() const override;
  NormalizedConfig normalized_config() const override;
};

/// Where the norms of a layer stand.
enum class NormPlace { after, before };

/// The outputs of a task. Keys: embeddings, position_embeddings, layer_norm_emb, attentions, layer_norm1,
/// ffns, layer_norm2 below `transformer`; sequence_summary, logits_proj, pred_layer, qa_outputs, classifier.
NamedValues build_xlm(const Inputs& inputs, const Model& model, const Component& component, NormPlace norms);

}  // namespace onnxport::models
