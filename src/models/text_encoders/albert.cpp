// ALBERT. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/albert/modeling_albert.py
#include "models/common/definition.h"
#include "models/text_encoders/common/bert.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/nn/text_tasks.h"
#include "onnxport/text_encoder_config.h"

namespace onnxport::models {
namespace {

struct Config : TextEncoderConfig {
  std::int64_t embedding_size, groups, inner_group_num;

  explicit Config(const PretrainedConfig& c)
      : TextEncoderConfig(c),
        embedding_size(c.integer("embedding_size")),
        groups(c.integer("num_hidden_groups")),
        inner_group_num(c.integer("inner_group_num")) {}

  nn::TextEmbeddingsParameters narrow_embeddings() const {
    nn::TextEmbeddingsParameters p = embeddings();
    p.width = embedding_size;
    return p;
  }

  nn::EncoderLayerParameters albert_layer() const {
    nn::EncoderLayerParameters p = layer();
    p.attention.query = "query";
    p.attention.key = "key";
    p.attention.value = "value";
    p.attention.output = "dense";
    if (p.attention.relative_positions) p.attention.relative_positions->scaled = false;
    p.attention_norm = "attention.LayerNorm";
    p.up = "ffn";
    p.down = "ffn_output";
    p.output_norm = "full_layer_layer_norm";
    return p;
  }
};

struct Albert {
  nn::TextEmbeddings embeddings;
  nn::Linear embedding_hidden_mapping_in;
  std::vector<nn::PostNormEncoder> groups;  // the layers of a group share nothing; the group is what repeats
  std::int64_t layers;

  Albert(const Scope& s, const Config& c)
      : embeddings(s / "embeddings", c.narrow_embeddings()),
        embedding_hidden_mapping_in(s / "encoder" / "embedding_hidden_mapping_in", c.embedding_size,
                                    c.hidden_size),
        layers(c.num_hidden_layers) {
    for (std::int64_t g = 0; g < c.groups; ++g) {
      groups.emplace_back(s / "encoder" / "albert_layer_groups" / g / "albert_layers", c.inner_group_num,
                          c.albert_layer());
    }
  }

  Value operator()(const Inputs& in) const {
    Value hidden = embedding_hidden_mapping_in(embeddings(in["input_ids"], in.get("token_type_ids")));
    const op::AttentionMask mask = nn::padding_mask(in.get("attention_mask"));
    const double layers_per_group = static_cast<double>(layers) / static_cast<double>(groups.size());
    for (std::int64_t i = 0; i < layers; ++i) {
      hidden = groups[static_cast<std::size_t>(static_cast<double>(i) / layers_per_group)](hidden, mask);
    }
    return hidden;
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const Scope base = root.base_model("albert");
  const Albert albert(base, c);
  const auto pool = [&](Value hidden) { return nn::Pooler(base / "pooler", c.hidden_size)(hidden); };
  const auto fill_mask = [&](Value hidden) {
    nn::MaskedLmHeadParameters head = c.masked_lm_head();
    head.width = c.embedding_size;
    head.activation = c.hidden_act;
    head.norm = "LayerNorm";
    head.bias = {"decoder.bias", "bias"};
    const Weight tied = c.tie_word_embeddings ? albert.embeddings.words() : Weight();
    return nn::MaskedLmHead(root / "predictions", head, tied)(hidden);
  };
  return nn::build_text_encoder_task(component.task, inputs, root,
                                     pooled_heads(root, c, albert, fill_mask, pool));
}

}  // namespace

void register_albert(TasksManager& tasks) {
  tasks.register_model<TypedTextOnnxConfig>(
      {.model_type = "albert",
       .tasks = nn::text_encoder_tasks(),
       .forward = forward,
       .ignorable_keys = {"sop_classifier.*"},
       .key_names = tied("albert.embeddings.word_embeddings", "predictions.decoder")});
}

}  // namespace onnxport::models
