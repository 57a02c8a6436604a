/// The tasks of text decoders.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "onnxport/graph.h"
#include "onnxport/inputs.h"
#include "onnxport/interface.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/decoder_pass.h"
#include "onnxport/scope.h"

namespace onnxport::nn {

/// feature-extraction and text-generation, each with and without past, and the given ones.
ONNXPORT_API std::vector<std::string> text_decoder_tasks(std::vector<std::string> others = {
                                                             "text-classification"});

/// What differs between decoders in those tasks. Functions are called only for the task at hand, so that a
/// head's weights are asked for only where the task needs them.
struct TextDecoderHeads {
  /// -> hidden states [B, S, H], with the states of each layer kept in the pass
  std::function<Value(DecoderPass&)> decode;
  /// Hidden states -> logits [B, S, V]
  std::function<Value(Value)> lm_head;
  std::int64_t hidden_size = 0;
  std::int64_t num_labels = 2;
  std::optional<std::int64_t> pad_token_id = {};
  /// The vector [B, H] of the last token -> logits of text classification; absent: key `score`, no bias
  std::function<Value(Value)> classify = {};
  std::string token_classifier = "score";  ///< key of the token classification head
};

/// Outputs of the component: inputs_embeds, if the interface lists it; else last_hidden_state or logits, with
/// the states that it gives back; start_logits and end_logits. Text classification looks at the last token of
/// each row that is not padding; question answering has the key `qa_outputs`.
ONNXPORT_API NamedValues build_text_decoder_task(const Component& component, const Inputs& inputs,
                                                 const Scope& s, const TextDecoderHeads& heads);

/// The output layer below `s` (`lm_head`); or, with `tied` (the table of tokens), that one. A stored copy of
/// it is then ignored. `bias`: the key of its bias, empty: it has none.
ONNXPORT_API Linear output_embedding(const Scope& s, const Weight& tied, std::int64_t vocab_size,
                                     std::int64_t hidden_size, const std::string& bias = {});

/// The same as a function of hidden states [B, S, H], which asks for its weights when it is called.
ONNXPORT_API std::function<Value(Value)> language_head(const Scope& s, const Weight& tied,
                                                       std::int64_t vocab_size, std::int64_t hidden_size);

/// x [B, S, H] -> the vector [B, H] of the last token of each row whose id is not `pad_token_id`; the last
/// one of all where the model has no such id.
ONNXPORT_API Value last_token(Value x, Value input_ids, std::optional<std::int64_t> pad_token_id);

/// x [B, S, H], index int [B] -> the vector [B, H] at this position of each row.
ONNXPORT_API Value token_at(Value x, Value index);

/// x [B, S, H], mark [B, S] bool -> the vector [B, H] of the last marked token of each row; of the first
/// token where a row has none.
ONNXPORT_API Value last_marked(Value x, Value mark);

}  // namespace onnxport::nn
