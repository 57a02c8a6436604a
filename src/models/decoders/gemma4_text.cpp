// Gemma 4, its language model alone. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/gemma4/modeling_gemma4.py
#include "models/decoders/common/gemma4.h"
#include "onnxport/nn/decoder_tasks.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Gemma4Config c(model.config());
  const Scope base = model.scope().base_model("model");
  return forward_text_decoder(inputs, model, component, c, gemma4_blocks(inputs, base, model.config(), c));
}

}  // namespace

void register_gemma4_text(TasksManager& tasks) {
  tasks.register_model<Gemma4TextOnnxConfig>({.model_type = "gemma4_text",
                                              .tasks = nn::text_decoder_tasks({}),
                                              .forward = forward,
                                              .key_names = tied("model.embed_tokens", "lm_head"),
                                              .gguf = gguf_gemma4()});
}

}  // namespace onnxport::models
