// Gemma 3, its language model alone. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/gemma3/modeling_gemma3.py
#include "models/common/definition.h"
#include "models/decoders/common/gemma.h"
#include "onnxport/nn/decoder.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/rotary.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

class Gemma3TextOnnxConfig : public TextDecoderOnnxConfig {
 public:
  using TextDecoderOnnxConfig::TextDecoderOnnxConfig;
  std::string min_transformers_version() const override { return "4.53.0"; }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  const TextDecoderConfig c = gemma2_config(config);
  nn::DecoderParameters decoder = gemma2_decoder(config, c);
  decoder.attention.head_norm = decoder.norm;
  config.harmless({"attn_logit_softcapping"});  // the original's class declares it, its module reads it not
  const bool both_ways = config.flag("use_bidirectional_attention", false);
  std::int64_t window = config.integer("sliding_window");
  if (both_ways) window = window / 2 + 1;
  const std::int64_t pattern = config.integer("sliding_window_pattern", 6);
  TextDecoderConfig::slide(decoder, window, gemma2_layer_types(config, c.num_hidden_layers, pattern));
  for (auto& kind : decoder.kinds) kind.visible.both_ways = both_ways;
  // The sliding layers turn by a base of their own, unscaled.
  nn::RopeParameters& local = decoder.kinds[1].rope;
  local = {.dim = c.heads.head_dim, .theta = config.real("rope_local_base_freq")};
  return forward_gemma2(inputs, model, component, c, decoder);
}

}  // namespace

void register_gemma3_text(TasksManager& tasks) {
  tasks.register_model<Gemma3TextOnnxConfig>({.model_type = "gemma3_text",
                                              .tasks = nn::text_decoder_tasks({}),
                                              .forward = forward,
                                              .gguf = gguf_later_gemma("gemma3", "Gemma3ForCausalLM", 62)});
}

}  // namespace onnxport::models
