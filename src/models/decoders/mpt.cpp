// MPT. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/mpt/modeling_mpt.py
#include <fmt/format.h>

#include <cmath>

#include "models/common/definition.h"
#include "models/common/gguf_layout.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/blocks.h"
#include "onnxport/nn/causal_attention.h"
#include "onnxport/nn/decoder_pass.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/mlp.h"

namespace onnxport::models {
namespace {

class MptOnnxConfig : public TextDecoderOnnxConfig {
 public:
  using TextDecoderOnnxConfig::TextDecoderOnnxConfig;
  NormalizedConfig normalized_config() const override {
    return NormalizedTextConfig(config()).with_args({{"num_layers", "n_layers"},
                                                     {"num_attention_heads", "n_heads"},
                                                     {"hidden_size", "d_model"},
                                                     {"max_position_embeddings", "max_seq_len"}});
  }
};

struct Config {
  std::int64_t vocab_size, d_model, n_heads, n_layers;
  double eps;
  bool tied;
  std::optional<double> clip_qkv, softmax_scale;

  explicit Config(const PretrainedConfig& c)
      : vocab_size(c.integer("vocab_size")),
        d_model(c.integer("d_model")),
        n_heads(c.integer("n_heads")),
        n_layers(c.integer("n_layers")),
        eps(c.real("layer_norm_epsilon")),
        tied(c.flag("tie_word_embeddings", true)) {
    check_multiple(c, "d_model", d_model, "n_heads", n_heads);
    // No layer of the original reads these: it always has linear biases up to 8, four times the width, no
    // learned positions and no biases.
    c.harmless({"expansion_ratio", "learned_pos_emb", "logit_scale", "no_bias", "norm_type", "max_seq_len",
                "embedding_fraction", "init_device", "verbose", "resid_pdrop", "emb_pdrop"});
    if (!c.has("attn_config")) return;
    const PretrainedConfig attention = c.sub("attn_config");
    attention.harmless({"alibi", "alibi_bias_max", "attn_impl", "attn_pdrop", "attn_type",
                        "attn_uses_sequence_id", "prefix_lm", "qk_ln"});
    clip_qkv = attention.maybe_real("clip_qkv");
    if (clip_qkv == 0.0) clip_qkv.reset();
    softmax_scale = attention.maybe_real("softmax_scale");
  }
  nn::HeadSizes sizes() const { return {d_model, n_heads, n_heads, d_model / n_heads}; }
  nn::LayerNorm norm(const Scope& s) const { return {s, d_model, eps, true, false}; }
};

// A geometric sequence of so many heads that their number is a power of two. If there are fewer heads, they
// have every other element, and then those in between.
std::vector<double> slopes(std::int64_t heads) {
  std::int64_t all = 1;
  while (all < heads) all *= 2;
  std::vector<double> sequence, chosen;
  for (std::int64_t i = 1; i <= all; ++i)
    sequence.push_back(std::exp2(-8.0 * static_cast<double>(i) / static_cast<double>(all)));
  if (all == heads) return sequence;
  for (const std::size_t first : {1, 0})
    for (std::size_t i = first; i < sequence.size(); i += 2) chosen.push_back(sequence[i]);
  chosen.resize(static_cast<std::size_t>(heads));
  return chosen;
}

// float [heads, 1, P + S]: the slope of a head times the distance to the last key, padding or not.
Value alibi(const nn::DecoderPass& pass, std::int64_t heads) {
  Graph& g = pass.graph();
  const ModulePath at(g, "alibi");
  const Value keys = op::arange(g, pass.total_length(), 1 - pass.total_length());
  const Weight weight = Weight::from_doubles(DType::f32, {heads, 1, 1}, slopes(heads));
  const Value distances = op::cast(keys, g.float_dtype());
  return op::mul(distances, g.weight_as_is(weight.cast(g.float_dtype())));
}

nn::CausalAttention attention(const Scope& s, std::int64_t layer, const Config& c) {
  const nn::Linear fused(s / "Wqkv", c.d_model, 3 * c.d_model, false);
  auto qkv = nn::QkvProjection::fused(fused, c.sizes(), nn::FusedLayout::stacked);
  if (c.clip_qkv) qkv = std::move(qkv).clipped(*c.clip_qkv);
  return {{.path = s.path(),
           .layer = layer,
           .sizes = c.sizes(),
           .qkv = std::move(qkv),
           .output = nn::Linear(s / "out_proj", c.d_model, c.d_model, false),
           .options = {.scale = c.softmax_scale},
           .mask = [heads = c.n_heads](const nn::DecoderPass& pass) {
             op::AttentionMask mask = pass.mask({}, op::NoKeys::uniform);
             mask.bias = alibi(pass, heads);
             return mask;
           }}};
}

nn::Block make_block(const Scope& s, std::int64_t layer, const Config& c) {
  const Scope ffn = s / "ffn";
  return nn::PreNormBlock{
      .before_attention = c.norm(s / "norm_1"),
      .attention = attention(s / "attn", layer, c),
      .before_mlp = c.norm(s / "norm_2"),
      .mlp = nn::Mlp(ffn.path(), nn::Linear(ffn / "up_proj", c.d_model, 4 * c.d_model, false),
                     nn::Linear(ffn / "down_proj", 4 * c.d_model, c.d_model, false), "gelu")};
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope(), s = root.base_model("transformer");
  const nn::Embedding wte(s / "wte", c.vocab_size, c.d_model);
  const nn::DecoderStack decoder(
      s, "blocks", c.n_layers, [&](const Scope& layer, std::int64_t i) { return make_block(layer, i, c); },
      [&](nn::DecoderPass& pass) { return pass.embedded(wte); }, c.norm(s / "norm_f"));
  const Weight tied = c.tied ? wte.weight() : Weight();
  return nn::build_text_decoder_task(
      component, inputs, root,
      {.decode = decoder,
       .lm_head = nn::language_head(root / "lm_head", tied, c.vocab_size, c.d_model),
       .hidden_size = c.d_model,
       .num_labels = model.config().num_labels(),
       .pad_token_id = model.config().maybe_integer("pad_token_id"),
       .token_classifier = "classifier"});
}

GgufLayout gguf() {
  return {.architecture = "mpt",
          .original_class = "MptForCausalLM",
          .tensors = [](const PretrainedConfig&) -> GgufTensors {
            const std::string layer = "transformer.blocks.{}.";
            return {{"token_embd", "transformer.wte"},
                    {"output_norm", "transformer.norm_f"},
                    {"output", "lm_head"},
                    {"blk.{}.attn_norm", layer + "norm_1"},
                    {"blk.{}.attn_qkv", layer + "attn.Wqkv"},
                    {"blk.{}.attn_output", layer + "attn.out_proj"},
                    {"blk.{}.ffn_norm", layer + "norm_2"},
                    {"blk.{}.ffn_up", layer + "ffn.up_proj"},
                    {"blk.{}.ffn_down", layer + "ffn.down_proj"}};
          },
          .config_keys = {{"context_length", "max_seq_len"},
                          {"block_count", "n_layers"},
                          {"embedding_length", "d_model"},
                          {"attention.head_count", "n_heads"},
                          {"attention.layer_norm_epsilon", "layer_norm_epsilon"},
                          {"vocab_size", "vocab_size"}},
          .more_config =
              [](const GgufInfo& file) {
                ConfigTexts texts = {{"tie_word_embeddings", "true"}};
                if (const auto limit = file.real("mpt.attention.clamp_kqv"))
                  texts["attn_config"] = fmt::format(R"({{"clip_qkv": {}}})", *limit);
                return texts;
              }};
}

}  // namespace

void register_mpt(TasksManager& tasks) {
  tasks.register_model<MptOnnxConfig>(
      {.model_type = "mpt",
       .tasks = nn::text_decoder_tasks({"text-classification", "token-classification"}),
       .forward = forward,
       .key_names = tied("transformer.wte", "lm_head"),
       .gguf = gguf()});
}

}  // namespace onnxport::models
