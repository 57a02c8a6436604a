// Gemma 3, its language model alone. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/gemma3/modeling_gemma3.py
#include <cmath>

#include "models/definition.h"
#include "models/gemma.h"

namespace onnxport::models {
namespace {

class Gemma3TextOnnxConfig : public TextDecoderOnnxConfig {
 public:
  using TextDecoderOnnxConfig::TextDecoderOnnxConfig;
  std::string min_transformers_version() const override { return "4.53.0"; }
};

std::vector<std::string> layer_types(const PretrainedConfig& config, std::int64_t layers) {
  const std::int64_t pattern = config.integer("sliding_window_pattern", 6);
  if (config.has("layer_types")) return config.strings("layer_types");
  std::vector<std::string> types;
  for (std::int64_t i = 0; i < layers; ++i)
    types.emplace_back((i + 1) % pattern != 0 ? "sliding_attention" : "full_attention");
  return types;
}

NamedValues forward(const Inputs& inputs, const Model& model, const OnnxConfig& onnx) {
  const PretrainedConfig& config = model.config();
  TextDecoderConfig c(config);
  c.tie_word_embeddings = config.flag("tie_word_embeddings", true);
  c.hidden_act = config.string("hidden_activation");
  nn::DecoderParameters decoder = gemma_decoder(c);
  decoder.sandwich = true;
  decoder.attention.head_norm = decoder.norm;
  decoder.attention.options.scale = 1 / std::sqrt(config.real("query_pre_attn_scalar"));
  const auto cap = config.maybe_real("attn_logit_softcapping");  // knows the original's config, not its model
  static_cast<void>(cap);
  const bool both_ways = config.flag("use_bidirectional_attention", false);
  std::int64_t window = config.integer("sliding_window");
  if (both_ways) window = window / 2 + 1;
  TextDecoderConfig::slide(decoder, window, layer_types(config, c.num_hidden_layers));
  for (auto& kind : decoder.kinds) kind.visible.both_ways = both_ways;
  // The sliding layers turn by a base of their own, unscaled.
  nn::RopeParameters& local = decoder.kinds[1].rope;
  local = {.dim = c.heads.head_dim, .theta = config.real("rope_local_base_freq")};
  const double final_cap = config.maybe_real("final_logit_softcapping").value_or(0);
  return forward_text_decoder(inputs, model, onnx, c, decoder, final_cap);
}

}  // namespace

void register_gemma3_text(TasksManager& tasks) {
  tasks.register_model<Gemma3TextOnnxConfig>(
      {.model_type = "gemma3_text", .tasks = nn::text_decoder_tasks({}), .forward = forward});
}

}  // namespace onnxport::models
