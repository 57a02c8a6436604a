// Gemma 3 with its vision tower, which these tasks leave out. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/gemma3/modeling_gemma3.py
#include "models/common/definition.h"
#include "models/decoders/common/gemma.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

class Gemma3OnnxConfig : public TextDecoderOnnxConfig {
 public:
  using TextDecoderOnnxConfig::TextDecoderOnnxConfig;
  NormalizedConfig normalized_config() const override {
    return NormalizedTextConfig(config().unaccounted().sub("text_config", "gemma3_text"));
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig config = model.config().sub("text_config", "gemma3_text");
  TextDecoderConfig c = gemma2_config(config);
  c.num_labels = model.config().num_labels();
  // Only images read these; text classification reads the padding of the language model.
  model.config().harmless({"vision_config", "mm_tokens_per_image", "boi_token_index", "eoi_token_index",
                           "image_token_index", "pad_token_id", "tie_word_embeddings"});
  if (component.task != "text-classification") config.harmless({"pad_token_id"});
  const Scope root = model.scope(), text = root / "language_model";
  return forward_text_decoder(inputs, {text / "model", text / "lm_head", root}, component, c,
                              gemma3_blocks(config, c));
}

}  // namespace

void register_gemma3(TasksManager& tasks) {
  KeyNames names = tied("language_model.model.embed_tokens", "language_model.lm_head");
  names.newer = {{"language_model.model", "model.language_model"}, {"language_model.lm_head", "lm_head"}};
  tasks.register_model<Gemma3OnnxConfig>(
      {.model_type = "gemma3",
       .tasks = nn::text_decoder_tasks(),
       .forward = forward,
       .ignorable_keys = {"vision_tower.*", "multi_modal_projector.*", "model.vision_tower.*",
                          "model.multi_modal_projector.*"},
       .key_names = names});
}

}  // namespace onnxport::models
