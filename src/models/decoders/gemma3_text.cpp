// Gemma 3, its language model alone. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/gemma3/modeling_gemma3.py
#include <cmath>
#include <utility>

#include "models/common/definition.h"
#include "models/decoders/common/gemma.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/rotary.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const TextDecoderConfig c = gemma3_config(model.config());
  return forward_text_decoder(inputs, model, component, c, gemma3_blocks(model.config(), c));
}

}  // namespace

TextDecoderConfig gemma3_config(const PretrainedConfig& config) {
  TextDecoderConfig c = gemma2_config(config);
  c.table_scale = std::exchange(c.embedding_scale, 1);
  return c;
}

nn::MakeBlock gemma3_blocks(const PretrainedConfig& config, const TextDecoderConfig& c) {
  const op::AttentionOptions options{.scale = 1 / std::sqrt(config.real("query_pre_attn_scalar"))};
  config.harmless(
      {"attn_logit_softcapping"});  // the original's class declares it, its module does not read it
  const bool both_ways = config.flag("use_bidirectional_attention", false);
  std::int64_t window = config.integer("sliding_window");
  if (both_ways) window = window / 2 + 1;
  const std::int64_t pattern = config.integer("sliding_window_pattern", 6);
  auto visible =
      layer_visibility(layer_types(config, c.num_hidden_layers, pattern), c.num_hidden_layers, window);
  for (nn::Visibility& keys : visible) keys.both_ways = both_ways;
  const double base = config.real("rope_local_base_freq");
  const nn::RotaryEmbedding local("rotary_emb_local",
                                  sliding_rope_parameters(config, c.heads.head_dim, base));
  return [=](const Scope& s, std::int64_t i) {
    nn::CausalAttentionParts attention = c.normed_attention(s / "self_attn", i, visible.at(i));
    attention.options = options;
    if (visible.at(i).window) attention.rotary = local;
    return gemma2_block(c, s, std::move(attention));
  };
}

void register_gemma3_text(TasksManager& tasks) {
  tasks.register_model<TextDecoderOnnxConfig>({.model_type = "gemma3_text",
                                               .tasks = nn::text_decoder_tasks({}),
                                               .forward = forward,
                                               .key_names = tied("model.embed_tokens", "lm_head"),
                                               .gguf = gguf_later_gemma("gemma3", "Gemma3ForCausalLM", 62)});
}

}  // namespace onnxport::models
