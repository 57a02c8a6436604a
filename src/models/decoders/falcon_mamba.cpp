// Falcon Mamba. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/falcon_mamba/modeling_falcon_mamba.py
#include "models/common/definition.h"
#include "models/decoders/common/mamba.h"
#include "onnxport/nn/decoder_tasks.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const nn::MambaParameters p = mamba_parameters(model.config());
  const double eps = model.config().real("mixer_rms_eps");
  model.config().harmless({"use_falcon_mambapy"});  // the same in training
  const nn::Norm unit = [eps](Value x) { return op::rms_norm(x, {}, eps); };
  return forward_mamba(inputs, model, component, true, [&](const Scope& s, std::int64_t i) {
    return nn::Mamba(s, i, p, {.time_step = unit, .input = unit, .output = unit});
  });
}

}  // namespace

void register_falcon_mamba(TasksManager& tasks) {
  tasks.register_model<MambaOnnxConfig>({.model_type = "falcon_mamba",
                                         .tasks = nn::text_decoder_tasks({}),
                                         .forward = forward,
                                         .key_names = mamba_key_names(),
                                         .gguf = plain_mamba_gguf("FalconMambaForCausalLM", true)});
}

}  // namespace onnxport::models
