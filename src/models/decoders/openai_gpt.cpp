// GPT. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/openai/modeling_openai.py
#include <fmt/format.h>

#include "models/decoders/common/gpt.h"
#include "onnxport/error.h"

namespace onnxport::models {
namespace {

// What the original writes into the scores of later keys is -1e4, whatever they were. Added, a smaller number
// does the same: it swallows every score.
constexpr double kSwallows = -1e30;

// The original's own names of activations.
std::string activation(const PretrainedConfig& c, const std::string& afn) {
  if (afn == "gelu") return "gelu_new";
  if (afn == "swish") return "silu";
  if (afn == "relu" || afn == "silu") return afn;
  throw ExportError(ErrorCode::bad_config,
                    fmt::format("{}: afn is '{}', expected relu, silu, gelu or swish", c.origin(), afn));
}

struct Config : GptConfig {
  bool tied;
  explicit Config(const PretrainedConfig& c)
      : GptConfig(c, {.activation = "afn"}), tied(c.flag("tie_word_embeddings", true)) {
    activation = models::activation(c, activation);
    n_inner = 4 * n_embd;
    // The head of a task that is not exported.
    c.harmless({"summary_type", "summary_use_proj", "summary_activation", "summary_proj_to_labels"});
  }
};

// float32 [B, 1, S, S]. A query without a real key before it attends to the real ones behind it.
op::AttentionMask mask(const nn::DecoderPass& pass) {
  Graph& g = pass.graph();
  const ModulePath at(g, "attention_mask");
  const auto constant = [&](double value) { return op::scalar(g, value, DType::f32); };
  const Value key = op::arange(g, pass.length());
  const Value earlier = op::le(key, op::unsqueeze(key, 1));
  const Value hidden = constant(kSwallows);
  const Value order = op::where(earlier, constant(0), hidden);
  const Value padding =
      op::reshape(pass.attention_mask(), {pass.attention_mask().dim(0), 1, 1, pass.length()});
  return {.bias = op::masked_fill(order, op::eq(padding, 0.0), lowest(DType::f32))};
}

nn::Block make_block(const Scope& s, std::int64_t layer, const Config& c) {
  nn::CausalAttentionParts attention = gpt_attention(s / "attn", layer, c);
  attention.mask = mask;
  attention.score_dtype = DType::f32;  // of the mask
  return nn::PostNormBlock{.attention = nn::CausalAttention(std::move(attention)),
                           .after_attention = c.norm(s / "ln_1"),
                           .mlp = gpt_mlp(s / "mlp", c),
                           .after_mlp = c.norm(s / "ln_2")};
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope(), s = root.base_model("transformer");
  const nn::Embedding tokens_embed(s / "tokens_embed", c.vocab_size, c.n_embd);
  const nn::Embedding positions_embed(s / "positions_embed", c.n_positions, c.n_embd);
  const nn::DecoderStack decoder(
      s, "h", c.n_layer, [&](const Scope& layer, std::int64_t i) { return make_block(layer, i, c); },
      [&](nn::DecoderPass& pass) {
        const Value tokens = pass.embedded(tokens_embed);
        return op::add(tokens, positions_embed(pass.position_ids()));
      },
      {});
  const Weight tied = c.tied ? tokens_embed.weight() : Weight();
  return nn::build_text_decoder_task(
      component, inputs, root,
      {.decode = decoder,
       .lm_head = nn::language_head(root / "lm_head", tied, c.vocab_size, c.n_embd),
       .hidden_size = c.n_embd,
       .num_labels = model.config().num_labels(),
       .pad_token_id = model.config().maybe_integer("pad_token_id")});
}

}  // namespace

void register_openai_gpt(TasksManager& tasks) {
  tasks.register_model<GptOnnxConfig>(
      {.model_type = "openai-gpt",
       .tasks = {"feature-extraction", "text-generation", "text-classification"},
       .forward = forward,
       .ignorable_keys = {"*.attn.bias", "multiple_choice_head.*"},
       .key_names = tied("transformer.tokens_embed", "lm_head")});
}

}  // namespace onnxport::models
