// ERNIE-M. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/deprecated/ernie_m/modeling_ernie_m.py
#include "models/common/definition.h"
#include "models/text_encoders/common/bert.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/nn/text_tasks.h"
#include "onnxport/text_encoder_config.h"

namespace onnxport::models {
namespace {

constexpr std::int64_t kFirstPosition = 2;

struct ErnieM {
  nn::TextEmbeddings embeddings;
  nn::LayerNorm norm;
  nn::PostNormEncoder encoder;

  static nn::TextEmbeddingsParameters bare(const TextEncoderConfig& c) {
    nn::TextEmbeddingsParameters p = c.embeddings();
    p.norm = false;
    return p;
  }
  static nn::EncoderLayerParameters layer(const TextEncoderConfig& c) {
    nn::EncoderLayerParameters p = c.layer();
    p.attention.query = "self_attn.q_proj";
    p.attention.key = "self_attn.k_proj";
    p.attention.value = "self_attn.v_proj";
    p.attention.output = "out_proj";
    p.attention_key = "self_attn";
    p.attention_norm = "norm1";
    p.up = "linear1";
    p.down = "linear2";
    p.output_norm = "norm2";
    return p;
  }

  ErnieM(const Scope& s, const TextEncoderConfig& c)
      : embeddings(s / "embeddings", bare(c)),
        norm(s / "embeddings" / "layer_norm", c.hidden_size, c.layer_norm_eps),
        encoder(s / "encoder" / "layers", c.num_hidden_layers, layer(c)) {}

  Value operator()(const Inputs& in) const {
    const Value ids = in["input_ids"];
    const Value positions = op::unsqueeze(op::arange(ids.graph(), ids.dim(1), kFirstPosition), 0);
    const Value embedded = norm(embeddings(ids, {}, positions));
    const op::AttentionMask mask = nn::padding_mask(in.get("attention_mask"));
    return encoder(embedded, mask);
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const TextEncoderConfig c(model.config());
  model.config().harmless({"act_dropout"});
  const Scope root = model.scope();
  const Scope base = root.base_model("ernie_m");
  const ErnieM ernie_m(base, c);
  const auto pool = [&](Value hidden) {
    return nn::Pooler(base / "pooler" / "dense", c.hidden_size)(hidden);
  };
  return nn::build_text_encoder_task(component.task, inputs, root, pooled_heads(root, c, ernie_m, {}, pool));
}

}  // namespace

void register_ernie_m(TasksManager& tasks) {
  tasks.register_model<TextEncoderOnnxConfig>(
      {.model_type = "ernie_m",
       .tasks = {"feature-extraction", "multiple-choice", "question-answering", "text-classification",
                 "token-classification"},
       .forward = forward});
}

}  // namespace onnxport::models
