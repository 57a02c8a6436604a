// Gemma 4, its language model alone. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/gemma4/modeling_gemma4.py
#include "models/decoders/common/gemma4.h"
#include "onnxport/nn/decoder_tasks.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Gemma4Config c(model.config());
  const Scope base = model.scope().base_model("model");
  return forward_text_decoder(inputs, model, component, c, gemma4_blocks(base, model.config(), c));
}

}  // namespace

void register_gemma4_text(TasksManager& tasks) {
  ModelDefinition definition{.model_type = "gemma4_text",
                             .tasks = nn::text_decoder_tasks({}),
                             .forward = forward,
                             .key_names = tied("model.embed_tokens", "lm_head"),
                             .gguf = gguf_gemma4()};
  offer_roles<Gemma4TextOnnxConfig>(definition);
  definition.roles.language_model.reset();  // its layers look at the tokens too
  definition.onnx_config = make_onnx_config<Gemma4TextOnnxConfig>;
  tasks.register_definition(std::move(definition));
}

}  // namespace onnxport::models
