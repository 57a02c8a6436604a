// Splinter. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/splinter/modeling_splinter.py
// BERT whose head compares the tokens with that of the question mask.
#include "models/common/definition.h"

#include <fmt/format.h>

#include "models/text_encoders/common/bert.h"
#include "onnxport/nn/basic.h"
#include "onnxport/text_encoder_config.h"

namespace onnxport::models {
namespace {

// norm(gelu(dense(x))), whatever the config says of activation and epsilon.
Value fully_connected(const Scope& s, Value x, std::int64_t width) {
  const nn::Linear dense(s / "dense", width, width);
  const nn::LayerNorm norm(s / "LayerNorm", width, 1e-5);
  return norm(op::gelu(dense(x)));
}

// How well each token begins or ends the answer to the question at `question` [B, 1, H]: [B, S].
Value select_span(const Scope& head, const char* place, Value hidden, Value question, std::int64_t width) {
  const auto part = [&](const char* before, const char* after) {
    return head / fmt::format("{}{}{}", before, place, after);
  };
  const Value asked = fully_connected(part("query_", "_transform"), question, width);
  const Value tokens = fully_connected(part("", "_transform"), hidden, width);
  const Value query = nn::Linear(part("", "_classifier"), width, width, false)(asked);
  return op::squeeze(op::matmul(query, op::permute(tokens, {0, 2, 1})), 1);
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const TextEncoderConfig c(model.config());
  const std::int64_t question_token = model.config().integer("question_token_id");
  const Scope root = model.scope();
  const Bert splinter(root.base_model("splinter"), c);
  const Value hidden = splinter(inputs);
  if (component.task == "feature-extraction") return {{"last_hidden_state", hidden}};
  const Value asked = op::eq(inputs["input_ids"], static_cast<double>(question_token));
  const Value position = op::argmax(op::cast(asked, DType::i64), 1, true);  // the first, or 0
  const Value index = op::expand(op::unsqueeze(position, 2), {hidden.dim(0), 1, hidden.dim(2)});
  const Value question = op::gather(hidden, 1, index);
  const Value masked = op::cast(op::sub(1.0, inputs["attention_mask"]), hidden.dtype());
  const Value penalty = op::mul(masked, lowest(hidden.dtype()));
  const Scope head = root / "splinter_qass";
  const Value start = select_span(head, "start", hidden, question, c.hidden_size);
  const Value end = select_span(head, "end", hidden, question, c.hidden_size);
  const Value start_logits = op::add(start, penalty);
  const Value end_logits = op::add(end, penalty);
  return {{"start_logits", start_logits}, {"end_logits", end_logits}};
}

}  // namespace

void register_splinter(TasksManager& tasks) {
  tasks.register_model<TypedTextOnnxConfig>(
      {.model_type = "splinter", .tasks = {"feature-extraction", "question-answering"}, .forward = forward});
}

}  // namespace onnxport::models
