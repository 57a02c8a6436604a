// DeepSeek V3.2. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/deepseek_v32/modeling_deepseek_v32.py
#include <fmt/format.h>

#include <utility>

#include "models/decoders/common/latent.h"
#include "onnxport/nn/decoder_tasks.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig config = with_routed_experts(model.config());
  return forward_indexed_decoder(inputs, model, component, config, IndexerTurns::first_halves,
                                 [](const Scope& s, std::int64_t i, const nn::KeyIndexerParameters& indexer) {
                                   return kept_by(nn::KeyIndexer(s, i, indexer));
                                 });
}

}  // namespace

PretrainedConfig with_routed_experts(const PretrainedConfig& config) {
  const auto experts = config.maybe_integer("num_experts");
  return experts ? config.settled("n_routed_experts", fmt::format("{}", *experts)) : config;
}

void register_deepseek_v32(TasksManager& tasks) {
  tasks.register_model<IndexedLatentOnnxConfig>(
      {.model_type = "deepseek_v32",
       .tasks = nn::text_decoder_tasks({}),
       .forward = forward,
       .ignorable_keys = {"*.rotary_emb.inv_freq",
                          "model.layers.61.*"},  // the latter predicts further tokens
       .key_names = tied("model.embed_tokens", "lm_head")});
}

}  // namespace onnxport::models
