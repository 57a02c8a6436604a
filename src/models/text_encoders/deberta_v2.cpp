// DeBERTa v2 and v3. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/deberta_v2/modeling_deberta_v2.py
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>

#include "models/common/definition.h"
#include "onnxport/error.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/nn/text_tasks.h"
#include "onnxport/text_encoder_config.h"

namespace onnxport::models {
namespace {

class DebertaV2OnnxConfig : public TextEncoderOnnxConfig {
 public:
  using TextEncoderOnnxConfig::TextEncoderOnnxConfig;
  AxesByName inputs() const override {
    if (config().integer("type_vocab_size") < 1) return text_inputs({"input_ids", "attention_mask"});
    return text_inputs({"input_ids", "attention_mask", "token_type_ids"});
  }
};

// `a|b` or a list; all of them must be in `known`.
std::vector<std::string> choices(const PretrainedConfig& c, const char* key,
                                 const std::vector<std::string>& known) {
  std::vector<std::string> found;
  if (!c.has(key)) return found;
  for (const std::string& text : c.strings(key)) {
    for (std::size_t begin = 0; begin <= text.size();) {
      const std::size_t end = std::min(text.find('|', begin), text.size());
      std::string word = text.substr(begin, end - begin);
      std::erase(word, ' ');
      std::transform(word.begin(), word.end(), word.begin(),
                     [](unsigned char ch) { return std::tolower(ch); });
      if (std::find(known.begin(), known.end(), word) == known.end()) {
        throw ExportError(ErrorCode::bad_config, fmt::format("{}: {} is '{}', expected {}", c.origin(), key,
                                                             text, fmt::join(known, " and ")));
      }
      found.push_back(word);
      begin = end + 1;
    }
  }
  return found;
}

bool has(const std::vector<std::string>& list, const char* word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

struct Config : TextEncoderConfig {
  std::int64_t embedding_size, conv_kernel_size, conv_groups;
  std::string pooler_hidden_act, conv_act;
  bool position_biased_input, legacy, relative_attention, share_att_key, norm_rel_ebd;
  bool c2p, p2c;  // which terms with positions the scores have
  std::int64_t max_relative_positions, buckets;

  explicit Config(const PretrainedConfig& c)
      : TextEncoderConfig(c),
        embedding_size(c.maybe_integer("embedding_size").value_or(hidden_size)),
        conv_kernel_size(c.integer("conv_kernel_size")),
        conv_groups(c.integer("conv_groups")),
        pooler_hidden_act(c.string("pooler_hidden_act")),
        conv_act(c.string("conv_act")),
        position_biased_input(c.flag("position_biased_input")),
        legacy(c.flag("legacy")),
        relative_attention(c.flag("relative_attention")),
        share_att_key(c.flag("share_att_key")),
        norm_rel_ebd(has(choices(c, "norm_rel_ebd", {"none", "layer_norm"}), "layer_norm")),
        max_relative_positions(c.integer("max_relative_positions")),
        buckets(c.integer("position_buckets")) {
    const std::vector<std::string> terms = choices(c, "pos_att_type", {"c2p", "p2c"});
    c2p = has(terms, "c2p");
    p2c = has(terms, "p2c");
    if (max_relative_positions < 1) max_relative_positions = max_position_embeddings;
    const auto refuse = [&](const std::string& what) {
      throw ExportError(ErrorCode::bad_config, fmt::format("{}: {}", c.origin(), what));
    };
    // The original's modules accept other sizes, but its additions then fail.
    if (const auto width = c.maybe_integer("pooler_hidden_size"); width && *width != hidden_size)
      refuse(fmt::format("pooler_hidden_size is {}, expected hidden_size {}", *width, hidden_size));
    const std::int64_t head_size = hidden_size / num_attention_heads;
    if (const auto size = c.maybe_integer("attention_head_size"); size && *size != head_size)
      refuse(fmt::format("attention_head_size is {}, expected {}", *size, head_size));
    if (conv_kernel_size > 0 && conv_kernel_size % 2 == 0)
      refuse(fmt::format("conv_kernel_size is {}, expected an odd number", conv_kernel_size));
    if (conv_groups < 1 || hidden_size % conv_groups != 0)
      refuse(fmt::format("conv_groups is {}, expected a divisor of {}", conv_groups, hidden_size));
    if (!relative_attention) return;
    constexpr std::int64_t kMost = 1 << 20;  // the table of distances is made here
    if (max_relative_positions > kMost || max_relative_positions < 1)
      refuse(fmt::format("max_relative_positions is {}, expected 1 to {}", max_relative_positions, kMost));
    // With an odd number, the buckets of far distances would never end.
    if (buckets > 0 && (buckets % 2 != 0 || max_relative_positions - 1 <= buckets / 2))
      refuse(fmt::format("position_buckets is {}, expected an even number below {}", buckets,
                         2 * (max_relative_positions - 1)));
  }
  // Half the rows of the table of positions.
  std::int64_t span() const { return buckets > 0 ? buckets : max_relative_positions; }
  nn::LayerNorm norm(const Scope& s) const { return {s, hidden_size, layer_norm_eps}; }
};

// ---- positions ----

// The bucket of a distance m >= 0: small distances have their own bucket, larger ones grow with the
// logarithm. Computed in float, like the original.
std::int64_t bucket(std::int64_t m, const Config& c) {
  const std::int64_t middle = c.buckets / 2;
  if (c.buckets < 1 || m <= middle) return m;
  const auto logarithm = [&](std::int64_t distance) {
    return std::log(static_cast<float>(distance) / static_cast<float>(middle));
  };
  const float ratio = logarithm(m) / logarithm(c.max_relative_positions - 1);
  return middle + static_cast<std::int64_t>(std::ceil(ratio * static_cast<float>(middle - 1)));
}

// Rows of the tables of positions for the distances -S, …, S - 1, int64 [2 S]. They depend only on the
// length, so all layers share them.
struct Distances {
  Value ahead;   // row of distance d
  Value behind;  // row of distance -d

  Distances(Graph& graph, const Dim& length, const Config& c) {
    const std::int64_t span = c.span();
    std::int64_t farthest = 0;  // beyond, all have the same row
    while (farthest < 2 * c.max_relative_positions && bucket(farthest, c) < span) ++farthest;
    std::vector<std::int64_t> rows;
    for (std::int64_t d = -farthest; d <= farthest; ++d) {
      const std::int64_t place = span + (d < 0 ? -bucket(-d, c) : bucket(d, c));
      rows.push_back(std::clamp<std::int64_t>(place, 0, 2 * span - 1));
    }
    const std::int64_t count = 2 * farthest + 1;
    const Value table = graph.weight(Weight::from_ints({count}, rows));
    std::reverse(rows.begin(), rows.end());
    const Value mirrored = graph.weight(Weight::from_ints({count}, rows));
    const Value distance = op::arange(graph, length * 2, Dim(farthest) - length);
    const Value within = op::minimum(op::maximum(distance, 0.0), static_cast<double>(count - 1));
    ahead = op::embedding(table, within);
    behind = op::embedding(mirrored, within);
  }
};

// Values that all layers share.
struct Sight {
  Value mask;       // added to the scores [B, 1, S, S]
  Value positions;  // the table [2 span, H], or absent
  std::optional<Distances> distances;
};

// x [B, heads, S, 2 S], where column c of row i belongs to position i + c - S: -> [B, heads, S, S] with the
// columns of positions 0, …, S - 1. In row-major order, element (i, j) is at i (2 S - 1) + j + S, so a
// reshape selects the columns without any index.
Value align(Value x) {
  const Dim& length = x.dim(2);
  const Value flat = op::flatten(x, 2, 3);
  const Value cut = op::slice(flat, 2, length, flat.dim(2));
  const Value rows = op::reshape(cut, {x.dim(0), x.dim(1), length, length * 2 - 1});
  return op::slice(rows, 3, 0, length);
}

// ---- layers ----

// Scores are content to content, content to position (c2p) and position to content (p2c). (He et al. 2020)
// All have the same scale, and each contains a query, so the queries are scaled.
struct DisentangledSelfAttention {
  std::string path;
  std::int64_t heads;
  double scale;
  nn::Linear query_proj, key_proj, value_proj;
  std::optional<nn::Linear> pos_key_proj, pos_query_proj;

  static double scale_of(const Config& c) {
    const std::int64_t head_dim = c.hidden_size / c.num_attention_heads;
    const std::int64_t terms = 1 + (c.c2p ? 1 : 0) + (c.p2c ? 1 : 0);
    return 1.0 / std::sqrt(static_cast<double>(head_dim * terms));
  }

  DisentangledSelfAttention(const Scope& s, const Config& c)
      : path(s.path()),
        heads(c.num_attention_heads),
        scale(scale_of(c)),
        query_proj(s / "query_proj", c.hidden_size, c.hidden_size),
        key_proj(s / "key_proj", c.hidden_size, c.hidden_size),
        value_proj(s / "value_proj", c.hidden_size, c.hidden_size) {
    if (!c.relative_attention) return;
    if (c.c2p)
      pos_key_proj =
          c.share_att_key ? key_proj : nn::Linear(s / "pos_key_proj", c.hidden_size, c.hidden_size);
    if (c.p2c)
      pos_query_proj =
          c.share_att_key ? query_proj : nn::Linear(s / "pos_query_proj", c.hidden_size, c.hidden_size);
  }

  // x [B, heads, S, d] with the positions [2 span, heads * d] at the distances of `rows`: [B, heads, S, S].
  Value term(Value x, Value positions, Value rows) const {
    const Value by_head = op::reshape(positions, {positions.dim(0), heads, x.dim(3)});
    const Value near = op::permute(op::embedding(by_head, rows), {1, 2, 0});
    return align(op::matmul(x, near));
  }

  Value operator()(Value x, const Sight& sight) const {
    const ModulePath at(x, path);
    const Value query = op::mul(query_proj(x), scale);
    const Value key = key_proj(x);
    const Value value = value_proj(x);
    Value added = sight.mask;
    if (pos_key_proj) {  // query i looks at distance i - j
      const Value keys = (*pos_key_proj)(sight.positions);
      added = op::add(term(nn::split_heads(query, heads), keys, sight.distances->behind), added);
    }
    if (pos_query_proj) {  // key j is looked at from distance i - j
      const Value queries = op::mul((*pos_query_proj)(sight.positions), scale);
      const Value by_key = term(nn::split_heads(key, heads), queries, sight.distances->ahead);
      added = op::add(op::transpose(by_key, 2, 3), added);
    }
    const op::AttentionOperands operands = {
        .query = query, .key = key, .value = value, .mask = {.bias = added}};
    return op::attention(operands, heads, heads, {.scale = 1.0}).output;
  }
};

struct Layer {
  std::string path;
  DisentangledSelfAttention attention;
  nn::Linear attention_output;
  nn::LayerNorm attention_norm;
  nn::Mlp mlp;
  nn::LayerNorm output_norm;

  Layer(const Scope& s, const Config& c)
      : path(s.path()),
        attention(s / "attention" / "self", c),
        attention_output(s / "attention" / "output" / "dense", c.hidden_size, c.hidden_size),
        attention_norm(c.norm(s / "attention" / "output" / "LayerNorm")),
        mlp(s.path(), nn::Linear(s / "intermediate" / "dense", c.hidden_size, c.intermediate_size),
            nn::Linear(s / "output" / "dense", c.intermediate_size, c.hidden_size), c.hidden_act),
        output_norm(c.norm(s / "output" / "LayerNorm")) {}

  Value operator()(Value x, const Sight& sight) const {
    const ModulePath at(x, path);
    const Value context = attention(x, sight);
    const Value attended = attention_norm(op::add(attention_output(context), x));
    return output_norm(op::add(mlp(attended), attended));
  }
};

// norm(first layer's result for x + act(conv(x))), without padding.
struct ConvLayer {
  std::string path;
  Weight weight, bias;
  std::int64_t groups, padding;
  nn::Activation activation;
  nn::LayerNorm norm;

  ConvLayer(const Scope& s, const Config& c)
      : path(s.path()),
        weight((s / "conv")
                   .weight("weight", {c.hidden_size, c.hidden_size / c.conv_groups, c.conv_kernel_size})),
        bias((s / "conv").weight("bias", {c.hidden_size})),
        groups(c.conv_groups),
        padding(c.conv_kernel_size / 2),
        activation(c.conv_act),
        norm(c.norm(s / "LayerNorm")) {}

  // keep: [B, S, 1], 0 where there is padding
  Value operator()(Value x, Value residual, Value keep) const {
    const ModulePath at(x, path);
    const Value kernel = x.graph().weight(weight);
    const op::ConvOptions options = {.padding = {padding}, .groups = groups};
    const Value mixed = op::conv1d(op::permute(x, {0, 2, 1}), kernel, x.graph().weight(bias), options);
    const Value kept = op::mul(op::permute(mixed, {0, 2, 1}), keep);
    return op::mul(norm(op::add(residual, activation(kept))), keep);
  }
};

struct Embeddings {
  std::string path;
  nn::Embedding word_embeddings;
  std::optional<nn::Embedding> position_embeddings, token_type_embeddings;
  std::optional<nn::Linear> embed_proj;
  nn::LayerNorm norm;

  Embeddings(const Scope& s, const Config& c)
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

struct DebertaV2 {
  const Config& config;
  Embeddings embeddings;
  std::string positions_path;
  Weight rel_embeddings;
  std::optional<nn::LayerNorm> rel_norm;
  std::vector<Layer> layers;
  std::optional<ConvLayer> conv;

  DebertaV2(const Scope& s, const Config& c)
      : config(c), embeddings(s / "embeddings", c), positions_path((s / "encoder").path()) {
    const Scope encoder = s / "encoder";
    if (c.relative_attention && (c.c2p || c.p2c)) {
      rel_embeddings = (encoder / "rel_embeddings").weight("weight", {2 * c.span(), c.hidden_size});
      if (c.norm_rel_ebd) rel_norm.emplace(c.norm(encoder / "LayerNorm"));
    } else {
      for (const char* unused : {"rel_embeddings", "LayerNorm"}) encoder.ignore(unused);
    }
    for (std::int64_t i = 0; i < c.num_hidden_layers; ++i) layers.emplace_back(encoder / "layer" / i, c);
    if (c.conv_kernel_size > 0) conv.emplace(encoder / "conv", c);
  }

  // Padding sees no token, and no token sees padding. A padding query attends to all keys equally.
  Value mask(Value attention_mask, DType dtype) const {
    const Value keys = nn::padding_bias(attention_mask, dtype);
    return op::minimum(keys, op::transpose(keys, 2, 3));
  }

  Value operator()(const Inputs& in) const {
    const Value ids = in["input_ids"];
    const Value attention_mask = in["attention_mask"];
    Graph& graph = ids.graph();
    Value x = embeddings(ids, in.get("token_type_ids"));
    const Value keep = op::unsqueeze(op::cast(attention_mask, x.dtype()), 2);
    x = op::mul(x, keep);
    Sight sight;
    {
      const ModulePath at(graph, positions_path);
      sight.mask = mask(attention_mask, x.dtype());
      if (rel_embeddings) {
        const Value stored = graph.weight(rel_embeddings);
        sight.positions = rel_norm ? (*rel_norm)(stored) : stored;
        sight.distances.emplace(graph, ids.dim(1), config);
      }
    }
    const Value embedded = x;
    for (std::size_t i = 0; i < layers.size(); ++i) {
      x = layers[i](x, sight);
      if (i == 0 && conv) x = (*conv)(embedded, x, keep);
    }
    return x;
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const DebertaV2 deberta(root.base_model("deberta"), c);
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
    const nn::Linear dense(root / "pooler" / "dense", c.hidden_size, c.hidden_size);
    return nn::Activation(c.pooler_hidden_act)(dense(nn::first_token(hidden)));
  };
  const auto classify = [&](Value hidden) {
    const Value pooled = pool(hidden);
    return nn::Linear(root / "classifier", c.hidden_size, c.num_labels)(pooled);
  };
  return nn::build_text_encoder_task(component.task, inputs, root,
                                     {.encode = deberta,
                                      .fill_mask = fill_mask,
                                      .classify = classify,
                                      .summarize = pool,
                                      .hidden_size = c.hidden_size,
                                      .num_labels = c.num_labels});
}

}  // namespace

void register_deberta_v2(TasksManager& tasks) {
  tasks.register_model<DebertaV2OnnxConfig>({.model_type = "deberta-v2",
                                             .tasks = nn::text_encoder_tasks(),
                                             .forward = forward,
                                             .ignorable_keys = {"lm_predictions.*", "mask_predictions.*"}});
}

}  // namespace onnxport::models
