// Gemma 2. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/gemma2/modeling_gemma2.py
#include <cmath>

#include "models/definition.h"
#include "models/gemma.h"

namespace onnxport::models {
namespace {

class Gemma2OnnxConfig : public TextDecoderOnnxConfig {
 public:
  using TextDecoderOnnxConfig::TextDecoderOnnxConfig;
  std::string min_transformers_version() const override { return "4.53.0"; }
};

// Files older than layer_types: the even layers slide.
std::vector<std::string> layer_types(const PretrainedConfig& config, std::int64_t layers) {
  if (config.has("layer_types")) return config.strings("layer_types");
  std::vector<std::string> types;
  for (std::int64_t i = 0; i < layers; ++i)
    types.emplace_back(i % 2 == 0 ? "sliding_attention" : "full_attention");
  return types;
}

NamedValues forward(const Inputs& inputs, const Model& model, const OnnxConfig& onnx) {
  const PretrainedConfig& config = model.config();
  TextDecoderConfig c(config);
  c.tie_word_embeddings = config.flag("tie_word_embeddings", true);
  c.hidden_act = config.string("hidden_activation");
  nn::DecoderParameters decoder = gemma_decoder(c);
  decoder.sandwich = true;
  decoder.attention.options.scale = 1 / std::sqrt(config.real("query_pre_attn_scalar"));
  // The default attention of the original knows no cap.
  const auto cap = config.maybe_real("attn_logit_softcapping");
  if (c.eager && cap) decoder.attention.options.softcap = *cap;
  TextDecoderConfig::slide(decoder, config.integer("sliding_window"),
                           layer_types(config, c.num_hidden_layers));
  const double final_cap = config.maybe_real("final_logit_softcapping").value_or(0);
  return forward_text_decoder(inputs, model, onnx, c, decoder, final_cap);
}

}  // namespace

void register_gemma2(TasksManager& tasks) {
  tasks.register_model<Gemma2OnnxConfig>(
      {.model_type = "gemma2", .tasks = nn::text_decoder_tasks(), .forward = forward});
}

}  // namespace onnxport::models
