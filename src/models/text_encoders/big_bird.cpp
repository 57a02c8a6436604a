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
#include "onnxport/nn/text_encoder.h"
#include "onnxport/nn/text_tasks.h"
#include "onnxport/text_encoder_config.h"

namespace onnxport::models {
namespace {

struct Config : TextEncoderConfig {
  bool sparse, rescale, use_bias;
  std::int64_t block, random_blocks, sep_token_id;

  explicit Config(const PretrainedConfig& c)
      : TextEncoderConfig(c),
        sparse(c.string("attention_type") == "block_sparse"),
        rescale(c.flag("rescale_embeddings")),
        use_bias(c.flag("use_bias")),
        block(c.integer("block_size")),
        random_blocks(c.integer("num_random_blocks")),
        sep_token_id(c.integer("sep_token_id")) {
    if (const std::string type = c.string("attention_type"); !sparse && type != "original_full")
      refuse(c, fmt::format("attention_type is '{}', expected block_sparse or original_full", type));
    constexpr std::int64_t kMost = 1 << 20;
    if (block < 1 || block > kMost || random_blocks < 0 || random_blocks > kMost)
      refuse(c, fmt::format(
                    "block_size is {} and num_random_blocks {}, expected at least 1 and 0, and at most {}",
                    block, random_blocks, kMost));
  }
  std::int64_t longest_full() const { return (5 + 2 * random_blocks) * block; }
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

// The mask of all layers, and what their results are multiplied by, if anything.
struct Sight {
  op::AttentionMask mask;
  Value keep;
};

// In a text longer than longest_full(), the first and the last block see all blocks and are seen by all;
// others see themselves and their neighbours. In evaluation, the random blocks of the original are all the
// first block, whose keys therefore count more than once. Padding becomes 0.
Sight look(Value attention_mask, const Config& c, DType dtype) {
  Sight sight{.mask = nn::padding_mask(attention_mask)};
  if (!c.sparse) return sight;
  Graph& graph = attention_mask.graph();
  const ModulePath at(graph, "block_mask");
  const Value length = op::size(graph, attention_mask.dim(1));
  const Value is_long = op::gt(length, static_cast<double>(c.longest_full()));
  const Value is_short = op::logical_not(is_long);
  const Value block = op::div(op::arange(graph, attention_mask.dim(1)), static_cast<double>(c.block));
  const Value last = op::div(op::sub(length, 1.0), static_cast<double>(c.block));
  const Value outer = op::logical_or(op::eq(block, 0.0), op::eq(block, last));
  const Value rows = op::unsqueeze(block, 1);
  const Value near = op::lt(op::abs(op::sub(rows, block)), 2.0);
  const Value outer_rows = op::unsqueeze(outer, 1);
  const Value seen = op::logical_or(op::logical_or(near, outer), outer_rows);
  sight.mask.visible = op::unsqueeze(op::unsqueeze(op::logical_or(seen, is_short), 0), 0);
  const Value again = op::logical_and(op::eq(block, 0.0), op::logical_not(outer_rows));
  const Value more = op::cast(op::logical_and(again, is_long), dtype);
  const double weight = std::log(1 + static_cast<double>(c.random_blocks));
  sight.mask.bias = op::unsqueeze(op::unsqueeze(op::mul(more, weight), 0), 0);
  const Value real = op::logical_or(op::ne(attention_mask, 0.0), is_short);
  sight.keep = op::unsqueeze(op::cast(real, dtype), 2);
  return sight;
}

struct Attention {
  Projections project;
  std::int64_t heads;

  Value operator()(Value x, const Sight& sight) const {
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
    const Sight sight = look(in["attention_mask"], config, x.dtype());
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
  const Value asked = op::logical_and(op::logical_not(behind), op::gt(positions, 0.0));
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
