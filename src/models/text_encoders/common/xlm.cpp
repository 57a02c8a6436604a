#include "models/text_encoders/common/xlm.h"

#include "models/common/definition.h"
#include "models/text_encoders/common/refuse.h"
#include "models/text_encoders/common/sequence_summary.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/nn/text_tasks.h"
#include "onnxport/op.h"

namespace onnxport::models {
namespace {

struct Config {
  std::int64_t vocab_size, dim, layers, heads, max_positions, num_labels;
  double eps;
  bool causal, adaptive_softmax, tie_word_embeddings;
  std::string activation;
  SequenceSummary summary;

  explicit Config(const PretrainedConfig& c)
      : vocab_size(c.integer("vocab_size")),
        dim(c.integer("emb_dim")),
        layers(c.integer("n_layers")),
        heads(c.integer("n_heads")),
        max_positions(c.integer("max_position_embeddings")),
        num_labels(c.num_labels()),
        eps(c.real("layer_norm_eps")),
        causal(c.flag("causal")),
        adaptive_softmax(c.flag("asm")),
        tie_word_embeddings(c.flag("tie_word_embeddings", true)),
        activation(c.flag("gelu_activation") ? "gelu" : "relu"),
        summary(c) {
    check_multiple(c, "emb_dim", dim, "n_heads", heads);
    if (!c.flag("is_encoder")) refuse(c, "is_encoder is false, the original knows only encoders");
    // How the table was initialized (the stored one is used); languages, which only an input would choose;
    // ids for generation, and for lengths where there is no mask; the heads of a beam search.
    c.harmless({"sinusoidal_embeddings", "n_langs", "use_lang_emb", "lang_id", "bos_index", "eos_index",
                "pad_index", "unk_index", "mask_index", "mask_token_id", "pad_token_id", "start_n_top",
                "end_n_top", "summary_first_dropout", "embed_init_std", "init_std"});
  }
  nn::LayerNorm norm(const Scope& s) const { return {s, dim, eps}; }
};

struct Layer {
  std::string path;
  NormPlace norms;
  nn::SelfAttention attention;
  nn::LayerNorm attention_norm;
  nn::Mlp mlp;
  nn::LayerNorm mlp_norm;

  Layer(const Scope& s, std::int64_t i, const Config& c, NormPlace place)
      : path((s / "attentions" / i).path()),
        norms(place),
        attention(s / "attentions" / i, {.hidden_size = c.dim,
                                         .heads = c.heads,
                                         .query = "q_lin",
                                         .key = "k_lin",
                                         .value = "v_lin",
                                         .output = "out_lin"}),
        attention_norm(c.norm(s / "layer_norm1" / i)),
        mlp((s / "ffns" / i).path(), nn::Linear(s / "ffns" / i / "lin1", c.dim, 4 * c.dim),
            nn::Linear(s / "ffns" / i / "lin2", 4 * c.dim, c.dim), c.activation),
        mlp_norm(c.norm(s / "layer_norm2" / i)) {}

  Value operator()(Value x, const op::AttentionMask& mask) const {
    const ModulePath at(x, path);
    if (norms == NormPlace::before) {
      x = op::add(x, attention(attention_norm(x), mask));
      return op::add(x, mlp(mlp_norm(x)));
    }
    x = attention_norm(op::add(x, attention(x, mask)));
    return mlp_norm(op::add(x, mlp(x)));
  }
};

struct Xlm {
  nn::Embedding embeddings, position_embeddings;
  nn::LayerNorm embeddings_norm;
  std::vector<Layer> layers;
  bool causal;

  Xlm(const Scope& s, const Config& c, NormPlace norms)
      : embeddings(s / "embeddings", c.vocab_size, c.dim),
        position_embeddings(s / "position_embeddings", c.max_positions, c.dim),
        embeddings_norm(c.norm(s / "layer_norm_emb")),
        causal(c.causal) {
    for (std::int64_t i = 0; i < c.layers; ++i) layers.emplace_back(s, i, c, norms);
    for (const char* unused : {"lang_embeddings", "position_ids"}) s.ignore(unused);
  }

  Value operator()(const Inputs& in) const {
    const Value ids = in["input_ids"];
    Value x = op::add(embeddings(ids), position_embeddings.first(ids.graph(), ids.dim(1)));
    if (const Value types = in.get("token_type_ids")) x = op::add(x, embeddings(types));  // rows of words
    x = embeddings_norm(x);
    const Value attention_mask = in.get("attention_mask");
    Value keep;
    if (attention_mask) keep = op::unsqueeze(op::cast(attention_mask, x.dtype()), 2);
    const auto clear = [&](Value y) { return keep ? op::mul(y, keep) : y; };
    op::AttentionMask mask = nn::padding_mask(attention_mask);
    if (causal) mask = {.causal = true};  // in place of the padding
    x = clear(x);
    for (const Layer& layer : layers) x = clear(layer(x, mask));
    return x;
  }
};

}  // namespace

AxesByName XlmOnnxConfig::inputs() const {
  return text_inputs({"input_ids", "attention_mask", "token_type_ids"});
}

NormalizedConfig XlmOnnxConfig::normalized_config() const {
  return NormalizedTextConfig(config()).with_args(
      {{"hidden_size", "emb_dim"}, {"num_layers", "n_layers"}, {"num_attention_heads", "n_heads"}});
}

NamedValues build_xlm(const Inputs& inputs, const Model& model, const Component& component, NormPlace norms) {
  const Config c(model.config());
  const Scope root = model.scope();
  const Xlm xlm(root.base_model("transformer"), c, norms);
  const auto fill_mask = [&](Value hidden) {
    if (c.adaptive_softmax)
      throw ExportError(ErrorCode::unsupported,
                        fmt::format("{}: asm is true, only false is known", model.config().origin()));
    const Scope proj = root / "pred_layer" / "proj";
    const Weight words =
        c.tie_word_embeddings ? xlm.embeddings.weight() : proj.weight("weight", {c.vocab_size, c.dim});
    proj.ignore("weight");
    return nn::Linear(proj.path(), words, proj.weight("bias", {c.vocab_size}))(hidden);
  };
  const auto summarize = [&](Value hidden) { return c.summary(hidden, root / "sequence_summary"); };
  const auto choose = [&](Value hidden) {
    return nn::Linear(root / "logits_proj", c.num_labels, 1)(summarize(hidden));
  };
  return nn::build_text_encoder_task(component.task, inputs, root,
                                     {.encode = xlm,
                                      .fill_mask = fill_mask,
                                      .classify = summarize,
                                      .choose = choose,
                                      .hidden_size = c.dim,
                                      .num_labels = c.num_labels});
}

}  // namespace onnxport::models
