/// The tasks of text encoders.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "onnxport/graph.h"
#include "onnxport/inputs.h"
#include "onnxport/scope.h"

namespace onnxport::nn {

/// The six tasks of text encoders.
ONNXPORT_API const std::vector<std::string>& text_encoder_tasks();

/// The differences between encoders in these tasks. A function is called only if the task needs it, so only
/// then the weights of its head are read.
struct TextEncoderHeads {
  /// Inputs -> hidden states [B, S, H]
  std::function<Value(const Inputs&)> encode;
  /// Hidden states -> logits [B, S, V]
  std::function<Value(Value)> fill_mask;
  /// Hidden states -> logits [B, num_labels]
  std::function<Value(Value)> classify;
  /// Hidden states -> the vector [B, H] for the multiple-choice classifier
  std::function<Value(Value)> summarize;
  /// Hidden states -> the score [B, 1] of a choice. Absent: `classifier`, one column, on the summary.
  std::function<Value(Value)> choose = {};
  std::int64_t hidden_size = 0;
  std::int64_t num_labels = 2;
};

/// Outputs of `task`: last_hidden_state; logits; or start_logits and end_logits. The heads of token
/// classification (`classifier`), question answering (`qa_outputs`) and multiple choice (`classifier`, one
/// column) are the same for all encoders, at the root scope `s`.
ONNXPORT_API NamedValues build_text_encoder_task(const std::string& task, const Inputs& inputs,
                                                 const Scope& s, const TextEncoderHeads& heads);

/// start_logits and end_logits [B, S] from hidden states [B, S, H], with the linear layer `key` below the
/// root scope `s`.
ONNXPORT_API NamedValues question_answering(const Scope& s, Value hidden, std::int64_t hidden_size,
                                            const std::string& key = "qa_outputs");

}  // namespace onnxport::nn
