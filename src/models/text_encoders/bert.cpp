// BERT. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/bert/modeling_bert.py
#include "models/text_encoders/common/bert.h"

#include <utility>

#include "models/common/definition.h"
#include "models/common/gguf_layout.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/seq2seq.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/nn/text_tasks.h"
#include "onnxport/text_encoder_config.h"

namespace onnxport::models {
namespace {

class BertOnnxConfig : public TextEncoderOnnxConfig {
 public:
  using TextEncoderOnnxConfig::TextEncoderOnnxConfig;
  AxesByName inputs() const override {
    return text_inputs({"input_ids", "attention_mask", "token_type_ids"});
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  return build_with_bert_heads<Bert>(inputs, model, component, "bert");
}

Value logits_behind_encoder(nn::Seq2SeqPass& pass, const Model& model) {
  const TextEncoderConfig c(model.config());
  const Scope root = model.scope();
  const Scope base = root.base_model("bert");
  const nn::TextEmbeddings embeddings(base / "embeddings", c.embeddings());
  const nn::PostNormDecoder decoder(base / "encoder" / "layer", c.num_hidden_layers, c.layer());
  const Value hidden = decoder(embeddings(pass.input_ids()), pass);
  return bert_lm_head(root, c, embeddings.words())(hidden);
}

GgufLayout gguf() {
  return {.architecture = "bert",
          .original_class = "BertModel",
          .tensors = [](const PretrainedConfig&) -> GgufTensors {
            const std::string layer = "encoder.layer.{}.";
            return {{"token_embd", "embeddings.word_embeddings"},
                    {"token_types", "embeddings.token_type_embeddings"},
                    {"position_embd", "embeddings.position_embeddings"},
                    {"token_embd_norm", "embeddings.LayerNorm"},
                    {"blk.{}.attn_q", layer + "attention.self.query"},
                    {"blk.{}.attn_k", layer + "attention.self.key"},
                    {"blk.{}.attn_v", layer + "attention.self.value"},
                    {"blk.{}.attn_output", layer + "attention.output.dense"},
                    {"blk.{}.attn_output_norm", layer + "attention.output.LayerNorm"},
                    {"blk.{}.ffn_up", layer + "intermediate.dense"},
                    {"blk.{}.ffn_down", layer + "output.dense"},
                    {"blk.{}.layer_output_norm", layer + "output.LayerNorm"},
                    {"cls", "pooler.dense"},
                    {"cls.output", "classifier"}};
          },
          .config_keys = {{"context_length", "max_position_embeddings"},
                          {"block_count", "num_hidden_layers"},
                          {"feed_forward_length", "intermediate_size"},
                          {"embedding_length", "hidden_size"},
                          {"attention.head_count", "num_attention_heads"},
                          {"attention.layer_norm_epsilon", "layer_norm_eps"},
                          {"vocab_size", "vocab_size"}},
          .more_config =
              [](const GgufInfo& file) {
                ConfigTexts texts = {{"tie_word_embeddings", "true"}};
                if (const auto types = file.integer("tokenizer.ggml.token_type_count")) {
                  texts["type_vocab_size"] = std::to_string(*types);
                }
                return texts;
              }};
}

}  // namespace

nn::MaskedLmHead bert_lm_head(const Scope& root, const TextEncoderConfig& c, const Weight& words,
                              std::optional<std::int64_t> width) {
  nn::MaskedLmHeadParameters head = c.masked_lm_head();
  head.width = width.value_or(c.hidden_size);
  head.activation = c.hidden_act;
  head.dense = "transform.dense";
  head.norm = "transform.LayerNorm";
  return {root / "cls" / "predictions", head, c.tie_word_embeddings ? words : Weight()};
}

nn::TextEncoderHeads pooled_heads(const Scope& root, const TextEncoderConfig& c,
                                  std::function<Value(const Inputs&)> encode,
                                  std::function<Value(Value)> fill_mask, std::function<Value(Value)> pool) {
  const auto classify = [root, c, pool](Value hidden) {
    const Value pooled = pool(hidden);
    return nn::Linear(root / "classifier", c.hidden_size, c.num_labels)(pooled);
  };
  return {.encode = std::move(encode),
          .fill_mask = std::move(fill_mask),
          .classify = classify,
          .summarize = std::move(pool),
          .hidden_size = c.hidden_size,
          .num_labels = c.num_labels};
}

nn::TextEncoderHeads bert_heads(const Scope& root, const Scope& base, const TextEncoderConfig& c,
                                const Weight& words, std::function<Value(const Inputs&)> encode) {
  return pooled_heads(
      root, c, std::move(encode), [=](Value hidden) { return bert_lm_head(root, c, words)(hidden); },
      [=](Value hidden) { return nn::Pooler(base / "pooler" / "dense", c.hidden_size)(hidden); });
}

void register_bert(TasksManager& tasks) {
  tasks.register_model<BertOnnxConfig>(
      {.model_type = "bert",
       .tasks = nn::text_encoder_tasks(),
       .forward = forward,
       .ignorable_keys = {"cls.seq_relationship.*"},
       .key_names = tied("bert.embeddings.word_embeddings", "cls.predictions.decoder"),
       .roles = {.cross_decoder = CrossDecoder{logits_behind_encoder}},
       .gguf = gguf()});
}

}  // namespace onnxport::models
