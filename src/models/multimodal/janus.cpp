// Janus, as it understands images: patches, aligned, in front of a Llama. The part that draws images is left
// out.
// Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/janus/modeling_janus.py
#include "models/multimodal/common/decoders/multimodal_decoder.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/basic.h"

namespace onnxport::models {
namespace {

Value encode(const TasksManager& tasks, const Inputs& inputs, const Model& model) {
  const PretrainedConfig vision = model.config().sub("vision_config", "janus_vision_model");
  const Value patches =
      encode_with_tower(tasks, inputs, model, vision, "vision_config", "vision_model").hidden;
  const Scope s = model.scope() / "aligner";
  const std::int64_t out = vision.integer("projection_dim");
  const nn::Activation activation(vision.string("hidden_act"));
  Value x = nn::Linear(s / "fc1", *patches.dim(2).constant(), out)(patches);
  for (std::int64_t i = 0; i + 1 < vision.integer("depth"); ++i) {
    const nn::Linear next(s / "hidden_layers" / i, out, out);
    x = next(activation(x));
  }
  return x;
}

}  // namespace

void register_janus(TasksManager& tasks) {
  register_multimodal_decoder<MultimodalDecoderOnnxConfig>(
      tasks, {.model_type = "janus",
              .forward = image_text_forward(tasks, encode, {"image_token_id", "vq_config"}),
              .ignorable_keys = {"*vqmodel.*", "*generation_embeddings.*", "*generation_aligner.*",
                                 "*generation_head.*"},
              .key_names = multimodal_key_names({"vision_model", "aligner"})});
}

}  // namespace onnxport::models
