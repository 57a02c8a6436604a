// BigBird. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/big_bird/modeling_big_bird.py
// BERT that sees only some blocks of a long text.
#include <cmath>

#include "models/common/definition.h"
#include "models/text_encoders/common/bert.h"
#include "models/text_encoders/common/post_norm_layer.h"
#include "models/text_encoders/common/refuse.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/block_sparse.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/nn/text_tasks.h"
#include "onnxport/text_encoder_config.h"

namespace onnxport::models {
namespace {

struct Config : TextEncoderConfig {
  bool sparse, rescale, use_bias;
  std::int64_t sep_token_id;
  nn::BlockSparsity blocks;

  explicit Config(const PretrainedConfig& c)
      : TextEncoderConfig(c),
        sparse(c.string("attention_type") == "block_sparse"),
        rescale(c.flag("rescale_embeddings")),
        use_bias(c.flag("use_bias")),
        sep_token_id(c.integer("sep_token_id")),
        blocks{c.integer("block_size"), c.integer("num_random_blocks")} {
    if (const std::string type = c.string("attention_type"); !sparse && type != "original_full")
      refuse(c, fmt::format("attention_type is '{}', expected block_sparse or original_full", type));
  }
};

struct Embeddings {
  std::string path;
  double scale;
  nn::Embedding words, positions, types;
  nn::LayerNorm norm;

  Embeddings(const Scope& s, const Config& c)
      : path(s.path()),
        scale(c.rescale ? std::sqrt(static_cast<double>(c.hidden_size)) : 1),
        words(s / "word_embeddings", c.vocab_size, c.hidden_size),
        positions(s / "position_embeddings", c.max_position_embeddings, c.hidden_size),
        types(s / "token_type_embeddings", c.type_vocab_size, c.hidden_size),
        norm(s / "LayerNorm", c.hidden_size, c.layer_norm_eps) {
    for (const char* buffer : {"position_ids", "token_type_ids"}) s.ignore(buffer);
  }
  Value operator()(Value ids, Value token_type_ids) const {
    const ModulePath at(ids, path);
    Value x = words(ids);
    if (scale != 1) x = op::mul(x, scale);
    x = op::add(x, token_type_ids ? types(token_type_ids) : types.first(ids.graph(), 1));
    return norm(op::add(x, positions.first(ids.graph(), ids.dim(1))));
  }
};

nn::BlockSight sight_of(Value attention_mask, const Config& c, DType dtype) {
  if (!c.sparse) return {.mask = nn::padding_mask(attention_mask)};
  return nn::block_sight(attention_mask, c.blocks, dtype);
}

struct Attention {
  Projections project;
  std::int64_t heads;

  Value operator()(Value x, const nn::BlockSight& sight) const {
    const ModulePath at(x, project.path);
    const Value query = project.query(x);
    const Value key = project.key(x);
    const Value value = project.value(x);
    const op::AttentionOperands operands = {.query = query, .key = key, .value = value, .mask = sight.mask};
    const Value context = op::attention(operands, heads, heads).output;
    return project.output(sight.keep ? op::mul(context, sight.keep) : context);
  }
};

struct BigBird {
  Config config;
  Embeddings embeddings;
  std::vector<PostNormLayer<Attention>> layers;

  BigBird(const Scope& s, const Config& c) : config(c), embeddings(s / "embeddings", c) {
    for (std::int64_t i = 0; i < c.num_hidden_layers; ++i) {
      const Scope layer = s / "encoder" / "layer" / i;
      Projections projections(layer / "attention", c.hidden_size, c.use_bias);
      layers.emplace_back(layer, c, Attention{std::move(projections), c.num_attention_heads});
    }
  }

  Value operator()(const Inputs& in) const {
    Value x = embeddings(in["input_ids"], in.get("token_type_ids"));
    const nn::BlockSight sight = sight_of(in["attention_mask"], config, x.dtype());
    for (const auto& layer : layers) x = layer(x, sight);
    return x;
  }
};

// The question ends with the first separator. Its tokens have type 0, those behind it type 1, and none of
// them but the first may be an answer.
NamedValues answer(const Inputs& inputs, const Scope& root, const Config& c, const BigBird& big_bird) {
  const Value ids = inputs["input_ids"];
  const Value separator = op::cast(op::eq(ids, static_cast<double>(c.sep_token_id)), DType::i64);
  const Value end = op::argmax(separator, 1, true);
  const Value positions = op::unsqueeze(op::arange(ids.graph(), ids.dim(1)), 0);
  const Value behind = op::gt(positions, end);
  const Value hidden = big_bird(inputs.with("token_type_ids", op::cast(behind, DType::i64)));
  const Scope head = root / "qa_classifier";
  const nn::LayerNorm norm(head / "output.LayerNorm", c.hidden_size, c.layer_norm_eps);
  const Value made = norm(op::add(bert_mlp(head, c)(hidden), hidden));
  const NamedValues logits = nn::question_answering(head, made, c.hidden_size);
  const Value after_first = op::gt(positions, 0.0);
  const Value asked = op::logical_and(op::logical_not(behind), after_first);
  const Value penalty = op::mul(op::cast(asked, DType::f32), 1e6);
  NamedValues answers;
  for (const auto& [name, value] : logits) {
    const Value wide = op::sub(op::cast(value, DType::f32), penalty);
    answers.emplace_back(name, op::cast(wide, value.dtype()));
  }
  return answers;
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const Scope base = root.base_model("bert");
  const BigBird big_bird(base, c);
  if (component.task == "question-answering") return answer(inputs, root, c, big_bird);
  const auto fill_mask = [&](Value hidden) {
    return bert_lm_head(root, c, big_bird.embeddings.words.weight())(hidden);
  };
  const auto classify = [&](Value hidden) {
    return nn::ClassificationHead(root / "classifier", c.hidden_size, c.num_labels, c.hidden_act)(hidden);
  };
  const auto pool = [&](Value hidden) { return nn::Pooler(base / "pooler", c.hidden_size)(hidden); };
  return nn::build_text_encoder_task(component.task, inputs, root,
                                     {.encode = big_bird,
                                      .fill_mask = fill_mask,
                                      .classify = classify,
                                      .summarize = pool,
                                      .hidden_size = c.hidden_size,
                                      .num_labels = c.num_labels});
}

}  // namespace

void register_big_bird(TasksManager& tasks) {
  tasks.register_model<TextEncoderOnnxConfig>(
      {.model_type = "big_bird",
       .tasks = nn::text_encoder_tasks(),
       .forward = forward,
       .ignorable_keys = {"cls.seq_relationship.*"},
       .key_names = tied("bert.embeddings.word_embeddings", "cls.predictions.decoder")});
}

}  // namespace onnxport::models
