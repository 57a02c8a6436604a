// DistilBERT. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/distilbert/modeling_distilbert.py
#include "models/common/definition.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/nn/text_tasks.h"

namespace onnxport::models {
namespace {

constexpr double kEps = 1e-12;  // a constant in the original's modules

struct Config {
  std::int64_t vocab_size, dim, layers, heads, hidden_dim, max_positions, num_labels;
  std::string activation;
  bool tie_word_embeddings;

  explicit Config(const PretrainedConfig& c)
      : vocab_size(c.integer("vocab_size")),
        dim(c.integer("dim")),
        layers(c.integer("n_layers")),
        heads(c.integer("n_heads")),
        hidden_dim(c.integer("hidden_dim")),
        max_positions(c.integer("max_position_embeddings")),
        num_labels(c.num_labels()),
        activation(c.string("activation")),
        tie_word_embeddings(c.flag("tie_word_embeddings")) {
    // How the table was initialized (the stored one is used), and the row without a gradient.
    c.harmless({"sinusoidal_pos_embds", "pad_token_id"});
  }

  nn::EncoderLayerParameters layer() const {
    return {.attention = {.hidden_size = dim,
                          .heads = heads,
                          .query = "q_lin",
                          .key = "k_lin",
                          .value = "v_lin",
                          .output = "out_lin"},
            .intermediate_size = hidden_dim,
            .activation = activation,
            .eps = kEps,
            .attention_norm = "sa_layer_norm",
            .up = "ffn.lin1",
            .down = "ffn.lin2",
            .output_norm = "output_layer_norm"};
  }
};

class DistilBertOnnxConfig : public TextEncoderOnnxConfig {
 public:
  using TextEncoderOnnxConfig::TextEncoderOnnxConfig;
  NormalizedConfig normalized_config() const override {
    return NormalizedTextConfig(config()).with_args(
        {{"hidden_size", "dim"}, {"num_layers", "n_layers"}, {"num_attention_heads", "n_heads"}});
  }
};

struct DistilBert {
  nn::TextEmbeddings embeddings;
  nn::PostNormEncoder encoder;

  DistilBert(const Scope& s, const Config& c)
      : embeddings(
            s / "embeddings",
            {.vocab_size = c.vocab_size, .width = c.dim, .max_positions = c.max_positions, .eps = kEps}),
        encoder(s / "transformer" / "layer", c.layers, c.layer()) {}

  Value operator()(const Inputs& in) const {
    const Value embedded = embeddings(in["input_ids"]);
    const op::AttentionMask mask = nn::padding_mask(in.get("attention_mask"));
    return encoder(embedded, mask);
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const DistilBert distilbert(root.base_model("distilbert"), c);
  const auto fill_mask = [&](Value hidden) {
    const nn::MaskedLmHeadParameters head = {.in = c.dim,
                                             .width = c.dim,
                                             .vocab_size = c.vocab_size,
                                             .activation = c.activation,
                                             .eps = kEps,
                                             .dense = "vocab_transform",
                                             .norm = "vocab_layer_norm",
                                             .decoder = "vocab_projector",
                                             .bias = {"vocab_projector.bias"}};
    return nn::MaskedLmHead(root, head,
                            c.tie_word_embeddings ? distilbert.embeddings.words() : Weight())(hidden);
  };
  const auto summarize = [&](Value hidden) {
    return op::relu(nn::Linear(root / "pre_classifier", c.dim, c.dim)(nn::first_token(hidden)));
  };
  const auto classify = [&](Value hidden) {
    const Value summary = summarize(hidden);
    return nn::Linear(root / "classifier", c.dim, c.num_labels)(summary);
  };
  return nn::build_text_encoder_task(component.task, inputs, root,
                                     {.encode = distilbert,
                                      .fill_mask = fill_mask,
                                      .classify = classify,
                                      .summarize = summarize,
                                      .hidden_size = c.dim,
                                      .num_labels = c.num_labels});
}

}  // namespace

void register_distilbert(TasksManager& tasks) {
  tasks.register_model<DistilBertOnnxConfig>(
      {.model_type = "distilbert",
       .tasks = nn::text_encoder_tasks(),
       .forward = forward,
       .key_names = tied("distilbert.embeddings.word_embeddings", "vocab_projector")});
}

}  // namespace onnxport::models
