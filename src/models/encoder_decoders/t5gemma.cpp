// T5Gemma: Gemma 2 as an encoder and a decoder. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/t5gemma/modeling_t5gemma.py
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include "models/common/definition.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/causal_attention.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/seq2seq.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

class T5GemmaOnnxConfig : public TextSeq2SeqOnnxConfig {
 public:
  using TextSeq2SeqOnnxConfig::TextSeq2SeqOnnxConfig;
  NormalizedConfig normalized_config() const override {
    return NormalizedSeq2SeqConfig(config()).with_args(
        {{"hidden_size", "encoder.hidden_size"},
         {"encoder_num_layers", "encoder.num_hidden_layers"},
         {"decoder_num_layers", "decoder.num_hidden_layers"},
         {"encoder_num_attention_heads", "encoder.num_attention_heads"},
         {"decoder_num_attention_heads", "decoder.num_key_value_heads"},  // as the cache has them
         {"head_dim", "decoder.head_dim"}});
  }
};

// The encoder or the decoder.
struct Config {
  TextDecoderConfig text;
  op::AttentionOptions options;
  std::vector<nn::Visibility> visible;
  bool newer;  // made by version 5

  Config(const PretrainedConfig& model, const PretrainedConfig& c)
      : text(c),
        options{.scale = 1 / std::sqrt(c.real("query_pre_attn_scalar"))},
        visible(layer_visibility(layer_types(c, text.num_hidden_layers, 2), text.num_hidden_layers,
                                 c.integer("sliding_window"))),
        newer(model.transformers_major() >= 5) {
    text.vocab_size = model.integer("vocab_size");  // both have that of the model
    text.hidden_act = c.string("hidden_activation");
    text.norm_parameters.offset = 1;
    text.embedding_scale = std::sqrt(static_cast<double>(text.hidden_size));
    text.final_softcap = c.maybe_real("final_logit_softcapping").value_or(0);
    // The default attention of version 4 knows no cap.
    const auto cap = c.maybe_real("attn_logit_softcapping");
    const bool eager = newer || eager_attention(model);
    if (eager) options.softcap = cap.value_or(0);
    text.no_keys = eager ? op::NoKeys::uniform : op::NoKeys::zero;
    c.harmless({"is_decoder", "cross_attention_hidden_size", "vocab_size", "pad_token_id"});
  }
};

// A step between two norms, added to its input: pre_{name}_layernorm, post_{name}_layernorm.
struct Step {
  nn::Norm before, after;
  Step(const Scope& s, const std::string& name, const TextDecoderConfig& c)
      : before(c.norm(s / ("pre_" + name + "_layernorm"))),
        after(c.norm(s / ("post_" + name + "_layernorm"))) {}
  template <typename Function>
  Value operator()(Value x, const Function& f) const {
    return op::add(x, after(f(before(x))));
  }
};

struct Layer {
  Step attention, feed_forward;
  nn::CausalAttention self_attn;
  nn::GatedMlp mlp;

  Layer(const Scope& s, std::int64_t number, const Config& c)
      : attention(s, "self_attn", c.text),
        feed_forward(s, "feedforward", c.text),
        self_attn(parts(s / "self_attn", number, c)),
        mlp(c.text.mlp(s / "mlp")) {}

 private:
  static nn::CausalAttentionParts parts(const Scope& s, std::int64_t number, const Config& c) {
    nn::CausalAttentionParts parts =
        c.text.attention(s, number, c.visible.at(static_cast<std::size_t>(number)));
    parts.options = c.options;
    return parts;
  }
};

struct Side {
  const Config& c;
  nn::Embedding embed_tokens;
  nn::Norm norm;

  Side(const Scope& s, const Config& config)
      : c(config),
        embed_tokens(s / "embed_tokens", c.text.vocab_size, c.text.hidden_size),
        norm(c.text.norm(s / "norm")) {}
  Value embed(Value ids) const { return op::mul(embed_tokens(ids), c.text.embedding_scale); }
};

// The reach of a layer of the encoder, both ways. In version 5 it includes its ends.
std::optional<std::int64_t> window_both_ways(const Config& c, std::int64_t layer) {
  std::optional<std::int64_t> window = c.visible.at(static_cast<std::size_t>(layer)).window;
  if (window && c.newer) ++*window;
  return window;
}

Value encode(const Scope& s, const Config& c, const Inputs& in) {
  const Side side(s, c);
  nn::DecoderPass pass(in, {});
  Value x = side.embed(pass.input_ids());
  for (std::int64_t i = 0; i < c.text.num_hidden_layers; ++i) {
    const Layer layer(s / "layers" / i, i, c);
    const op::AttentionMask mask{
        .padding = pass.attention_mask(), .window = window_both_ways(c, i), .no_keys = c.text.no_keys};
    x = layer.attention(x, [&](Value h) { return layer.self_attn(h, pass, mask); });
    x = layer.feed_forward(x, layer.mlp);
  }
  return side.norm(x);
}

// The keys that a layer of the decoder sees. A window is no part of the mask, for then a prefill would hand
// over only the positions in it, but the original hands over all.
op::AttentionMask decoder_mask(const nn::DecoderPass& pass, const Config& c, std::int64_t layer) {
  op::AttentionMask mask = pass.mask({}, c.text.no_keys);
  const auto window = c.visible.at(static_cast<std::size_t>(layer)).window;
  if (!window) return mask;
  const Value keys = op::arange(pass.graph(), pass.total_length());
  const Value queries = op::unsqueeze(op::arange(pass.graph(), pass.length(), pass.past_length()), 1);
  const Value near = op::lt(op::sub(queries, keys), static_cast<double>(*window));
  mask.visible = op::unsqueeze(op::unsqueeze(near, 0), 0);
  return mask;
}

Value decode(const Scope& s, const Config& c, std::int64_t encoder_width, nn::Seq2SeqPass& pass) {
  const Side side(s, c);
  Value x = side.embed(pass.input_ids());
  for (std::int64_t i = 0; i < c.text.num_hidden_layers; ++i) {
    const Scope place = s / "layers" / i;
    const Layer layer(place, i, c);
    const Step cross(place, "cross_attn", c.text);
    const nn::CrossAttention cross_attn(place / "cross_attn", {.sizes = c.text.heads,
                                                               .options = c.options,
                                                               .encoder_width = encoder_width,
                                                               .bias = c.text.attention_bias,
                                                               .output = "o_proj"});
    const op::AttentionMask mask = decoder_mask(pass, c, i);
    x = layer.attention(x, [&](Value h) { return layer.self_attn(h, pass, mask); });
    x = cross(x, [&](Value h) { return cross_attn(h, pass, i); });
    x = layer.feed_forward(x, layer.mlp);
  }
  return side.norm(x);
}

// `tied`: the part whose words are the head, or empty.
Value lm_head(const Scope& root, const Scope& base, const std::string& tied, const TextDecoderConfig& c,
              Value x) {
  Weight words;
  if (!tied.empty()) words = (base / tied / "embed_tokens").weight("weight", {c.vocab_size, c.hidden_size});
  Value logits = nn::output_embedding(root / "lm_head" / "out_proj", words, c.vocab_size, c.hidden_size)(x);
  if (c.final_softcap == 0) return logits;
  return op::mul(op::tanh(op::div(logits, c.final_softcap)), c.final_softcap);
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  const Config encoder(config, config.sub("encoder", "t5_gemma_module"));
  const Config decoder(config, config.sub("decoder", "t5_gemma_module"));
  config.harmless({"is_encoder_decoder", "pad_token_id"});
  // If only `decoder` says so, the original ties the head to the encoder's words.
  const bool of_decoder = config.sub("decoder", "t5_gemma_module").flag("tie_word_embeddings");
  const std::string tied = config.flag("tie_word_embeddings") ? "decoder" : (of_decoder ? "encoder" : "");
  const Scope root = model.scope();
  const Scope base = root.base_model("model");
  return nn::build_seq2seq_task(
      component, inputs,
      {.encode = [&](const Inputs& in) { return encode(base / "encoder", encoder, in); },
       .decode =
           [&](nn::Seq2SeqPass& pass) {
             return decode(base / "decoder", decoder, encoder.text.hidden_size, pass);
           },
       .lm_head = [&](Value x) { return lm_head(root, base, tied, decoder.text, x); }});
}

}  // namespace

void register_t5gemma(TasksManager& tasks) {
  tasks.register_model<T5GemmaOnnxConfig>(
      {.model_type = "t5gemma",
       .tasks = nn::text2text_tasks(),
       .forward = forward,
       .key_names = tied("model.decoder.embed_tokens", "lm_head.out_proj")});
}

}  // namespace onnxport::models
