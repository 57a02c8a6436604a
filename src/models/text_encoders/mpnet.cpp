// MPNet. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/mpnet/modeling_mpnet.py
#include "models/common/definition.h"
#include "models/text_encoders/common/roberta.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/nn/text_tasks.h"
#include "onnxport/text_encoder_config.h"

namespace onnxport::models {
namespace {

constexpr std::int64_t kPad = 1;  // written into the original; config.pad_token_id does not count

struct Config : TextEncoderConfig {
  std::int64_t bias_rows;  // of the table; the bucket function of the original always tells 32 apart

  explicit Config(const PretrainedConfig& c)
      : TextEncoderConfig(c), bias_rows(c.integer("relative_attention_num_buckets")) {
    type_vocab_size = 0;  // no token types and no other positions, whatever a hub file says
    position_embedding_type = "absolute";
  }
};

nn::EncoderLayerParameters layer(const Config& c) {
  nn::EncoderLayerParameters p = c.layer();
  p.attention.query = "attn.q";
  p.attention.key = "attn.k";
  p.attention.value = "attn.v";
  p.attention.output = "attn.o";
  p.attention_norm = "attention.LayerNorm";
  return p;
}

struct MPNet {
  nn::TextEmbeddings embeddings;
  nn::RelativeBias relative_attention_bias;
  nn::PostNormEncoder encoder;

  MPNet(const Scope& s, const Config& c)
      : embeddings(s / "embeddings", c.embeddings()),
        relative_attention_bias(s / "encoder" / "relative_attention_bias",
                                {.heads = c.num_attention_heads, .rows = c.bias_rows}),
        encoder(s / "encoder" / "layer", c.num_hidden_layers, layer(c)) {}

  Value operator()(const Inputs& in) const {
    const Value input_ids = in["input_ids"];
    const Value embedded = embeddings(input_ids, {}, nn::position_ids_from_input_ids(input_ids, kPad));
    op::AttentionMask mask = nn::padding_mask(in.get("attention_mask"));
    mask.bias = relative_attention_bias(input_ids.graph(), input_ids.dim(1));
    return encoder(embedded, mask);
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const Scope base = root.base_model("mpnet");
  const MPNet mpnet(base, c);
  const auto fill_mask = [&](Value hidden) {
    const Weight tied = c.tie_word_embeddings ? mpnet.embeddings.words() : Weight();
    return nn::MaskedLmHead(root / "lm_head", c.masked_lm_head(), tied)(hidden);
  };
  return nn::build_text_encoder_task(component.task, inputs, root,
                                     roberta_heads(root, base, c, mpnet, fill_mask));
}

}  // namespace

void register_mpnet(TasksManager& tasks) {
  tasks.register_model<TextEncoderOnnxConfig>(
      {.model_type = "mpnet",
       .tasks = nn::text_encoder_tasks(),
       .forward = forward,
       .key_names = tied("mpnet.embeddings.word_embeddings", "lm_head.decoder")});
}

}  // namespace onnxport::models
