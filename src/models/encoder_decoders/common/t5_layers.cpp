// The layers of T5 and its relatives. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/t5/modeling_t5.py
#include <fmt/format.h>

#include <cmath>
#include <utility>
#include <vector>

#include "models/common/definition.h"
#include "models/encoder_decoders/common/t5.h"
#include "onnxport/error.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/seq2seq.h"

namespace onnxport::models {
namespace {

// feed_forward_proj is `relu`, or `gated-silu`.
void check_feed_forward(const PretrainedConfig& c, const std::string& value) {
  const std::string name = value.starts_with("gated-") ? value.substr(6) : value;
  if (!name.empty() && name.find('-') == name.npos) return;
  throw ExportError(ErrorCode::bad_config,
                    fmt::format("{}: key 'feed_forward_proj' is '{}', expected an activation such as 'relu', "
                                "or 'gated-' and an activation",
                                c.origin(), value));
}

// A sum whose terms may be float16 and float32.
Value add(Value x, Value y) {
  if (x.dtype() == y.dtype()) return op::add(x, y);
  const Value wide = op::cast(x, DType::f32);
  return op::add(wide, op::cast(y, DType::f32));
}

struct Block {
  nn::RmsNorm attention_norm;
  T5SelfAttention::Layer attention;
  std::optional<nn::RmsNorm> cross_norm;
  std::optional<nn::CrossAttention> cross;
  nn::RmsNorm feed_forward_norm;
  T5FeedForward feed_forward;

  Block(const Scope& s, std::int64_t number, const T5Config& c, const T5SelfAttention& self,
        const T5Parts& parts, bool decoder)
      : Block(s / "layer", s / "layer" / (decoder ? 2 : 1), number, c, self, parts, decoder) {}

 private:
  Block(const Scope& s, const Scope& last, std::int64_t number, const T5Config& c,
        const T5SelfAttention& self, const T5Parts& parts, bool decoder)
      : attention_norm(c.norm(s / 0 / "layer_norm")),
        attention(self.layer(s / 0, number)),
        feed_forward_norm(c.norm(last / "layer_norm")),
        feed_forward(parts.feed_forward(last, c, number, decoder)) {
    if (!decoder) return;
    cross_norm.emplace(c.norm(s / 1 / "layer_norm"));
    cross.emplace(s / 1 / "EncDecAttention", nn::CrossAttentionParameters{.sizes = c.head_sizes(),
                                                                          .options = {.scale = 1.0},
                                                                          .bias = false,
                                                                          .query = "q",
                                                                          .key = "k",
                                                                          .value = "v",
                                                                          .output = "o"});
  }
};

// The encoder or the decoder.
struct Half {
  T5SelfAttention self_attention;
  std::vector<Block> blocks;
  nn::RmsNorm final_layer_norm;

  Half(const Scope& s, const T5Config& c, const T5Parts& parts, bool decoder)
      : self_attention(parts.self_attention(s, c, decoder)),
        final_layer_norm(c.norm(s / "final_layer_norm")) {
    for (std::int64_t i = 0; i < (decoder ? c.decoder_layers : c.layers); ++i)
      blocks.emplace_back(s / "block" / i, i, c, self_attention, parts, decoder);
  }

  // The sum over the layers is float32 from the first feed-forward in float32 on.
  Value operator()(Value x, nn::DecoderPass& pass, nn::Seq2SeqPass* encoder) const {
    const op::AttentionMask mask = self_attention.mask(pass);
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      const Block& block = blocks[i];
      const auto layer = static_cast<std::int64_t>(i);
      x = nn::clamp_half(add(x, block.attention(block.attention_norm(x), pass, mask)));
      if (block.cross) x = nn::clamp_half(add(x, (*block.cross)((*block.cross_norm)(x), *encoder, layer)));
      x = add(x, block.feed_forward(block.feed_forward_norm(x)));
    }
    return final_layer_norm(x);
  }
};

}  // namespace

T5Config::T5Config(const PretrainedConfig& c)
    : vocab_size(c.integer("vocab_size")),
      d_model(c.integer("d_model")),
      d_kv(c.integer("d_kv")),
      d_ff(c.integer("d_ff")),
      layers(c.integer("num_layers")),
      decoder_layers(c.maybe_integer("num_decoder_layers").value_or(layers)),
      heads(c.integer("num_heads")),
      buckets(c.integer("relative_attention_num_buckets")),
      max_distance(c.integer("relative_attention_max_distance")),
      eps(c.real("layer_norm_epsilon")),
      activation(c.string("feed_forward_proj", "relu")),
      gated(activation.starts_with("gated-")),
      tied(c.flag("tie_word_embeddings", true)),
      // Transformers 4 scales if it ties. Version 5 has a key for T5, and does not scale mT5.
      scale_hidden(c.has("scale_decoder_outputs") ? c.flag("scale_decoder_outputs")
                                                  : tied && c.transformers_major() < 5) {
  check_feed_forward(c, activation);
  if (gated) activation = activation.substr(6);
  if (gated && activation == "gelu") activation = "gelu_new";  // as old files mean it
  // The class derives these two, but those of the file win.
  activation = c.string("dense_act_fn", activation);
  gated = c.flag("is_gated_act", gated);
  c.harmless({"pad_token_id", "is_encoder_decoder", "n_positions", "output_past"});
}

nn::RelativeBiasParameters T5Config::relative_bias(bool decoder) const {
  return {.heads = heads,
          .rows = buckets,
          .buckets = buckets,
          .max_distance = max_distance,
          .both_ways = !decoder};
}

op::AttentionMask t5_mask(nn::DecoderPass& pass, bool decoder) {
  return decoder ? pass.mask({}, op::NoKeys::uniform) : nn::padding_mask(pass.attention_mask());
}

nn::CausalAttention t5_attention(const Scope& s, std::int64_t number, const T5Config& c) {
  const nn::HeadSizes sizes = c.head_sizes();
  return {{.path = s.path(),
           .layer = number,
           .sizes = sizes,
           .qkv = nn::QkvProjection::separate(s, sizes, false, "q", "k", "v"),
           .output = nn::Linear(s / "o", c.heads * c.d_kv, c.d_model, false),
           .options = {.scale = 1.0},
           .score_dtype = c.score_dtype}};
}

T5SelfAttention t5_self_attention(const Scope& half, const T5Config& c, bool decoder) {
  const nn::RelativeBias bias(half / "block" / 0 / "layer" / 0 / "SelfAttention" / "relative_attention_bias",
                              c.relative_bias(decoder));
  return {.mask =
              [bias, decoder](nn::DecoderPass& pass) {
                op::AttentionMask mask = t5_mask(pass, decoder);
                mask.bias = bias(pass.graph(), pass.length(), pass.past_length());
                return mask;
              },
          .layer = [c](const Scope& s, std::int64_t number) -> T5SelfAttention::Layer {
            return t5_attention(s / "SelfAttention", number, c);
          }};
}

T5FeedForward t5_feed_forward(const Scope& s, const T5Config& c) {
  std::vector<nn::Linear> wi;
  for (const char* name : {"wi", "wi_0", "wi_1"}) {
    if ((std::string_view(name) == "wi") != c.gated) wi.emplace_back(s / name, c.d_model, c.d_ff, false);
  }
  const nn::Linear wo(s / "wo", c.d_ff, c.d_model, false);
  return [wi, wo, activation = nn::Activation(c.activation)](Value x) {
    Value inner = activation(wi[0](x));
    if (wi.size() == 2) inner = op::mul(inner, wi[1](x));
    if (inner.dtype() != DType::f16) return wo(inner);
    const ModulePath at(inner, wo.path());
    const Value wide = op::cast(inner, DType::f32);
    return op::linear(wide, inner.graph().weight_as_is(wo.weight().cast(DType::f32)));
  };
}

KeyNames t5_key_names() {
  return {.embeddings = {"shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight"},
          .head = "lm_head.weight"};
}

NamedValues forward_t5(const Inputs& inputs, const Model& model, const Component& component) {
  return forward_t5_like(inputs, model, component, T5Config(model.config()));
}

NamedValues forward_t5_like(const Inputs& inputs, const Model& model, const Component& component, T5Config c,
                            const T5Parts& parts) {
  if (component.interface.float_dtype == DType::f16) c.score_dtype = DType::f32;
  const Scope root = model.scope();
  const nn::Embedding shared(root / "shared", c.vocab_size, c.d_model);
  for (const char* part : {"encoder.embed_tokens", "decoder.embed_tokens"})
    root.ignore(std::string(part) + ".weight");
  if (component.part == "embed_tokens")  // of a model around this one
    return {{"inputs_embeds", shared(inputs["input_ids"])}};
  const auto encode = [&](const Inputs& in) {
    const Half encoder(root / "encoder", c, parts, false);
    // Pipelines of images call the encoder without a mask.
    nn::DecoderPass pass(in, {}, {.attention_mask = in.has("attention_mask") ? "attention_mask" : ""});
    return encoder(pass.embedded(shared), pass, nullptr);
  };
  const auto decode = [&](nn::Seq2SeqPass& pass) {
    const Half decoder(root / "decoder", c, parts, true);
    return decoder(pass.embedded(shared), pass, &pass);
  };
  const auto lm_head = [&](Value hidden) {
    if (c.scale_hidden) hidden = op::mul(hidden, 1 / std::sqrt(static_cast<double>(c.d_model)));
    const Weight tied = c.tied ? shared.weight() : Weight();
    return nn::output_embedding(root / "lm_head", tied, c.vocab_size, c.d_model)(hidden);
  };
  return nn::build_seq2seq_task(component, inputs, {.encode = encode, .decode = decode, .lm_head = lm_head});
}

void register_t5_like(TasksManager& tasks, ModelDefinition definition) {
  definition.tasks = nn::text2text_tasks();
  definition.key_names = t5_key_names();
  definition.ignorable_keys.emplace_back(
      "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight");
  tasks.register_model<T5OnnxConfig>(std::move(definition));
}

}  // namespace onnxport::models
