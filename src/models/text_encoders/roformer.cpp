// RoFormer. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/roformer/modeling_roformer.py
// BERT with rotary positions, whose table is stored.
#include "models/common/definition.h"
#include "models/text_encoders/common/bert.h"
#include "models/text_encoders/common/post_norm_layer.h"
#include "models/text_encoders/common/sequence_summary.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/nn/text_tasks.h"
#include "onnxport/text_encoder_config.h"

namespace onnxport::models {
namespace {

struct Config : TextEncoderConfig {
  std::int64_t embedding_size;
  bool rotary_value;
  SequenceSummary summary;

  explicit Config(const PretrainedConfig& c)
      : TextEncoderConfig(c),
        embedding_size(c.maybe_integer("embedding_size").value_or(hidden_size)),
        rotary_value(c.flag("rotary_value")),
        summary(c) {
    check_multiple(c, "hidden_size", hidden_size, "twice num_attention_heads", 2 * num_attention_heads);
  }
  std::int64_t head_dim() const { return hidden_size / num_attention_heads; }
  nn::TextEmbeddingsParameters narrow_embeddings() const {
    nn::TextEmbeddingsParameters p = embeddings();
    p.width = embedding_size;
    p.add_positions = false;
    return p;
  }
};

// Sines and cosines of the angles of each position: [1, S, head_dim / 2].
struct Angles {
  Value sin, cos;
};

struct Attention {
  Projections project;
  std::int64_t heads;
  bool rotary_value;

  Value turn(Value x, const Angles& angles) const {
    return op::rotary_embedding(x, angles.cos, angles.sin, heads, true);
  }

  Value operator()(Value x, const op::AttentionMask& mask, const Angles& angles) const {
    const ModulePath at(x, project.path);
    const Value queries = turn(project.query(x), angles);
    const Value keys = turn(project.key(x), angles);
    const Value plain = project.value(x);
    const Value values = rotary_value ? turn(plain, angles) : plain;
    const op::AttentionOperands operands = {.query = queries, .key = keys, .value = values, .mask = mask};
    return project.output(op::attention(operands, heads, heads).output);
  }
};

struct RoFormer {
  nn::TextEmbeddings embeddings;
  std::optional<nn::Linear> embeddings_project;
  nn::Embedding embed_positions;
  std::vector<PostNormLayer<Attention>> layers;

  RoFormer(const Scope& s, const Config& c)
      : embeddings(s / "embeddings", c.narrow_embeddings()),
        embed_positions(s / "encoder" / "embed_positions", c.max_position_embeddings, c.head_dim()) {
    if (c.embedding_size != c.hidden_size)
      embeddings_project.emplace(s / "embeddings_project", c.embedding_size, c.hidden_size);
    for (std::int64_t i = 0; i < c.num_hidden_layers; ++i) {
      const Scope layer = s / "encoder" / "layer" / i;
      Projections projections(layer / "attention", c.hidden_size);
      layers.emplace_back(layer, c, Attention{std::move(projections), c.num_attention_heads, c.rotary_value});
    }
  }

  Value operator()(const Inputs& in) const {
    Value x = embeddings(in["input_ids"], in.get("token_type_ids"));
    if (embeddings_project) x = (*embeddings_project)(x);
    const Value table = op::unsqueeze(embed_positions.first(x.graph(), x.dim(1)), 0);
    const std::vector<Value> halves = op::chunk(table, -1, 2);
    const op::AttentionMask mask = nn::padding_mask(in.get("attention_mask"));
    const Angles angles = {halves[0], halves[1]};
    for (const auto& layer : layers) x = layer(x, mask, angles);
    return x;
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const RoFormer roformer(root.base_model("roformer"), c);
  const auto fill_mask = [&](Value hidden) {
    return bert_lm_head(root, c, roformer.embeddings.words(), c.embedding_size)(hidden);
  };
  return nn::build_text_encoder_task(component.task, inputs, root,
                                     summary_heads(root, c, c.summary, roformer, fill_mask));
}

}  // namespace

void register_roformer(TasksManager& tasks) {
  tasks.register_model<TypedTextOnnxConfig>(
      {.model_type = "roformer",
       .tasks = nn::text_encoder_tasks(),
       .forward = forward,
       .ignorable_keys = {"cls.seq_relationship.*"},
       .key_names = tied("roformer.embeddings.word_embeddings", "cls.predictions.decoder")});
}

}  // namespace onnxport::models
