// Gemma 2. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/gemma2/modeling_gemma2.py
#include "models/common/definition.h"
#include "models/decoders/common/gemma.h"
#include "onnxport/nn/decoder.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

class Gemma2OnnxConfig : public TextDecoderOnnxConfig {
 public:
  using TextDecoderOnnxConfig::TextDecoderOnnxConfig;
  std::string min_transformers_version() const override { return "4.53.0"; }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  const TextDecoderConfig c = gemma2_config(config);
  nn::DecoderParameters decoder = gemma2_decoder(config, c);
  // The default attention of the original knows no cap.
  const auto cap = config.maybe_real("attn_logit_softcapping");
  if (c.eager && cap) decoder.attention.options.softcap = *cap;
  TextDecoderConfig::slide(decoder, config.integer("sliding_window"),
                           gemma2_layer_types(config, c.num_hidden_layers, 2));
  return forward_gemma2(inputs, model, component, c, decoder);
}

}  // namespace

void register_gemma2(TasksManager& tasks) {
  tasks.register_model<Gemma2OnnxConfig>({.model_type = "gemma2",
                                          .tasks = nn::text_decoder_tasks(),
                                          .forward = forward,
                                          .gguf = gguf_later_gemma("gemma2", "Gemma2ForCausalLM", 46)});
}

}  // namespace onnxport::models
