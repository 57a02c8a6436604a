// GPTBigCode. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/gpt_bigcode/modeling_gpt_bigcode.py
#include "models/common/gguf_layout.h"
#include "models/decoders/common/gpt.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

struct Config : GptConfig {
  bool multi_query, tied, eager, scale_weights;

  explicit Config(const PretrainedConfig& c)
      : GptConfig(c),
        multi_query(c.flag("multi_query")),
        tied(c.flag("tie_word_embeddings", true)),
        eager(eager_attention(c)),
        scale_weights(c.flag("scale_attn_weights")) {
    // The order of operations in half precision, and what follows from multi_query.
    c.harmless({"attention_softmax_in_fp32", "scale_attention_softmax_in_fp32", "num_key_value_heads"});
  }
  nn::HeadSizes sizes() const { return {n_embd, n_head, multi_query ? 1 : n_head, n_embd / n_head}; }
};

class GptBigCodeOnnxConfig : public GptOnnxConfig {
 public:
  using GptOnnxConfig::GptOnnxConfig;
  std::vector<StateSpec> states() const override {
    const Config c(config().unaccounted());
    return key_values(c.n_layer, c.sizes().kv_heads, c.sizes().head_dim);
  }
};

nn::CausalAttention attention(const Scope& s, std::int64_t layer, const Config& c) {
  const nn::HeadSizes sizes = c.sizes();
  const nn::Linear c_attn(s / "c_attn", c.n_embd, (c.n_head + 2 * sizes.kv_heads) * sizes.head_dim);
  const auto layout = c.multi_query ? nn::FusedLayout::stacked : nn::FusedLayout::per_kv_head;
  nn::CausalAttentionParts parts{.path = s.path(),
                                 .layer = layer,
                                 .sizes = sizes,
                                 .qkv = nn::QkvProjection::fused(c_attn, sizes, layout),
                                 .output = nn::Linear(s / "c_proj", c.n_embd, c.n_embd),
                                 .mask = nn::sees({}, c.eager ? op::NoKeys::uniform : op::NoKeys::zero)};
  if (!c.scale_weights) parts.options.scale = 1;
  return parts;
}

nn::Block make_block(const Scope& s, std::int64_t layer, const Config& c) {
  const Scope mlp = s / "mlp";
  return nn::PreNormBlock{.before_attention = c.norm(s / "ln_1"),
                          .attention = attention(s / "attn", layer, c),
                          .before_mlp = c.norm(s / "ln_2"),
                          .mlp = nn::Mlp(mlp.path(), nn::Linear(mlp / "c_fc", c.n_embd, c.n_inner),
                                         nn::Linear(mlp / "c_proj", c.n_inner, c.n_embd), c.activation)};
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope(), s = root.base_model("transformer");
  const GptEmbeddings embed(s, c);
  const nn::DecoderStack decoder(
      s, "h", c.n_layer, [&](const Scope& layer, std::int64_t i) { return make_block(layer, i, c); }, embed,
      c.norm(s / "ln_f"));
  const Weight tied = c.tied ? embed.wte.weight() : Weight();
  return nn::build_text_decoder_task(
      component, inputs, root,
      {.decode = decoder,
       .lm_head = nn::language_head(root / "lm_head", tied, c.vocab_size, c.n_embd),
       .hidden_size = c.n_embd,
       .num_labels = model.config().num_labels(),
       .pad_token_id = model.config().maybe_integer("pad_token_id"),
       .token_classifier = "classifier"});
}

GgufLayout gguf() {
  return {.architecture = "starcoder",
          .original_class = "GPTBigCodeForCausalLM",
          .tensors = [](const PretrainedConfig&) -> GgufTensors {
            const std::string layer = "transformer.h.{}.";
            return {{"token_embd", "transformer.wte"},
                    {"position_embd", "transformer.wpe"},
                    {"output_norm", "transformer.ln_f"},
                    {"output", "lm_head"},
                    {"blk.{}.attn_norm", layer + "ln_1"},
                    {"blk.{}.attn_qkv", layer + "attn.c_attn"},
                    {"blk.{}.attn_output", layer + "attn.c_proj"},
                    {"blk.{}.ffn_norm", layer + "ln_2"},
                    {"blk.{}.ffn_up", layer + "mlp.c_fc"},
                    {"blk.{}.ffn_down", layer + "mlp.c_proj"}};
          },
          .config_keys = {{"block_count", "n_layer"},
                          {"context_length", "n_positions"},
                          {"embedding_length", "n_embd"},
                          {"feed_forward_length", "n_inner"},
                          {"attention.head_count", "n_head"},
                          {"attention.layer_norm_epsilon", "layer_norm_epsilon"},
                          {"vocab_size", "vocab_size"}},
          .more_config = [](const GgufInfo&) { return ConfigTexts{{"tie_word_embeddings", "true"}}; }};
}

}  // namespace

void register_gpt_bigcode(TasksManager& tasks) {
  tasks.register_model<GptBigCodeOnnxConfig>(
      {.model_type = "gpt_bigcode",
       .tasks = nn::text_decoder_tasks({"text-classification", "token-classification"}),
       .forward = forward,
       .ignorable_keys = {"*.attn.bias", "*.attn.masked_bias"},
       .key_names = tied("transformer.wte", "lm_head"),
       .gguf = gguf()});
}

}  // namespace onnxport::models
