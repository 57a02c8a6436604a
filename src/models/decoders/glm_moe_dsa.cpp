// GLM 5. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/glm_moe_dsa/modeling_glm_moe_dsa.py
#include <fmt/ranges.h>

#include <algorithm>
#include <string>
#include <utility>

#include "models/decoders/common/latent.h"
#include "onnxport/nn/decoder_tasks.h"

namespace onnxport::models {
namespace {

/// The config with the `indexer_types` that a pattern stands for: a list of them, or a letter for each layer.
PretrainedConfig without_pattern(const PretrainedConfig& config) {
  if (config.has("indexer_types") || !config.has("index_topk_pattern")) {
    config.harmless({"index_topk_pattern"});
    return config;
  }
  std::vector<std::string> types = config.strings("index_topk_pattern");
  if (types.size() == 1 && types[0].find_first_not_of("FS") == std::string::npos) {
    const std::string letters = types[0];
    types.clear();
    for (const char letter : letters) types.emplace_back(letter == 'F' ? "full" : "shared");
  }
  return config.settled("indexer_types", fmt::format(R"(["{}"])", fmt::join(types, R"(", ")")));
}

std::vector<bool> indexers(const PretrainedConfig& config) {
  const std::int64_t frequency = std::max<std::int64_t>(config.integer("index_topk_freq"), 1);
  const std::int64_t offset = config.integer("index_skip_topk_offset");
  return indexed_layers(config, config.integer("num_hidden_layers"), [&](std::int64_t layer) {
    return std::max<std::int64_t>(layer - offset + 1, 0) % frequency == 0;
  });
}

class GlmMoeDsaOnnxConfig : public IndexedLatentOnnxConfig {
 public:
  using IndexedLatentOnnxConfig::IndexedLatentOnnxConfig;

 protected:
  bool has_indexer(std::int64_t layer) const override {
    return indexers(without_pattern(config().unaccounted())).at(static_cast<std::size_t>(layer));
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig config = without_pattern(with_routed_experts(model.config()));
  const SharedSelection selection;
  return forward_indexed_decoder(inputs, model, component, config, IndexerTurns::first_neighbours,
                                 [=, indexed = indexers(config)](const Scope& s, std::int64_t i,
                                                                 const nn::KeyIndexerParameters& indexer) {
                                   if (!indexed.at(static_cast<std::size_t>(i))) return selection.last();
                                   return selection.made_by(kept_by(nn::KeyIndexer(s, i, indexer)));
                                 });
}

}  // namespace

void register_glm_moe_dsa(TasksManager& tasks) {
  tasks.register_model<GlmMoeDsaOnnxConfig>(
      {.model_type = "glm_moe_dsa",
       .tasks = nn::text_decoder_tasks({}),
       .forward = forward,
       .ignorable_keys = {"*.rotary_emb.inv_freq",
                          "model.layers.78.*"},  // the latter predicts further tokens
       .key_names = tied("model.embed_tokens", "lm_head")});
}

}  // namespace onnxport::models
