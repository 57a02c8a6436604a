// Youtu-LLM. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/youtu/modeling_youtu.py
#include <fmt/format.h>

#include "models/decoders/common/latent.h"
#include "onnxport/error.h"
#include "onnxport/nn/decoder_tasks.h"

namespace onnxport::models {
namespace {

/// The embeddings. The original sets the row of the padding to zero after it has loaded them.
Weight table_of(const Scope& s, const TextDecoderConfig& c) {
  Weight stored = s.weight("weight", {c.vocab_size, c.hidden_size});
  if (!c.pad_token_id) return stored;
  const std::int64_t padding = *c.pad_token_id < 0 ? *c.pad_token_id + c.vocab_size : *c.pad_token_id;
  if (padding < 0 || padding >= c.vocab_size) {
    throw ExportError(ErrorCode::bad_config, fmt::format("pad_token_id is {}, expected one of {} tokens",
                                                         *c.pad_token_id, c.vocab_size));
  }
  const std::vector<double> nothing(static_cast<std::size_t>(c.hidden_size));
  std::vector<Weight> rows = {Weight::from_doubles(stored.dtype(), {1, c.hidden_size}, nothing)};
  if (padding > 0) rows.insert(rows.begin(), stored.slice(0, 0, padding));
  if (padding + 1 < c.vocab_size) rows.push_back(stored.slice(0, padding + 1, c.vocab_size));
  return Weight::concat(rows, 0).named(s.path() + ".weight");
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  const TextDecoderConfig c(config);
  config.harmless({"embedding_initializer_range"});  // of training
  const nn::LatentAttentionParameters latent =
      turning_latent_parameters(config, c, config.flag("rope_interleave"));
  const Scope root = model.scope(), base = root.base_model("model");
  const Weight table = table_of(base / "embed_tokens", c);
  const auto embed = [&](nn::DecoderPass& pass) {
    return pass.embedded([&](Value ids) { return op::embedding(ids.graph().weight(table), ids); });
  };
  const auto make_block = [&](const Scope& s, std::int64_t i) {
    const nn::LatentAttention attention(latent_parts(s / "self_attn", i, config, c, latent));
    return latent_block(c, s, attention, c.mlp(s / "mlp"));
  };
  const nn::DecoderStack decoder(base, "layers", c.num_hidden_layers, make_block, embed,
                                 c.norm(base / "norm"));
  // A stored output layer is then no longer the same, and stays.
  const Scope head = root / "lm_head";
  const bool tied = c.tie_word_embeddings && !(c.pad_token_id && head.stores("weight"));
  return nn::build_text_decoder_task(
      component, inputs, root,
      {.decode = decoder,
       .lm_head = nn::language_head(head, tied ? table : Weight(), c.vocab_size, c.hidden_size),
       .hidden_size = c.hidden_size});
}

}  // namespace

void register_youtu(TasksManager& tasks) {
  tasks.register_model<LatentCacheOnnxConfig>({.model_type = "youtu",
                                               .tasks = nn::text_decoder_tasks({}),
                                               .forward = forward,
                                               .key_names = tied("model.embed_tokens", "lm_head")});
}

}  // namespace onnxport::models
