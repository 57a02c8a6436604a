#include "onnxport/nn/decoder_tasks.h"

#include "onnxport/error.h"
#include "onnxport/index_ops.h"
#include "onnxport/nn/text_tasks.h"
#include "onnxport/op.h"

namespace onnxport::nn {

std::vector<std::string> text_decoder_tasks(std::vector<std::string> others) {
  std::vector<std::string> tasks = {"feature-extraction", "feature-extraction-with-past", "text-generation",
                                    "text-generation-with-past"};
  tasks.insert(tasks.end(), others.begin(), others.end());
  return tasks;
}

Linear output_embedding(const Scope& s, const Weight& tied, std::int64_t vocab_size, std::int64_t hidden_size,
                        const std::string& bias) {
  const Weight added = bias.empty() ? Weight() : s.weight(bias, {vocab_size});
  if (!tied) return {s.path(), s.weight("weight", {vocab_size, hidden_size}), added};
  s.ignore("weight");
  return {s.path(), tied, added};
}

std::function<Value(Value)> language_head(const Scope& s, const Weight& tied, std::int64_t vocab_size,
                                          std::int64_t hidden_size) {
  return [=](Value hidden) { return output_embedding(s, tied, vocab_size, hidden_size)(hidden); };
}

Value last_token(Value x, Value input_ids, std::optional<std::int64_t> pad_token_id) {
  const Dim& length = x.dim(1);
  if (!pad_token_id) return op::squeeze(op::slice(x, 1, length - 1, length), 1);
  return last_marked(x, op::ne(input_ids, static_cast<double>(*pad_token_id)));
}

Value last_marked(Value x, Value mark) {
  Graph& graph = x.graph();
  const Value marks = op::cast(mark, DType::i64);
  return token_at(x, op::amax(op::mul(op::arange(graph, x.dim(1)), marks), 1));
}

Value token_at(Value x, Value index) {
  Graph& graph = x.graph();
  const Value length = op::size(graph, x.dim(1));
  const Value first_of_row = op::mul(op::arange(graph, x.dim(0)), length);
  const Value rows = op::flatten(x, 0, 1);
  return op::embedding(rows, op::add(first_of_row, index));
}

NamedValues build_text_decoder_task(const Component& component, const Inputs& inputs, const Scope& s,
                                    const TextDecoderHeads& heads) {
  const std::string& task = component.task;
  DecoderPass pass = DecoderPass::of_interface(inputs, component.interface);
  const Value hidden = heads.decode(pass);
  NamedValues outputs;
  if (pass.wants("inputs_embeds")) {  // the table of tokens alone
    pass.add_given(outputs);
    return outputs;
  }
  if (task == "text-classification") {
    const Value last = last_token(hidden, pass.input_ids(), heads.pad_token_id);
    if (heads.classify) return {{"logits", heads.classify(last)}};
    return {{"logits", Linear(s / "score", heads.hidden_size, heads.num_labels, false)(last)}};
  }
  if (task == "token-classification") {
    return {{"logits", Linear(s / heads.token_classifier, heads.hidden_size, heads.num_labels)(hidden)}};
  }
  if (task == "question-answering") return question_answering(s, hidden, heads.hidden_size);
  if (task.starts_with("text-generation")) {
    const Value count = inputs.get("num_logits_to_keep");
    const Dim kept = Dim::symbol("num_logits_to_keep");
    outputs.emplace_back("logits", heads.lm_head(count ? op::tail(hidden, 1, count, kept) : hidden));
  } else if (task.starts_with("feature-extraction")) {
    outputs.emplace_back("last_hidden_state", hidden);
  } else {
    throw ExportError(ErrorCode::internal, "text decoders have no task '" + task + "'");
  }
  pass.add_presents(outputs);
  pass.add_given(outputs);
  return outputs;
}

}  // namespace onnxport::nn
