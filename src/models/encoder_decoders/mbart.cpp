// mBART: BART with norms before attention and feed-forward. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/mbart/modeling_mbart.py
#include "models/encoder_decoders/common/bart.h"
#include "onnxport/nn/seq2seq.h"

namespace onnxport::models {
namespace {

BartConfig read(const PretrainedConfig& config) {
  BartConfig c(config);
  c.encoder.norm_before = c.decoder.norm_before = true;
  c.final_norm = "layer_norm";
  c.positions = learned_positions(c);
  // The last token that is not padding, the language, moves to the front.
  c.shift_right = [pad = c.pad_token_id.value_or(1)](Value ids) {
    const Value real = op::cast(op::ne(ids, static_cast<double>(pad)), DType::i64);
    const Value last = op::sub(op::sum(real, 1, true), 1.0);
    const Value first = op::gather(ids, 1, last);
    return op::concat({first, op::slice(ids, 1, 0, ids.dim(1) - 1)}, 1);
  };
  return c;
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  return forward_bart(inputs, model, component, read(model.config()));
}

}  // namespace

void register_mbart(TasksManager& tasks) {
  register_bart_like(tasks, {.model_type = "mbart",
                             .tasks = bart_tasks({"text-classification", "question-answering"}),
                             .forward = forward,
                             .roles = {.cross_decoder = bart_decoder(read)}});
}

}  // namespace onnxport::models
