// Falcon. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/falcon/modeling_falcon.py
#include <cmath>

#include "models/common/definition.h"
#include "models/common/gguf_layout.h"
#include "onnxport/nn/alibi.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/blocks.h"
#include "onnxport/nn/causal_attention.h"
#include "onnxport/nn/decoder_pass.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/nn/rotary.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

struct Config {
  std::int64_t vocab_size, hidden_size, layers, heads, kv_heads, ffn_hidden_size, norms;
  std::string activation;
  double eps;
  bool tied, alibi, bias, new_architecture, parallel, eager;
  std::optional<nn::RopeParameters> rope;

  explicit Config(const PretrainedConfig& c)
      : vocab_size(c.integer("vocab_size")),
        hidden_size(c.integer("hidden_size")),
        layers(c.integer("num_hidden_layers")),
        heads(c.integer("num_attention_heads")),
        kv_heads(c.maybe_integer("num_kv_heads").value_or(heads)),
        ffn_hidden_size(c.maybe_integer("ffn_hidden_size").value_or(4 * hidden_size)),
        norms(1),
        activation(c.string("activation")),
        eps(c.real("layer_norm_epsilon")),
        tied(c.flag("tie_word_embeddings", true)),
        alibi(c.flag("alibi")),
        bias(c.flag("bias")),
        new_architecture(c.flag("new_decoder_architecture")),
        parallel(c.flag("parallel_attn")),
        eager(eager_attention(c)) {
    const bool multi_query = c.flag("multi_query");
    if (!new_architecture) kv_heads = multi_query ? 1 : heads;
    norms = c.maybe_integer("num_ln_in_parallel_attn").value_or(new_architecture ? 2 : 1);
    if (!parallel || !new_architecture) norms = 1;
    c.harmless({"pad_token_id"});  // no exported task looks for the last token
    if (alibi) {
      c.harmless({"max_position_embeddings", "rope_theta", "rope_scaling"});
    } else {
      rope = rope_parameters(c, head_dim());
    }
  }
  // The newer ones repeat their keys before they cache them.
  std::int64_t cached_heads() const { return new_architecture ? heads : kv_heads; }
  std::int64_t head_dim() const { return hidden_size / heads; }
};

class FalconOnnxConfig : public TextDecoderWithPositionIdsOnnxConfig {
 public:
  using TextDecoderWithPositionIdsOnnxConfig::TextDecoderWithPositionIdsOnnxConfig;
  AxesByName inputs() const override {
    const bool alibi = config().unaccounted().flag("alibi");
    AxesByName names = TextDecoderWithPositionIdsOnnxConfig::inputs();
    if (alibi) std::erase_if(names, [](const auto& input) { return input.first == "position_ids"; });
    return names;
  }
  std::vector<StateSpec> states() const override {
    const Config c(config().unaccounted());
    return key_values(c.layers, c.cached_heads(), c.head_dim());
  }
};

op::AttentionMask mask(const nn::DecoderPass& pass, const Config& c) {
  op::AttentionMask mask = pass.mask({}, op::NoKeys::uniform);
  if (!c.alibi) return mask;
  const Value slopes = nn::alibi_bfloat16(pass, c.heads);
  const double times = c.eager ? 2 : 1;  // the eager attention adds them to the mask and to the scores
  mask.bias = op::mul(slopes, times / std::sqrt(static_cast<double>(c.head_dim())));
  return mask;
}

nn::CausalAttention attention(const Scope& s, std::int64_t layer, const Config& c) {
  const nn::HeadSizes stored{c.hidden_size, c.heads, c.kv_heads, c.head_dim()};
  const nn::HeadSizes cached{c.hidden_size, c.heads, c.cached_heads(), c.head_dim()};
  const nn::Linear fused(s / "query_key_value", c.hidden_size, (c.heads + 2 * c.kv_heads) * c.head_dim(),
                         c.bias);
  auto qkv = nn::QkvProjection::fused(fused, stored, nn::FusedLayout::per_kv_head);
  if (c.cached_heads() != c.kv_heads) qkv = std::move(qkv).repeated(stored);
  nn::CausalAttentionParts parts{.path = s.path(),
                                 .layer = layer,
                                 .sizes = cached,
                                 .qkv = std::move(qkv),
                                 .output = nn::Linear(s / "dense", c.hidden_size, c.hidden_size, c.bias),
                                 .mask = [c](const nn::DecoderPass& pass) { return mask(pass, c); }};
  if (c.rope) parts.rotary.emplace("rotary_emb", *c.rope);
  return parts;
}

nn::Block make_block(const Scope& s, std::int64_t layer, const Config& c) {
  const auto norm = [&](const char* key) { return nn::LayerNorm(s / key, c.hidden_size, c.eps); };
  nn::ParallelBlock parts{
      .before_attention = norm(c.norms == 2 ? "ln_attn" : "input_layernorm"),
      .attention = attention(s / "self_attention", layer, c),
      .before_mlp = {},  // the other one's result
      .mlp = nn::Mlp((s / "mlp").path(),
                     nn::Linear(s / "mlp" / "dense_h_to_4h", c.hidden_size, c.ffn_hidden_size, c.bias),
                     nn::Linear(s / "mlp" / "dense_4h_to_h", c.ffn_hidden_size, c.hidden_size, c.bias),
                     c.activation)};
  if (c.norms == 2) parts.before_mlp = norm("ln_mlp");
  if (!c.parallel) parts.before_mlp = norm("post_attention_layernorm");
  if (c.parallel || c.new_architecture) return parts;
  return nn::PreNormBlock{parts.before_attention, parts.attention, parts.before_mlp, parts.mlp};
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope(), s = root.base_model("transformer");
  const nn::Embedding word_embeddings(s / "word_embeddings", c.vocab_size, c.hidden_size);
  const nn::DecoderStack decoder(
      s, "h", c.layers, [&](const Scope& layer, std::int64_t i) { return make_block(layer, i, c); },
      [&](nn::DecoderPass& pass) { return pass.embedded(word_embeddings); },
      nn::LayerNorm(s / "ln_f", c.hidden_size, c.eps));
  const Weight tied = c.tied ? word_embeddings.weight() : Weight();
  return nn::build_text_decoder_task(
      component, inputs, root,
      {.decode = decoder,
       .lm_head = nn::language_head(root / "lm_head", tied, c.vocab_size, c.hidden_size),
       .hidden_size = c.hidden_size,
       .num_labels = model.config().num_labels(),
       .token_classifier = "classifier"});
}

GgufLayout gguf() {
  return {.architecture = "falcon",
          .original_class = "FalconForCausalLM",
          .tensors = [](const PretrainedConfig& config) -> GgufTensors {
            const bool newer = config.flag("new_decoder_architecture", false);
            const std::int64_t heads = config.integer("num_attention_heads");
            const std::int64_t kv_heads = newer ? config.maybe_integer("num_kv_heads").value_or(heads)
                                          : config.flag("multi_query", true) ? 1
                                                                             : heads;
            const bool two_norms = newer && config.maybe_integer("num_ln_in_parallel_attn").value_or(2) == 2;
            const std::string layer = "transformer.h.{}.";
            return {
                {"token_embd", "transformer.word_embeddings"},
                {"output_norm", "transformer.ln_f"},
                {"output", "lm_head"},
                {"blk.{}.attn_norm", layer + (two_norms ? "ln_mlp" : "input_layernorm")},
                {"blk.{}.attn_norm_2", layer + "ln_attn"},
                {"blk.{}.attn_qkv", layer + "self_attention.query_key_value", per_key_head(heads, kv_heads)},
                {"blk.{}.attn_output", layer + "self_attention.dense"},
                {"blk.{}.ffn_norm", layer + "post_attention_layernorm"},
                {"blk.{}.ffn_up", layer + "mlp.dense_h_to_4h"},
                {"blk.{}.ffn_down", layer + "mlp.dense_4h_to_h"}};
          },
          .config_keys = {{"context_length", "max_position_embeddings"},
                          {"block_count", "num_hidden_layers"},
                          {"feed_forward_length", "ffn_hidden_size"},
                          {"embedding_length", "hidden_size"},
                          {"rope.freq_base", "rope_theta"},
                          {"attention.head_count", "num_attention_heads"},
                          {"attention.layer_norm_epsilon", "layer_norm_epsilon"},
                          {"vocab_size", "vocab_size"}},
          .more_config =
              [](const GgufInfo& file) {
                const std::int64_t kv_heads = file.integer("falcon.attention.head_count_kv").value_or(1);
                const bool newer = file.has_tensor("blk.0.attn_norm_2.weight");
                return ConfigTexts{{"tie_word_embeddings", "true"},
                                   {"new_decoder_architecture", newer ? "true" : "false"},
                                   {"num_kv_heads", std::to_string(kv_heads)},
                                   {"multi_query", kv_heads == 1 ? "true" : "false"},
                                   {"bias", file.has_tensor("blk.0.attn_qkv.bias") ? "true" : "false"}};
              }};
}

}  // namespace

void register_falcon(TasksManager& tasks) {
  tasks.register_model<FalconOnnxConfig>(
      {.model_type = "falcon",
       .tasks = nn::text_decoder_tasks({"question-answering", "token-classification"}),
       .forward = forward,
       .ignorable_keys = {"*.rotary_emb.inv_freq"},
       .key_names = tied("transformer.word_embeddings", "lm_head"),
       .gguf = gguf()});
}

}  // namespace onnxport::models
