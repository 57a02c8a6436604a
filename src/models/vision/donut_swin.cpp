// Donut's Swin Transformer, without a norm after the last stage. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/donut/modeling_donut_swin.py
#include "models/common/definition.h"
#include "models/vision/common/swin.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& /*component*/) {
  const Scope base = model.scope().base_model("donut");
  const SwinTokens tokens = swin_encoder(inputs["pixel_values"], base, model.config(), SwinNorm::none);
  return {{"last_hidden_state", tokens.last_hidden_state()}};
}

}  // namespace

void register_donut_swin(TasksManager& tasks) {
  tasks.register_model<SwinOnnxConfig>(
      {.model_type = "donut-swin",
       .tasks = {"feature-extraction"},
       .forward = forward,
       .ignorable_keys = {"classifier.*", "embeddings.mask_token", "donut.embeddings.mask_token"}});
}

}  // namespace onnxport::models
