#include "models/common/definition.h"
#include "models/text_encoders/common/bert.h"
#include "models/text_encoders/common/deberta.h"
#include "models/text_encoders/common/refuse.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/nn/text_tasks.h"

namespace onnxport::models {
namespace {

struct Embeddings {
  std::string path;
  nn::Embedding word_embeddings;
  std::optional<nn::Embedding> position_embeddings, token_type_embeddings;
  std::optional<nn::Linear> embed_proj;
  nn::LayerNorm norm;

  Embeddings(const Scope& s, const DebertaConfig& c)
      : path(s.path()),
        word_embeddings(s / "word_embeddings", c.vocab_size, c.embedding_size),
        norm(c.norm(s / "LayerNorm")) {
    if (c.position_biased_input)
      position_embeddings.emplace(s / "position_embeddings", c.max_position_embeddings, c.embedding_size);
    if (c.type_vocab_size > 0)
      token_type_embeddings.emplace(s / "token_type_embeddings", c.type_vocab_size, c.embedding_size);
    if (c.embedding_size != c.hidden_size)
      embed_proj.emplace(s / "embed_proj", c.embedding_size, c.hidden_size, false);
    for (const char* leftover : {"position_embeddings", "position_ids"}) s.ignore(leftover);
  }

  Value operator()(Value ids, Value token_type_ids) const {
    const ModulePath at(ids, path);
    Value x = word_embeddings(ids);
    if (position_embeddings) x = op::add(x, position_embeddings->first(ids.graph(), ids.dim(1)));
    if (token_type_embeddings) {
      const Value types = token_type_ids ? (*token_type_embeddings)(token_type_ids)
                                         : token_type_embeddings->first(ids.graph(), 1);
      x = op::add(x, types);
    }
    if (embed_proj) x = (*embed_proj)(x);
    return norm(x);
  }
};

struct Deberta {
  Embeddings embeddings;
  DebertaEncoder encoder;

  Deberta(const Scope& s, const DebertaConfig& c)
      : embeddings(s / "embeddings", c), encoder(s / "encoder", c) {}

  Value operator()(const Inputs& in) const {
    const Value ids = in["input_ids"];
    const Value attention_mask = in["attention_mask"];
    return encoder(embeddings(ids, in.get("token_type_ids")), attention_mask);
  }
};

}  // namespace

AxesByName DebertaOnnxConfig::inputs() const {
  if (config().integer("type_vocab_size") < 1) return text_inputs({"input_ids", "attention_mask"});
  return text_inputs({"input_ids", "attention_mask", "token_type_ids"});
}

NamedValues build_deberta(const Inputs& inputs, const Model& model, const Component& component,
                          DebertaVersion version) {
  const DebertaConfig c(model.config(), version);
  const Scope root = model.scope();
  const Deberta deberta(root.base_model("deberta"), c);
  const auto fill_mask = [&](Value hidden) {
    nn::MaskedLmHeadParameters head = c.masked_lm_head();
    head.activation = c.hidden_act;
    head.width = c.embedding_size;
    const Weight& words = deberta.embeddings.word_embeddings.weight();
    if (c.legacy) {
      head.dense = "transform.dense";
      head.norm = "transform.LayerNorm";
      return nn::MaskedLmHead(root / "cls" / "predictions", head,
                              c.tie_word_embeddings ? words : Weight())(hidden);
    }
    head.norm = "LayerNorm";  // here the words are an argument, tied or not
    head.bias = {"bias"};
    return nn::MaskedLmHead(root / "lm_predictions" / "lm_head", head, words)(hidden);
  };
  const auto pool = [&](Value hidden) {
    if (c.pooler_hidden_size != c.hidden_size)
      refuse(model.config(), fmt::format("pooler_hidden_size is {}, expected hidden_size {}",
                                         c.pooler_hidden_size, c.hidden_size));
    const nn::Linear dense(root / "pooler" / "dense", c.hidden_size, c.hidden_size);
    return nn::Activation(c.pooler_hidden_act)(dense(nn::first_token(hidden)));
  };
  return nn::build_text_encoder_task(component.task, inputs, root,
                                     pooled_heads(root, c, deberta, fill_mask, pool));
}

}  // namespace onnxport::models
