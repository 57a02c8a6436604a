// The language model of PaddleOCR-VL: ERNIE 4.5 with positions of three axes, which turn the halves of a
// head. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/paddleocr_vl/modeling_paddleocr_vl.py
#include "models/common/definition.h"
#include "models/decoders/common/layers.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig config =
      with_usual_rope(model.config(), R"({"rope_type": "default", "rope_theta": 500000.0})");
  config.harmless({"use_3d_rope"});  // of the code on the hub: always
  TextDecoderConfig c(config);
  usual_sections(c, {16, 24, 24});
  const bool bias = c.attention_bias = config.flag("use_bias", false);
  // An output layer in the file counts, whatever the flag says.
  c.tie_word_embeddings = c.tie_word_embeddings && !(model.scope() / "lm_head").stores("weight");
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    return c.block(s, c.attention(s / "self_attn", i), c.mlp(s / "mlp", bias));
  });
}

}  // namespace

void register_paddleocr_vl_text(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "paddleocr_vl_text",
       .forward = forward,
       .key_names = tied("model.embed_tokens", "lm_head"),
       .roles = {.language_model = LanguageModelRole{}}});
}

}  // namespace onnxport::models
