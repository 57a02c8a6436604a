// GPT-J. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/gptj/modeling_gptj.py
#include "models/decoders/common/gpt.h"

namespace onnxport::models {
namespace {

nn::QkvProjection project(const Scope& s, const GptjConfig& c) {
  return nn::QkvProjection::separate(s, c.sizes(), false);
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  return forward_gptj(inputs, model, component, project);
}

}  // namespace

void register_gptj(TasksManager& tasks) {
  tasks.register_model<GptOnnxConfig>(
      {.model_type = "gptj",
       .tasks = nn::text_decoder_tasks({"text-classification", "question-answering"}),
       .forward = forward,
       .ignorable_keys = {"*.attn.bias", "*.attn.masked_bias", "*.attn.embed_positions"},
       .key_names = tied("transformer.wte", "lm_head")});
}

}  // namespace onnxport::models
