// EuroBERT. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/eurobert/modeling_eurobert.py
// Llama with attention both ways.
#include "models/common/definition.h"
#include "models/text_encoders/common/refuse.h"
#include "models/text_encoders/common/rotary_attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/nn/text_tasks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

struct Config : TextDecoderConfig {
  bool mlp_bias;
  std::string pooling;

  explicit Config(const PretrainedConfig& c)
      : TextDecoderConfig(c), mlp_bias(c.flag("mlp_bias")), pooling(c.string("classifier_pooling")) {
    if (pooling != "bos" && pooling != "mean" && pooling != "late")
      refuse(c, fmt::format("classifier_pooling is '{}', expected bos, mean or late", pooling));
    c.harmless({"pretraining_tp", "mask_token_id", "max_position_embeddings"});
  }
};

RotaryPreNormLayer make_layer(const Scope& s, const Config& c) {
  const Scope self = s / "self_attn";
  const std::int64_t width = c.heads.heads * c.heads.head_dim, narrow = c.heads.kv_heads * c.heads.head_dim;
  return {
      .path = s.path(),
      .before_attention = c.norm(s / "input_layernorm"),
      .attention = {self.path(), c.heads, nn::Linear(self / "q_proj", c.hidden_size, width, c.attention_bias),
                    nn::Linear(self / "k_proj", c.hidden_size, narrow, c.attention_bias),
                    nn::Linear(self / "v_proj", c.hidden_size, narrow, c.attention_bias),
                    nn::Linear(self / "o_proj", width, c.hidden_size, c.attention_bias)},
      .before_mlp = c.norm(s / "post_attention_layernorm"),
      .mlp = c.mlp(s / "mlp", c.mlp_bias)};
}

struct EuroBert {
  nn::RopeParameters rope;
  nn::Embedding embed_tokens;
  std::vector<RotaryPreNormLayer> layers;
  nn::Norm norm;

  EuroBert(const Scope& s, const Config& c)
      : rope(c.rope),
        embed_tokens(s / "embed_tokens", c.vocab_size, c.hidden_size),
        norm(c.norm(s / "norm")) {
    for (std::int64_t i = 0; i < c.num_hidden_layers; ++i) layers.push_back(make_layer(s / "layers" / i, c));
  }

  Value operator()(const Inputs& in) const {
    const Value ids = in["input_ids"];
    Value x = embed_tokens(ids);
    const RotarySight sight = rotary_sight(ids, in.get("attention_mask"), rope);
    for (const RotaryPreNormLayer& layer : layers) x = layer(x, sight);
    return norm(x);
  }
};

// The mean over real tokens, in float32, because sums of long texts are large: [B, S, N] -> [B, N].
Value mean_of_tokens(Value x, Value attention_mask) {
  const Value mask = op::unsqueeze(op::cast(attention_mask, DType::f32), 2);
  const Value total = op::sum(op::mul(op::cast(x, DType::f32), mask), 1);
  return op::cast(op::div(total, op::sum(mask, 1)), x.dtype());
}

Value classify(const Scope& root, const Config& c, Value hidden, Value attention_mask) {
  const nn::Linear dense(root / "dense", c.hidden_size, c.hidden_size);
  const nn::Linear classifier(root / "classifier", c.hidden_size, c.num_labels);
  Value x = hidden;
  if (c.pooling == "bos") x = nn::first_token(x);
  if (c.pooling == "mean") x = mean_of_tokens(x, attention_mask);
  const Value logits = classifier(op::gelu(dense(x)));
  return c.pooling == "late" ? mean_of_tokens(logits, attention_mask) : logits;
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const EuroBert eurobert(root.base_model("model"), c);
  const auto fill_mask = [&](Value hidden) {
    const Scope head = root / "lm_head";
    const Weight own = c.tie_word_embeddings ? eurobert.embed_tokens.weight()
                                             : head.weight("weight", {c.vocab_size, c.hidden_size});
    head.ignore("weight");
    return nn::Linear(head.path(), own, c.mlp_bias ? head.weight("bias", {c.vocab_size}) : Weight())(hidden);
  };
  return nn::build_text_encoder_task(
      component.task, inputs, root,
      {.encode = eurobert,
       .fill_mask = fill_mask,
       .classify = [&](Value hidden) { return classify(root, c, hidden, inputs["attention_mask"]); },
       .hidden_size = c.hidden_size,
       .num_labels = c.num_labels});
}

}  // namespace

void register_eurobert(TasksManager& tasks) {
  tasks.register_model<TextEncoderOnnxConfig>(
      {.model_type = "eurobert",
       .tasks = {"feature-extraction", "fill-mask", "text-classification", "token-classification"},
       .forward = forward,
       .ignorable_keys = {"*inv_freq"},
       .key_names = tied("model.embed_tokens", "lm_head")});
}

}  // namespace onnxport::models
