// The text tower of SigLIP 2, which is that of SigLIP. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/siglip2/modeling_siglip2.py
#include "models/multimodal/common/towers/siglip.h"

namespace onnxport::models {

void register_siglip2_text_model(TasksManager& tasks) {
  tasks.register_model<TextEncoderOnnxConfig>({.model_type = "siglip2_text_model",
                                               .ignorable_keys = {"*.embeddings.position_ids"},
                                               .roles = {.text_model = EncoderRole{encode_siglip_text}}});
}

}  // namespace onnxport::models
