// IQuest-Coder: Llama under another name. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/iquestcoder/modular_iquestcoder.py
#include "models/common/definition.h"
#include "models/decoders/common/llama.h"
#include "onnxport/error.h"
#include "onnxport/nn/decoder_tasks.h"

namespace onnxport::models {
namespace {

/// Settings of the code that its publisher had first, which the original refuses too.
NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  if (config.has("clip_qkv")) throw ExportError(ErrorCode::unsupported, "clip_qkv is not null");
  if (config.flag("use_sliding_window", false))
    throw ExportError(ErrorCode::unsupported, "use_sliding_window is true, expected false");
  config.harmless({"sliding_window", "max_window_layers"});
  return forward_llama(inputs, model, component);
}

}  // namespace

void register_iquestcoder(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "iquestcoder",
       .tasks = nn::text_decoder_tasks({}),
       .forward = forward,
       .key_names = tied("model.embed_tokens", "lm_head")});
}

}  // namespace onnxport::models
