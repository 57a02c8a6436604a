#include "onnxport/nn/text_tasks.h"

#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/op.h"

namespace onnxport::nn {

const std::vector<std::string>& text_encoder_tasks() {
  static const std::vector<std::string> tasks = {"feature-extraction",  "fill-mask",
                                                 "multiple-choice",     "question-answering",
                                                 "text-classification", "token-classification"};
  return tasks;
}

namespace {

// Every choice becomes a row of the batch: [B, C, S] -> [B * C, S].
Inputs join_choices(const Inputs& inputs) {
  Inputs joined = inputs;
  for (const auto& [name, value] : inputs.values()) joined = joined.with(name, op::flatten(value, 0, 1));
  return joined;
}

}  // namespace

NamedValues build_text_encoder_task(const std::string& task, const Inputs& inputs, const Scope& s,
                                    const TextEncoderHeads& heads) {
  if (task == "multiple-choice") {
    const Shape choices = inputs.values().front().second.shape();
    const Value hidden = heads.encode(join_choices(inputs));
    const auto choose = [&] {
      if (heads.choose) return heads.choose(hidden);
      const Value summary = heads.summarize(hidden);
      return Linear(s / "classifier", heads.hidden_size, 1)(summary);
    };
    const Value logits = choose();
    return {{"logits", op::reshape(logits, {choices[0], choices[1]})}};
  }
  const Value hidden = heads.encode(inputs);
  if (task == "feature-extraction") return {{"last_hidden_state", hidden}};
  if (task == "fill-mask") return {{"logits", heads.fill_mask(hidden)}};
  if (task == "text-classification") return {{"logits", heads.classify(hidden)}};
  if (task == "token-classification") {
    return {{"logits", Linear(s / "classifier", heads.hidden_size, heads.num_labels)(hidden)}};
  }
  if (task == "question-answering") return question_answering(s, hidden, heads.hidden_size);
  throw ExportError(ErrorCode::internal, "text encoders have no task '" + task + "'");
}

NamedValues question_answering(const Scope& s, Value hidden, std::int64_t hidden_size,
                               const std::string& key) {
  const Value logits = Linear(s / key, hidden_size, 2)(hidden);
  const Value start = op::select(logits, 2, 0);
  const Value end = op::select(logits, 2, 1);
  return {{"start_logits", start}, {"end_logits", end}};
}

}  // namespace onnxport::nn
