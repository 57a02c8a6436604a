// LayoutLM. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/layoutlm/modeling_layoutlm.py
// BERT with the place of each token in its embedding.
#include "models/common/definition.h"
#include "models/text_encoders/common/bert.h"
#include "models/text_encoders/common/layout.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/nn/text_tasks.h"
#include "onnxport/text_encoder_config.h"

namespace onnxport::models {
namespace {

class LayoutLMOnnxConfig : public BoxedTextOnnxConfig {
 public:
  using BoxedTextOnnxConfig::BoxedTextOnnxConfig;
  AxesByName inputs() const override {
    return text_inputs({"input_ids", "bbox", "attention_mask", "token_type_ids"});
  }
};

struct Config : TextEncoderConfig {
  std::int64_t max_2d_positions;

  explicit Config(const PretrainedConfig& c)
      : TextEncoderConfig(c), max_2d_positions(c.integer("max_2d_position_embeddings")) {}
  nn::TextEmbeddingsParameters bare_embeddings() const {
    nn::TextEmbeddingsParameters p = embeddings();
    p.norm = false;
    p.add_positions = true;
    return p;
  }
};

struct LayoutLM {
  nn::TextEmbeddings embeddings;
  BoxEmbeddings boxes;
  nn::LayerNorm norm;
  nn::PostNormEncoder encoder;

  LayoutLM(const Scope& s, const Config& c)
      : embeddings(s / "embeddings", c.bare_embeddings()),
        boxes(s / "embeddings",
              {.rows = c.max_2d_positions, .coordinate_width = c.hidden_size, .size_width = c.hidden_size}),
        norm(s / "embeddings" / "LayerNorm", c.hidden_size, c.layer_norm_eps),
        encoder(s / "encoder" / "layer", c.num_hidden_layers, c.layer()) {}

  Value operator()(const Inputs& in) const {
    Value x = embeddings(in["input_ids"], in.get("token_type_ids"));
    for (const Value& place : boxes(in["bbox"])) x = op::add(x, place);
    const Value embedded = norm(x);
    const op::AttentionMask mask = nn::padding_mask(in.get("attention_mask"));
    return encoder(embedded, mask);
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  return build_with_bert_heads<LayoutLM, Config>(inputs, model, component, "layoutlm");
}

}  // namespace

void register_layoutlm(TasksManager& tasks) {
  tasks.register_model<LayoutLMOnnxConfig>(
      {.model_type = "layoutlm",
       .tasks = {"feature-extraction", "fill-mask", "question-answering", "text-classification",
                 "token-classification"},
       .forward = forward,
       .ignorable_keys = {"cls.seq_relationship.*"},
       .key_names = tied("layoutlm.embeddings.word_embeddings", "cls.predictions.decoder")});
}

}  // namespace onnxport::models
