// InternLM3: Llama with one setting for all biases. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/internlm3/modular_internlm3.py
#include <fmt/format.h>

#include "models/common/definition.h"
#include "models/decoders/common/llama.h"
#include "onnxport/error.h"
#include "onnxport/nn/decoder_tasks.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  const bool attention = config.flag("attention_bias"), mlp = config.flag("mlp_bias");
  if (attention != mlp) {
    throw ExportError(
        ErrorCode::unsupported,
        fmt::format("attention_bias is {} and mlp_bias is {}, expected the same", attention, mlp));
  }
  return forward_llama(inputs, model, component);
}

}  // namespace

void register_internlm3(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "internlm3",
       .tasks = nn::text_decoder_tasks({}),
       .forward = forward,
       .key_names = tied("model.embed_tokens", "lm_head")});
}

}  // namespace onnxport::models
