/// One vector per sequence, chosen by config.json.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "onnxport/config.h"
#include "onnxport/graph.h"
#include "onnxport/inputs.h"
#include "onnxport/nn/text_tasks.h"
#include "onnxport/scope.h"
#include "onnxport/text_encoder_config.h"

namespace onnxport::models {

/// activation(summary(one vector)), as summary_type, summary_use_proj, summary_proj_to_labels and
/// summary_activation say. (transformers v4.57.6, modeling_xlm.py, XLMSequenceSummary)
class SequenceSummary {
 public:
  /// Throws ExportError(bad_config) for an unknown summary_type.
  explicit SequenceSummary(const PretrainedConfig& config);
  /// Hidden states [B, S, H] -> [B, H], or [B, num_labels] if the projection is to labels. Key: summary.
  Value operator()(Value hidden, const Scope& s) const;

 private:
  std::string type_, activation_;
  bool project_, to_labels_;
  std::int64_t num_labels_;
};

/// The heads of all tasks: classifier.{dense, out_proj} on the first token, with the activation hidden_act,
/// and the summary, key sequence_summary, for multiple choice.
nn::TextEncoderHeads summary_heads(const Scope& root, const TextEncoderConfig& c,
                                   const SequenceSummary& summary, std::function<Value(const Inputs&)> encode,
                                   std::function<Value(Value)> fill_mask);

}  // namespace onnxport::models
