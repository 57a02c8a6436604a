// ProphetNet: beside the text, its decoder has a stream for each of the next tokens. Only that of the very
// next one makes the logits. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/prophetnet/modeling_prophetnet.py
#include <fmt/format.h>

#include <cmath>

#include "models/common/definition.h"
#include "onnxport/error.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/nn/seq2seq.h"
#include "onnxport/nn/text_encoder.h"

namespace onnxport::models {
namespace {

class ProphetNetOnnxConfig : public TextSeq2SeqOnnxConfig {
 public:
  using TextSeq2SeqOnnxConfig::TextSeq2SeqOnnxConfig;
  NormalizedConfig normalized_config() const override {
    return NormalizedSeq2SeqConfig(config()).with_args(
        {{"hidden_size", "hidden_size"},
         {"encoder_num_layers", "num_encoder_layers"},
         {"decoder_num_layers", "num_decoder_layers"},
         {"encoder_num_attention_heads", "num_encoder_attention_heads"},
         {"decoder_num_attention_heads", "num_decoder_attention_heads"}});
  }
};

constexpr double kEps = 1e-5;  // torch's default, not configurable

struct Config {
  std::int64_t vocab_size, hidden_size, positions, encoder_layers, encoder_heads, encoder_ffn, decoder_layers,
      decoder_heads, decoder_ffn, ngram, buckets, max_distance;
  std::string activation;
  bool tied;

  explicit Config(const PretrainedConfig& c)
      : vocab_size(c.integer("vocab_size")),
        hidden_size(c.integer("hidden_size")),
        positions(c.integer("max_position_embeddings")),
        encoder_layers(c.integer("num_encoder_layers")),
        encoder_heads(c.integer("num_encoder_attention_heads")),
        encoder_ffn(c.integer("encoder_ffn_dim")),
        decoder_layers(c.integer("num_decoder_layers")),
        decoder_heads(c.integer("num_decoder_attention_heads")),
        decoder_ffn(c.integer("decoder_ffn_dim")),
        ngram(c.integer("ngram")),
        buckets(c.integer("num_buckets")),
        max_distance(c.integer("relative_max_distance")),
        activation(c.string("activation_function")),
        tied(c.flag("tie_word_embeddings", true)) {
    check_multiple(c, "hidden_size", hidden_size, "num_encoder_attention_heads", encoder_heads);
    check_multiple(c, "hidden_size", hidden_size, "num_decoder_attention_heads", decoder_heads);
    if (ngram < 1 || buckets < 2) {
      throw ExportError(ErrorCode::bad_config, fmt::format("{}: ngram is {} and num_buckets {}, expected at "
                                                           "least 1 and 2",
                                                           c.origin(), ngram, buckets));
    }
    // The steps of the original take positions to begin behind it, but distances to begin at 1.
    if (const auto pad = c.maybe_integer("pad_token_id"); pad != 0) {
      throw ExportError(ErrorCode::unsupported, fmt::format("{}: key 'pad_token_id' is {}, expected 0",
                                                            c.origin(), pad ? fmt::to_string(*pad) : "null"));
    }
    // The last two are for the loss.
    c.harmless({"is_encoder_decoder", "add_cross_attention", "disable_ngram_loss", "eps"});
  }
  std::int64_t head_dim() const { return hidden_size / decoder_heads; }
};

// x -> norm(x + f(x))
Value post_norm(const nn::LayerNorm& norm, Value x, Value change) { return norm(op::add(x, change)); }

// The buckets of distances between S queries and the keys up to the last of them: int [S, P + S].
// `offset` is added to the number of a key.
Value buckets_of(const nn::DecoderPass& pass, const Config& c, double offset) {
  Graph& graph = pass.graph();
  const Value keys = op::add(op::arange(graph, pass.total_length()), offset);
  const Value queries = op::unsqueeze(op::arange(graph, pass.length(), pass.past_length()), 1);
  const Value behind = op::unsqueeze(op::sub(queries, keys), 2);
  const std::vector<std::int64_t> steps = nn::relative_bucket_thresholds(c.buckets, c.max_distance);
  const Value known = graph.weight(Weight::from_ints({static_cast<std::int64_t>(steps.size())}, steps));
  return op::sum(op::cast(op::ge(behind, known), DType::i64), 2);
}

// What all layers share.
struct Streams {
  Value main_buckets, next_buckets;  // of the keys of the text
  Value next_visible;                // bool [1, 1, S, P + S + S]: keys of the text, then of its own stream

  Streams(const nn::DecoderPass& pass, const Config& c)
      : main_buckets(buckets_of(pass, c, 0)), next_buckets(buckets_of(pass, c, -1)) {
    Graph& graph = pass.graph();
    const Value keys = op::arange(graph, pass.total_length());
    const Value queries = op::unsqueeze(op::arange(graph, pass.length(), pass.past_length()), 1);
    const Value number = op::arange(graph, pass.length());
    const Value own = op::eq(op::unsqueeze(number, 1), number);
    const Value seen = op::concat({op::le(keys, queries), own}, 1);
    next_visible = op::unsqueeze(op::unsqueeze(seen, 0), 0);
  }
};

// Queries make a bias for each bucket of distances.
struct SelfAttention {
  std::string path;
  std::int64_t layer, heads;
  nn::Linear query_proj, key_proj, value_proj, out_proj, relative_pos_embeddings;

  SelfAttention(const Scope& s, std::int64_t number, const Config& c)
      : path(s.path()),
        layer(number),
        heads(c.decoder_heads),
        query_proj(s / "query_proj", c.hidden_size, c.hidden_size),
        key_proj(s / "key_proj", c.hidden_size, c.hidden_size),
        value_proj(s / "value_proj", c.hidden_size, c.hidden_size),
        out_proj(s / "out_proj", c.hidden_size, c.hidden_size),
        relative_pos_embeddings(s / "relative_pos_embeddings", c.hidden_size, c.buckets * c.decoder_heads) {}

  // x [B, 2 S, H]: the text, then the stream of the next token
  Value operator()(Value x, const Streams& shared, nn::DecoderPass& pass) const {
    const ModulePath at(x, path);
    const Value query = query_proj(x);
    const Value key = key_proj(x);
    const Value value = value_proj(x);
    const Value bias = relative_pos_embeddings(x);
    const Dim n = pass.length();
    const auto text = [&](Value v) { return op::slice(v, 1, 0, n); };
    const auto next = [&](Value v) { return op::slice(v, 1, n, n * 2); };

    const nn::KeyValue past = pass.past(layer);
    op::AttentionOperands own{.query = text(query), .key = text(key), .value = text(value)};
    own.past_key = past.key;
    own.past_value = past.value;
    own.mask = pass.mask();
    own.mask.bias = gathered(text(bias), shared.main_buckets);
    const op::AttentionResults main = op::attention(own, heads, heads);
    pass.keep(layer, {main.key, main.value});

    op::AttentionOperands both{.query = next(query)};
    both.key = op::concat({main.key, nn::split_heads(next(key), heads)}, 2);
    both.value = op::concat({main.value, nn::split_heads(next(value), heads)}, 2);
    both.mask.visible = shared.next_visible;
    const Value by_bucket = next(bias);
    const Value none = op::mul(shared.next_buckets, 0.0);  // its own key has bucket 0
    const Value buckets = op::concat({shared.next_buckets, op::slice(none, 1, 0, n)}, 1);
    both.mask.bias = gathered(by_bucket, buckets);
    const Value stream = op::attention(both, heads, heads).output;
    return out_proj(op::concat({main.output, stream}, 1));
  }

 private:
  // [B, S, buckets * heads], buckets [S, K] -> [B, heads, S, K]
  Value gathered(Value by_bucket, Value buckets) const {
    const Shape& shape = by_bucket.shape();
    const std::int64_t count = *shape[2].constant() / heads;
    const Value split = op::reshape(by_bucket, {shape[0], shape[1], count, heads});
    const Value table = op::permute(split, {0, 3, 1, 2});
    const Value index = op::unsqueeze(op::unsqueeze(buckets, 0), 0);
    return op::gather(table, 3, op::expand(index, {shape[0], heads, shape[1], buckets.dim(1)}));
  }
};

struct DecoderLayer {
  SelfAttention self_attn;
  nn::CrossAttention cross_attn;
  nn::Mlp feed_forward;
  nn::LayerNorm self_attn_norm, cross_attn_norm, feed_forward_norm;

  DecoderLayer(const Scope& s, std::int64_t number, const Config& c)
      : self_attn(s / "self_attn", number, c),
        cross_attn(s / "cross_attn",
                   {.sizes = {c.hidden_size, c.decoder_heads, c.decoder_heads, c.head_dim()},
                    .query = "query_proj",
                    .key = "key_proj",
                    .value = "value_proj"}),
        feed_forward((s / "feed_forward").path(),
                     nn::Linear(s / "feed_forward.intermediate", c.hidden_size, c.decoder_ffn),
                     nn::Linear(s / "feed_forward.output", c.decoder_ffn, c.hidden_size), c.activation),
        self_attn_norm(s / "self_attn_layer_norm", c.hidden_size, kEps),
        cross_attn_norm(s / "cross_attn_layer_norm", c.hidden_size, kEps),
        feed_forward_norm(s / "feed_forward_layer_norm", c.hidden_size, kEps) {}
  Value operator()(Value x, const Streams& streams, nn::Seq2SeqPass& pass, std::int64_t number) const {
    x = post_norm(self_attn_norm, x, self_attn(x, streams, pass));
    x = post_norm(cross_attn_norm, x, cross_attn(x, pass, number));
    return post_norm(feed_forward_norm, x, feed_forward(x));
  }
};

nn::EncoderLayerParameters encoder_layer(const Config& c) {
  nn::EncoderLayerParameters p;
  p.attention = {.hidden_size = c.hidden_size,
                 .heads = c.encoder_heads,
                 .query = "query_proj",
                 .key = "key_proj",
                 .value = "value_proj",
                 .output = "out_proj"};
  p.intermediate_size = c.encoder_ffn;
  p.activation = c.activation;
  p.eps = kEps;
  p.attention_key = "self_attn";
  p.attention_norm = "self_attn_layer_norm";
  p.up = "feed_forward.intermediate";
  p.down = "feed_forward.output";
  p.output_norm = "feed_forward_layer_norm";
  return p;
}

// Position numbers of tokens, from 1 on; those beyond the table have its last row.
Value positions_of(Graph& graph, const Config& c, const Dim& length) {
  return op::minimum(op::arange(graph, length, 1), static_cast<double>(c.positions - 1));
}

Value encode(const Scope& s, const Config& c, const nn::Embedding& words, const Inputs& in) {
  const nn::Embedding positions(s / "position_embeddings", c.positions, c.hidden_size);
  const nn::LayerNorm norm(s / "embeddings_layer_norm", c.hidden_size, kEps);
  const nn::PostNormEncoder encoder(s / "layers", c.encoder_layers, encoder_layer(c));
  const Value embedded = words(in["input_ids"]);
  const Value placed = positions(positions_of(embedded.graph(), c, embedded.dim(1)));
  const Value x = norm(op::add(embedded, placed));
  return encoder(x, nn::padding_mask(in["attention_mask"]));
}

Value decode(const Scope& s, const Config& c, const nn::Embedding& words, nn::Seq2SeqPass& pass) {
  const nn::Embedding positions(s / "position_embeddings", c.positions, c.hidden_size);
  const nn::LayerNorm norm(s / "embeddings_layer_norm", c.hidden_size, kEps);
  const Weight streams = s.weight("ngram_embeddings.weight", {c.ngram, c.hidden_size});
  Graph& graph = pass.graph();
  const Value ids = pass.input_ids();
  // Not cut: the stream reads one position more, and fails beyond the table.
  const Value place = op::arange(graph, pass.length(), pass.past_length() + 1);
  const Value placed = positions(place);
  const Value text = op::add(words(ids), placed);
  // The stream of the very next token has the last of these embeddings.
  const Value of_stream = graph.weight(streams.slice(0, c.ngram - 1, c.ngram));
  const Value next = op::add(positions(op::add(place, 1.0)), of_stream);  // [S, H]
  const Value in_rows = op::expand(op::unsqueeze(next, 0), text.shape());
  Value x = norm(op::concat({text, in_rows}, 1));
  const Streams shared(pass, c);
  for (std::int64_t i = 0; i < c.decoder_layers; ++i)
    x = DecoderLayer(s / "layers" / i, i, c)(x, shared, pass, i);
  return op::slice(x, 1, pass.length(), pass.length() * 2);
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const Scope base = root.base_model("prophetnet");
  const nn::Embedding words(base / "word_embeddings", c.vocab_size, c.hidden_size);
  for (const char* copy : {"encoder.word_embeddings.weight", "decoder.word_embeddings.weight"})
    base.ignore(copy);
  const Weight tied = c.tied ? words.weight() : Weight();
  return nn::build_seq2seq_task(
      component, inputs,
      {.encode = [&](const Inputs& in) { return encode(base / "encoder", c, words, in); },
       .decode = [&](nn::Seq2SeqPass& pass) { return decode(base / "decoder", c, words, pass); },
       .lm_head = nn::language_head(root / "lm_head", tied, c.vocab_size, c.hidden_size)});
}

}  // namespace

void register_prophetnet(TasksManager& tasks) {
  tasks.register_model<ProphetNetOnnxConfig>(
      {.model_type = "prophetnet",
       .tasks = {"text2text-generation-with-past"},
       .forward = forward,
       .key_names = {
           .embeddings = {"prophetnet.word_embeddings.weight", "prophetnet.encoder.word_embeddings.weight",
                          "prophetnet.decoder.word_embeddings.weight"},
           .head = "lm_head.weight"}});
}

}  // namespace onnxport::models
