// Funnel Transformer. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/funnel/modeling_funnel.py
// XLNet's attention over a text that becomes half as long with each block; at the end, all tokens return.
#include "models/text_encoders/common/funnel.h"
#include "models/common/definition.h"
#include "models/text_encoders/common/bert.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/nn/text_tasks.h"

namespace onnxport::models {
namespace {

class FunnelOnnxConfig : public TypedTextOnnxConfig {
 public:
  using TypedTextOnnxConfig::TypedTextOnnxConfig;
  AxesByName outputs() const override {
    if (task() != "feature-extraction" || !is_base()) return TypedTextOnnxConfig::outputs();
    return {{"last_hidden_state", {{0, "batch_size"}, {1, "pooled_sequence_length"}}}};
  }
  Dim axis_length(std::string_view tensor, const std::string& symbol) const override;
  NormalizedConfig normalized_config() const override {
    return NormalizedTextConfig(config()).with_args({{"hidden_size", "d_model"},
                                                     {"num_attention_heads", "n_head"},
                                                     {"num_layers", "num_decoder_layers"}});
  }

 private:
  bool is_base() const { return config().architectures() == std::vector<std::string>{"FunnelBaseModel"}; }
};

// How a text is pooled: token k stands for the tokens first[k] and second[k], which may be one.
struct Pooling {
  Dim length;
  Value first, second;  // int64 [length]
  Value happens;        // bool []; absent: always
};

// Half of n, rounded up; with a first token of its own, 2 tokens stay as they are.
Dim pooled_length(const FunnelConfig& c, const Dim& n) {
  if (!c.separate_cls) return (n + 1).floor_div(2);
  if (!c.truncate) return (n + 2).floor_div(2);
  const Dim is_two = n.min(2) * 2 - n.min(1) - n.min(3);  // 1 for 2 tokens, else 0
  return (n + 1 + is_two).floor_div(2);
}

Dim FunnelOnnxConfig::axis_length(std::string_view tensor, const std::string& symbol) const {
  if (symbol != "pooled_sequence_length") return TypedTextOnnxConfig::axis_length(tensor, symbol);
  const FunnelConfig c(config().unaccounted());
  Dim length = Dim::symbol("sequence_length");
  for (std::size_t block = 1; block < c.blocks.size(); ++block) length = pooled_length(c, length);
  return length;
}

Pooling make_pooling(Graph& graph, const FunnelConfig& c, const Dim& n) {
  const Dim length = pooled_length(c, n);
  const Value rows = op::arange(graph, length);
  const Value doubled = op::mul(rows, 2.0);
  const Value last = op::sub(op::size(graph, n), c.separate_cls && c.truncate ? 2.0 : 1.0);
  if (!c.separate_cls) return {length, doubled, op::minimum(op::add(doubled, 1.0), last), {}};
  // The first token counts twice, so that it stays alone.
  const Value first = op::maximum(op::sub(doubled, 1.0), 0.0);
  const Value second = op::maximum(op::minimum(doubled, last), 0.0);
  const Value happens = op::gt(op::size(graph, n), 2.0);
  return {length, op::where(happens, first, rows), op::where(happens, second, rows), happens};
}

// Rows of axis 1 of x [B, n, …].
Value pick(Value x, Value rows) {
  if (x.rank() == 2) return op::permute(op::embedding(op::permute(x, {1, 0}), rows), {1, 0});
  return op::permute(op::embedding(op::permute(x, {1, 0, 2}), rows), {1, 0, 2});
}

// `kind`: mean, max or min.
Value pool(Value x, const Pooling& pooling, std::string_view kind) {
  const Value first = pick(x, pooling.first);
  const Value second = pick(x, pooling.second);
  if (kind == "max") return op::maximum(first, second);
  if (kind == "min") return op::minimum(first, second);
  return op::mul(op::add(first, second), 0.5);
}

// A text between two layers.
struct Text {
  Value hidden;   // [B, n, width]
  Value mask;     // float [B, n]: 1 for real tokens
  Value types;    // int64 [B, n]
  Value factors;  // int64 [n]: positions in attention of the type "factorized"
};

Text begin_text(Value hidden, Value mask, Value types) {
  return {hidden, mask, types, op::arange(hidden.graph(), hidden.dim(1))};
}

// Of the tokens of a text whose tokens stand for 2 ** `depth` each.
FunnelPlaces places(const FunnelConfig& c, const Text& text, std::int64_t depth) {
  if (c.factorized) return {text.factors, text.types};
  const Value rows = op::arange(text.hidden.graph(), text.hidden.dim(1));
  return {op::mul(rows, static_cast<double>(std::int64_t{1} << depth)), text.types};
}

// The first layer of a block sees pooled queries, and maybe the keys of before.
Text pooling_layer(const FunnelLayer& layer, const FunnelConfig& c, const Text& text, std::int64_t depth) {
  Graph& graph = text.hidden.graph();
  const Pooling pooling = make_pooling(graph, c, text.hidden.dim(1));
  Text pooled;
  pooled.hidden = pool(text.hidden, pooling, c.mean ? "mean" : "max");
  pooled.mask = pool(text.mask, pooling, "min");
  pooled.types = pick(text.types, pooling.first);
  pooled.factors = op::embedding(text.factors, pooling.first);
  FunnelPlaces from = places(c, pooled, depth);
  if (!c.pool_queries_only) {
    pooled.hidden = layer(pooled.hidden, pooled.hidden, from, from, pooled.mask);
    return pooled;
  }
  FunnelPlaces to = places(c, text, depth - 1);
  if (pooling.happens && !c.factorized) {
    const double back = -static_cast<double>(std::int64_t{1} << (depth - 1));
    const Value moved = op::add(from.position, back);
    from.position = op::where(pooling.happens, moved, from.position);
    to.position = op::where(pooling.happens, to.position, op::mul(to.position, 2.0));
  }
  pooled.hidden = layer(pooled.hidden, text.hidden, from, to, text.mask);
  return pooled;
}

// Each token stands again for those that it was made of: [B, n, width] -> [B, length, width].
Value upsample(const FunnelConfig& c, Value x, const Dim& length) {
  const auto stride = static_cast<double>(std::int64_t{1} << (c.blocks.size() - 1));
  if (stride == 1) return x;
  Graph& graph = x.graph();
  const Value tokens = op::arange(graph, length);
  const Value last = op::sub(op::size(graph, x.dim(1)), 1.0);
  if (!c.separate_cls) return pick(x, op::minimum(op::div(tokens, stride), last));
  // Truncating integer division gives the first token 0, as it should be.
  const Value owner = op::div(op::add(tokens, stride - 1), stride);
  Value repeated = pick(x, op::minimum(owner, last));
  if (!c.truncate) return repeated;
  const Value known = op::cast(op::le(owner, last), x.dtype());
  return op::mul(repeated, op::unsqueeze(known, 1));
}

struct Funnel {
  FunnelConfig config;
  nn::Embedding words;
  nn::LayerNorm embeddings_norm;
  std::vector<std::vector<FunnelLayer>> blocks;
  std::vector<FunnelLayer> decoder;

  Funnel(const Scope& s, const FunnelConfig& c, bool with_decoder)
      : config(c),
        words(s / "embeddings" / "word_embeddings", c.vocab_size, c.width),
        embeddings_norm(c.norm(s / "embeddings" / "layer_norm")) {
    for (std::size_t b = 0; b < c.blocks.size(); ++b) {
      blocks.emplace_back();
      for (std::int64_t i = 0; i < c.blocks[b]; ++i)
        blocks.back().emplace_back(s / "encoder" / "blocks" / static_cast<std::int64_t>(b) / i, c);
    }
    for (std::int64_t i = 0; with_decoder && i < c.decoder_layers; ++i)
      decoder.emplace_back(s / "decoder" / "layers" / i, c);
  }

  // The pooled text; and what `early` becomes: the hidden states after as many layers as the first block has.
  Value encode(Text text, Value& early) const {
    std::int64_t passed = 0;
    for (std::size_t b = 0; b < blocks.size(); ++b) {
      const auto depth = static_cast<std::int64_t>(b);
      bool pooling = b > 0;
      for (const FunnelLayer& layer : blocks[b]) {
        for (std::int64_t i = 0; i < config.repeats[b]; ++i) {
          if (pooling) {
            text = pooling_layer(layer, config, text, depth);
          } else {
            const FunnelPlaces own = places(config, text, depth);
            text.hidden = layer(text.hidden, text.hidden, own, own, text.mask);
          }
          pooling = false;
          if (++passed == config.blocks[0]) early = text.hidden;
        }
      }
    }
    return text.hidden;
  }

  Value operator()(const Inputs& in, bool decode) const {
    const Value ids = in["input_ids"];
    const Value embedded = embeddings_norm(words(ids));
    const Value mask = op::cast(in["attention_mask"], DType::f32);
    const Value given = in.get("token_type_ids");
    const Value types = given ? given : op::mul(ids, 0.0);
    Value early;
    Value pooled = encode(begin_text(embedded, mask, types), early);
    if (!decode) return pooled;
    Text text = begin_text(op::add(upsample(config, pooled, ids.dim(1)), early), mask, types);
    for (const FunnelLayer& layer : decoder) {
      const FunnelPlaces own = places(config, text, 0);
      text.hidden = layer(text.hidden, text.hidden, own, own, text.mask);
    }
    return text.hidden;
  }
};

// linear_out(tanh(linear_hidden(first token)))
Value classify(const Scope& s, const FunnelConfig& c, Value hidden, std::int64_t labels) {
  const nn::Linear dense(s / "linear_hidden", c.width, c.width);
  return nn::Linear(s / "linear_out", c.width, labels)(op::tanh(dense(nn::first_token(hidden))));
}

bool is_base(const PretrainedConfig& config) {
  return config.architectures() == std::vector<std::string>{"FunnelBaseModel"};
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const FunnelConfig c(model.config());
  const Scope root = model.scope();
  const std::string& task = component.task;
  const bool pooled = task == "text-classification" || task == "multiple-choice" ||
                      (task == "feature-extraction" && is_base(model.config()));
  const Funnel funnel(root.base_model("funnel"), c, !pooled);
  const auto fill_mask = [&](Value hidden) {
    const Scope head = root / "lm_head";
    const Weight own = c.tied ? funnel.words.weight() : head.weight("weight", {c.vocab_size, c.width});
    head.ignore("weight");
    return nn::Linear(head.path(), own, head.weight("bias", {c.vocab_size}))(hidden);
  };
  const Scope classifier = root / "classifier";
  return nn::build_text_encoder_task(
      task, inputs, root,
      {.encode = [&](const Inputs& in) { return funnel(in, !pooled); },
       .fill_mask = fill_mask,
       .classify = [&](Value hidden) { return classify(classifier, c, hidden, c.num_labels); },
       .choose = [&](Value hidden) { return classify(classifier, c, hidden, 1); },
       .hidden_size = c.width,
       .num_labels = c.num_labels});
}

}  // namespace

void register_funnel(TasksManager& tasks) {
  tasks.register_model<FunnelOnnxConfig>({.model_type = "funnel",
                                          .tasks = nn::text_encoder_tasks(),
                                          .forward = forward,
                                          .ignorable_keys = {"discriminator_predictions.*"},
                                          .key_names = tied("funnel.embeddings.word_embeddings", "lm_head")});
}

}  // namespace onnxport::models
