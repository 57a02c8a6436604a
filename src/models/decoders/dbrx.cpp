// DBRX. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/dbrx/modeling_dbrx.py
#include <fmt/format.h>

#include <optional>
#include <string>
#include <utility>

#include "models/common/definition.h"
#include "models/common/gguf_layout.h"
#include "models/common/gguf_part.h"
#include "onnxport/error.h"
#include "onnxport/nn/blocks.h"
#include "onnxport/nn/causal_attention.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/experts.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

/// With the defaults of the class where the file has no such object.
std::int64_t kv_heads(const PretrainedConfig& c) { return c.sub("attn_config").integer("kv_n_heads"); }

class DbrxOnnxConfig : public TextDecoderWithPositionIdsOnnxConfig {
 public:
  using TextDecoderWithPositionIdsOnnxConfig::TextDecoderWithPositionIdsOnnxConfig;
  NormalizedConfig normalized_config() const override {
    return NormalizedTextConfig(config()).with_args({{"num_layers", "n_layers"},
                                                     {"num_attention_heads", "n_heads"},
                                                     {"num_key_value_heads", "attn_config.kv_n_heads"},
                                                     {"hidden_size", "d_model"},
                                                     {"max_position_embeddings", "max_seq_len"}});
  }
};

struct Config {
  std::int64_t vocab_size, d_model, n_layers, top_k;
  nn::HeadSizes heads;
  nn::ExpertSizes experts;
  std::string activation;
  std::optional<double> clip_qkv;
  nn::RopeParameters rope;
  nn::Routing routing;

  explicit Config(const PretrainedConfig& c)
      : vocab_size(c.integer("vocab_size")), d_model(c.integer("d_model")), n_layers(c.integer("n_layers")) {
    heads = {d_model, c.integer("n_heads"), kv_heads(c), 0};
    check_multiple(c, "d_model", d_model, "n_heads", heads.heads);
    check_multiple(c, "n_heads", heads.heads, "kv_n_heads", heads.kv_heads);
    heads.head_dim = d_model / heads.heads;
    const PretrainedConfig attention = c.sub("attn_config"), ffn = c.sub("ffn_config");
    clip_qkv = attention.maybe_real("clip_qkv");
    // Version 4 has the base of the rotation here, and knows no max_position_embeddings.
    rope = rope_parameters(c.settled("max_position_embeddings", std::to_string(c.integer("max_seq_len"))),
                           heads.head_dim, {.theta = attention.maybe_real("rope_theta")});
    experts = {d_model, ffn.integer("ffn_hidden_size"), ffn.integer("moe_num_experts")};
    activation = ffn.has("ffn_act_fn") ? ffn.sub("ffn_act_fn").string("name", "silu") : "silu";
    routing = nn::largest_scores(nn::softmax_scores, ffn.integer("moe_top_k"));
    if (const auto norm = ffn.maybe_real("moe_normalize_expert_weights")) {
      if (*norm != 1) {
        throw ExportError(ErrorCode::unsupported,
                          fmt::format("moe_normalize_expert_weights is {}, expected 1 or null", *norm));
      }
      routing = nn::normalized(routing);
    }
    if (c.flag("tie_word_embeddings", false))
      throw ExportError(ErrorCode::bad_config, "tie_word_embeddings is true, which DBRX does not support");
    // Of training; copies of other keys; a task with labels.
    attention.harmless({"attn_pdrop"});
    ffn.harmless({"moe_jitter_eps", "moe_loss_weight", "hidden_size"});
    c.harmless({"resid_pdrop", "emb_pdrop", "num_key_value_heads", "router_aux_loss_coef", "pad_token_id"});
  }
  nn::LayerNorm norm(const Scope& s) const { return {s, d_model, 1e-5, true, false}; }
};

nn::CausalAttention attention(const Scope& s, std::int64_t layer, const Config& c) {
  const nn::HeadSizes& z = c.heads;
  const nn::Linear fused(s / "Wqkv", c.d_model, (z.heads + 2 * z.kv_heads) * z.head_dim, false);
  auto qkv = nn::QkvProjection::fused(fused, z, nn::FusedLayout::stacked);
  if (c.clip_qkv) qkv = std::move(qkv).clipped(*c.clip_qkv);
  return {{.path = s.path(),
           .layer = layer,
           .sizes = z,
           .qkv = std::move(qkv),
           .output = nn::Linear(s / "out_proj", c.d_model, c.d_model, false),
           .rotary = nn::RotaryEmbedding("rotary_emb", c.rope)}};
}

/// The experts' rows lie one after the other: w1 of gates, v1 of the layers beside them, w2 transposed.
nn::SparseMixture mixture(const Scope& s, const Config& c) {
  const nn::ExpertSizes& z = c.experts;
  const Scope mlp = s / "experts" / "mlp";
  const nn::Linear router(s / "router" / "layer", z.hidden_size, z.experts, false);
  const auto made = [&](nn::ExpertWeights weights) -> nn::SparseMixture {
    return {s.path(), nn::Router(router, c.routing), nn::Experts(std::move(weights), c.activation)};
  };
  if (!mlp.has("w1")) return made(nn::expert_weights(s / "experts", z));  // of a GGUF file
  const auto rows = [&](const char* stored) {
    const Weight flat = mlp.weight(stored, {z.experts * z.intermediate_size, z.hidden_size});
    return flat.reshape({z.experts, z.intermediate_size, z.hidden_size});
  };
  const auto name = [&](const char* part) { return fmt::format("{}.experts.{}.weight", s.path(), part); };
  return made({.gate = rows("w1").named(name("gate_proj")),
               .up = rows("v1").named(name("up_proj")),
               .down = rows("w2").permute({0, 2, 1}).named(name("down_proj"))});
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope(), s = root.base_model("transformer");
  const nn::Embedding wte(s / "wte", c.vocab_size, c.d_model);
  const auto make_block = [&](const Scope& layer, std::int64_t i) {
    const Scope attend = layer / "norm_attn_norm";
    return nn::PreNormBlock{.before_attention = c.norm(attend / "norm_1"),
                            .attention = attention(attend / "attn", i, c),
                            .before_mlp = c.norm(attend / "norm_2"),
                            .mlp = mixture(layer / "ffn", c)};
  };
  const nn::DecoderStack decoder(
      s, "blocks", c.n_layers, make_block, [&](nn::DecoderPass& pass) { return pass.embedded(wte); },
      c.norm(s / "norm_f"));
  return nn::build_text_decoder_task(
      component, inputs, root,
      {.decode = decoder,
       .lm_head = nn::language_head(root / "lm_head", {}, c.vocab_size, c.d_model),
       .hidden_size = c.d_model});
}

GgufTensors gguf_names(const PretrainedConfig&) {
  const std::string attend = "transformer.blocks.{}.norm_attn_norm.", ffn = "transformer.blocks.{}.ffn.";
  return {{"token_embd", "transformer.wte"},
          {"output_norm", "transformer.norm_f"},
          {"output", "lm_head"},
          {"blk.{}.attn_norm", attend + "norm_1"},
          {"blk.{}.attn_qkv", attend + "attn.Wqkv"},
          {"blk.{}.attn_output", attend + "attn.out_proj"},
          {"blk.{}.attn_output_norm", attend + "norm_2"},
          {"blk.{}.ffn_gate_inp", ffn + "router.layer"},
          {"blk.{}.ffn_gate_exps", ffn + "experts.gate_proj"},
          {"blk.{}.ffn_up_exps", ffn + "experts.up_proj"},
          {"blk.{}.ffn_down_exps", ffn + "experts.down_proj"}};
}

GgufLayout gguf() {
  return {.architecture = "dbrx",
          .original_class = "DbrxForCausalLM",
          .tensors = gguf_names,
          .config_keys = {{"context_length", "max_seq_len"},
                          {"block_count", "n_layers"},
                          {"embedding_length", "d_model"},
                          {"attention.head_count", "n_heads"},
                          {"vocab_size", "vocab_size"}},
          .more_config = [](const GgufInfo& file) -> ConfigTexts {
            const auto attention = numbers_of(file, {{"kv_n_heads", "attention.head_count_kv"},
                                                     {"clip_qkv", "attention.clamp_kqv"},
                                                     {"rope_theta", "rope.freq_base"}});
            const auto ffn = numbers_of(file, {{"ffn_hidden_size", "feed_forward_length"},
                                               {"moe_num_experts", "expert_count"},
                                               {"moe_top_k", "expert_used_count"}});
            return {{"attn_config", attention.dump()}, {"ffn_config", ffn.dump()}};
          }};
}

}  // namespace

void register_dbrx(TasksManager& tasks) {
  tasks.register_model<DbrxOnnxConfig>(
      {.model_type = "dbrx", .tasks = nn::text_decoder_tasks({}), .forward = forward, .gguf = gguf()});
}

}  // namespace onnxport::models
