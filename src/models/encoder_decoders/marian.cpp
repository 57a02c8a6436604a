// Marian: BART with sinusoidal positions. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/marian/modeling_marian.py
#include "models/encoder_decoders/common/bart.h"
#include "onnxport/nn/seq2seq.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  BartConfig c(model.config());
  c.embedding_norm = false;
  c.one_vocabulary = model.config().flag("share_encoder_decoder_embeddings", true);
  // If a checkpoint stores the table, the stored one is used.
  c.positions = [rows = c.max_positions, width = c.d_model](const Scope& side) -> BartConfig::Positions {
    Weight table = (side / "embed_positions").try_weight("weight", {rows, width});
    if (!table) table = nn::sinusoidal_table(rows, width);
    return [table](Value ids, const Dim& past) {
      return op::slice(ids.graph().weight(table), 0, past, past + ids.dim(1));
    };
  };
  return forward_bart(inputs, model, component, c);
}

}  // namespace

void register_marian(TasksManager& tasks) {
  std::vector<std::string> all = nn::text2text_tasks();
  all.insert(all.end(), {"text-generation", "text-generation-with-past"});
  register_bart_like(tasks, {.model_type = "marian", .tasks = all, .forward = forward});
}

}  // namespace onnxport::models
