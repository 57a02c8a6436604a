// MobileBERT. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/mobilebert/modeling_mobilebert.py
// BERT whose layers compute in a narrow width between two projections, without normalization.
#include "models/common/definition.h"
#include "models/text_encoders/common/bert.h"
#include "models/text_encoders/common/refuse.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/nn/text_tasks.h"
#include "onnxport/text_encoder_config.h"

namespace onnxport::models {
namespace {

constexpr double kDefaultEps = 1e-5;  // of two norms that the original makes without an epsilon

struct Config : TextEncoderConfig {
  std::int64_t embedding_size, width, feed_forwards;  // width: of a layer's inside
  bool trigrams, bottleneck, bottleneck_attention, shared_query_key, normalize, pooler_dense;

  explicit Config(const PretrainedConfig& c)
      : TextEncoderConfig(c),
        embedding_size(c.integer("embedding_size")),
        width(hidden_size),
        feed_forwards(c.integer("num_feedforward_networks")),
        trigrams(c.flag("trigram_input")),
        bottleneck(c.flag("use_bottleneck")),
        bottleneck_attention(c.flag("use_bottleneck_attention")),
        shared_query_key(c.flag("key_query_shared_bottleneck")),
        normalize(c.string("normalization_type") == "layer_norm"),
        pooler_dense(c.flag("classifier_activation")) {
    if (const std::string type = c.string("normalization_type"); !normalize && type != "no_norm")
      refuse(c, fmt::format("normalization_type is '{}', expected no_norm or layer_norm", type));
    const std::int64_t narrow = c.integer("intra_bottleneck_size");
    if (bottleneck) width = narrow;
    c.harmless({"true_hidden_size"});  // the class computes it
    check_multiple(c, bottleneck ? "intra_bottleneck_size" : "hidden_size", width, "num_attention_heads",
                   num_attention_heads);
    if (feed_forwards < 1)
      refuse(c, fmt::format("num_feedforward_networks is {}, expected 1 or more", feed_forwards));
    if (embedding_size > hidden_size)
      refuse(c, fmt::format("embedding_size {} is larger than hidden_size {}", embedding_size, hidden_size));
    if (bottleneck && !bottleneck_attention && !shared_query_key && width != hidden_size)
      refuse(c, fmt::format(
                    "without key_query_shared_bottleneck, intra_bottleneck_size {} must be hidden_size {}",
                    width, hidden_size));
  }
};

// A norm, or only its scale and shift.
struct Norm {
  std::string path;
  Weight weight, bias;
  std::optional<double> eps;

  Norm(const Scope& s, std::int64_t width, const Config& c, double e)
      : path(s.path()), weight(s.weight("weight", {width})), bias(s.weight("bias", {width})) {
    if (c.normalize) eps = e;
  }
  Value operator()(Value x) const {
    const ModulePath at(x, path);
    const Value scale = x.graph().weight(weight);
    const Value shift = x.graph().weight(bias);
    return eps ? op::layer_norm(x, scale, shift, *eps) : op::add(op::mul(x, scale), shift);
  }
};

// norm(dense(x) + residual); the residual may be absent.
struct Projection {
  nn::Linear dense;
  Norm norm;

  Projection(const Scope& s, std::int64_t in, std::int64_t out, const Config& c, double eps)
      : dense(s / "dense", in, out), norm(s / "LayerNorm", out, c, eps) {}
  Value operator()(Value x, Value residual = {}) const {
    const Value made = dense(x);
    return norm(residual ? op::add(made, residual) : made);
  }
};

struct FeedForward {
  nn::Linear up;
  nn::Activation activation;
  Projection down;

  FeedForward(const Scope& s, const Config& c, double eps)
      : up(s / "intermediate.dense", c.width, c.intermediate_size),
        activation(c.hidden_act),
        down(s / "output", c.intermediate_size, c.width, c, eps) {}
  Value operator()(Value x) const { return down(activation(up(x)), x); }
};

struct Layer {
  std::string path;
  std::int64_t heads;
  std::optional<Projection> input, shared, output;  // the bottleneck
  nn::Linear query, key, value;
  Projection attention_output;
  std::vector<FeedForward> feed_forwards;

  static std::int64_t value_width(const Config& c) {
    return c.bottleneck_attention ? c.width : c.hidden_size;
  }

  Layer(const Scope& s, const Config& c)
      : path(s.path()),
        heads(c.num_attention_heads),
        query(s / "attention.self.query", c.width, c.width),
        key(s / "attention.self.key", c.width, c.width),
        value(s / "attention.self.value", value_width(c), c.width),
        attention_output(s / "attention.output", c.width, c.width, c, c.layer_norm_eps) {
    for (std::int64_t i = 0; i + 1 < c.feed_forwards; ++i)
      feed_forwards.emplace_back(s / "ffn" / i, c, c.layer_norm_eps);
    feed_forwards.emplace_back(s, c, kDefaultEps);
    if (!c.bottleneck) return;
    input.emplace(s / "bottleneck.input", c.hidden_size, c.width, c, c.layer_norm_eps);
    const Scope attention = s / "bottleneck.attention";
    if (c.shared_query_key && !c.bottleneck_attention)
      shared.emplace(attention, c.hidden_size, c.width, c, c.layer_norm_eps);
    attention.ignore("dense");  // stored, but not used, with use_bottleneck_attention
    attention.ignore("LayerNorm");
    output.emplace(s / "output.bottleneck", c.width, c.hidden_size, c, c.layer_norm_eps);
  }

  Value operator()(Value x, const op::AttentionMask& mask, const Config& c) const {
    const ModulePath at(x, path);
    const Value narrow = input ? (*input)(x) : x;
    const Value seen = shared ? (*shared)(x) : c.bottleneck_attention ? narrow : x;
    const Value queries = query(seen);
    const Value keys = key(seen);
    const Value values = value(c.bottleneck_attention ? narrow : x);
    const Value context =
        op::attention({.query = queries, .key = keys, .value = values, .mask = mask}, heads, heads).output;
    Value hidden = attention_output(context, narrow);
    for (const FeedForward& feed_forward : feed_forwards) hidden = feed_forward(hidden);
    return output ? (*output)(hidden, x) : hidden;
  }
};

struct Embeddings {
  std::string path;
  nn::Embedding words, positions, types;
  std::optional<nn::Linear> transformation;
  Norm norm;
  bool trigrams;

  Embeddings(const Scope& s, const Config& c)
      : path(s.path()),
        words(s / "word_embeddings", c.vocab_size, c.embedding_size),
        positions(s / "position_embeddings", c.max_position_embeddings, c.hidden_size),
        types(s / "token_type_embeddings", c.type_vocab_size, c.hidden_size),
        norm(s / "LayerNorm", c.hidden_size, c, kDefaultEps),
        trigrams(c.trigrams) {
    const Scope dense = s / "embedding_transformation";
    if (trigrams || c.embedding_size != c.hidden_size)
      transformation.emplace(dense, c.embedding_size * (trigrams ? 3 : 1), c.hidden_size);
    for (const char* unused : {"embedding_transformation", "position_ids"}) s.ignore(unused);
  }

  Value operator()(Value ids, Value token_type_ids) const {
    const ModulePath at(ids, path);
    Value x = words(ids);
    if (trigrams) {  // each token between its right and its left neighbour
      const Value padded = op::pad(x, {0, 1, 0}, {0, 1, 0});
      const Value right = op::slice(padded, 1, 2, x.dim(1) + 2);
      const Value left = op::slice(padded, 1, 0, x.dim(1));
      x = op::concat({right, x, left}, 2);
    }
    if (transformation) x = (*transformation)(x);
    x = op::add(x, positions.first(ids.graph(), ids.dim(1)));
    return norm(op::add(x, token_type_ids ? types(token_type_ids) : types.first(ids.graph(), 1)));
  }
};

struct MobileBert {
  Config config;
  Embeddings embeddings;
  std::vector<Layer> layers;

  MobileBert(const Scope& s, const Config& c) : config(c), embeddings(s / "embeddings", c) {
    for (std::int64_t i = 0; i < c.num_hidden_layers; ++i)
      layers.emplace_back(s / "encoder" / "layer" / i, c);
  }

  Value operator()(const Inputs& in) const {
    Value x = embeddings(in["input_ids"], in.get("token_type_ids"));
    const op::AttentionMask mask = nn::padding_mask(in.get("attention_mask"));
    for (const Layer& layer : layers) x = layer(x, mask, config);
    return x;
  }
};

// The output layer has the words in its first columns, and columns of its own.
Value predict(const Scope& s, const Config& c, const Weight& words, Value hidden) {
  const nn::Linear dense(s / "transform.dense", c.hidden_size, c.hidden_size);
  const nn::LayerNorm norm(s / "transform.LayerNorm", c.hidden_size, c.layer_norm_eps);
  const Weight first =
      c.tie_word_embeddings ? words : s.weight("decoder.weight", {c.vocab_size, c.embedding_size});
  const Weight more = s.weight("dense.weight", {c.hidden_size - c.embedding_size, c.vocab_size});
  const std::vector<Weight> columns = {first, more.permute({1, 0})};
  const Weight bias = s.weight(s.has("bias") ? "bias" : "decoder.bias", {c.vocab_size});
  for (const char* copy : {"bias", "decoder"}) s.ignore(copy);
  const nn::Linear decoder((s / "decoder").path(),
                           c.hidden_size > c.embedding_size ? Weight::concat(columns, 1) : first, bias);
  return decoder(norm(nn::Activation(c.hidden_act)(dense(hidden))));
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const Scope base = root.base_model("mobilebert");
  const MobileBert mobilebert(base, c);
  const auto fill_mask = [&](Value hidden) {
    return predict(root / "cls" / "predictions", c, mobilebert.embeddings.words.weight(), hidden);
  };
  const auto pool = [&](Value hidden) {
    if (!c.pooler_dense) return nn::first_token(hidden);
    return nn::Pooler(base / "pooler" / "dense", c.hidden_size)(hidden);
  };
  return nn::build_text_encoder_task(component.task, inputs, root,
                                     pooled_heads(root, c, mobilebert, fill_mask, pool));
}

}  // namespace

void register_mobilebert(TasksManager& tasks) {
  tasks.register_model<TypedTextOnnxConfig>(
      {.model_type = "mobilebert",
       .tasks = nn::text_encoder_tasks(),
       .forward = forward,
       .ignorable_keys = {"cls.seq_relationship.*"},
       .key_names = tied("mobilebert.embeddings.word_embeddings", "cls.predictions.decoder")});
}

}  // namespace onnxport::models
