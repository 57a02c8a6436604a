// T5. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/t5/modeling_t5.py
#include <fmt/format.h>

#include <cmath>

#include "models/common/definition.h"
#include "models/common/gguf_layout.h"
#include "models/encoder_decoders/common/t5.h"
#include "onnxport/error.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/causal_attention.h"
#include "onnxport/nn/decoder_pass.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/nn/seq2seq.h"

namespace onnxport::models {
namespace {

// feed_forward_proj is `relu`, or `gated-silu`.
void check_feed_forward(const PretrainedConfig& c) {
  const std::string value = c.string("feed_forward_proj");
  const std::string name = value.starts_with("gated-") ? value.substr(6) : value;
  if (!name.empty() && name.find('-') == name.npos) return;
  throw ExportError(ErrorCode::bad_config,
                    fmt::format("{}: key 'feed_forward_proj' is '{}', expected an activation such as 'relu', "
                                "or 'gated-' and an activation",
                                c.origin(), value));
}

struct Config {
  std::int64_t vocab_size, d_model, d_kv, d_ff, layers, decoder_layers, heads, buckets, max_distance;
  double eps;
  std::string activation;
  bool gated, tied, scale_hidden;
  /// In float16: scores are not scaled, so half precision would round them too much.
  std::optional<DType> score_dtype = {};

  explicit Config(const PretrainedConfig& c)
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
        activation(c.string("feed_forward_proj")),
        gated(activation.starts_with("gated-")),
        tied(c.flag("tie_word_embeddings", true)),
        // Transformers 4 scales if it ties. Version 5 has a key for T5, and does not scale mT5.
        scale_hidden(c.has("scale_decoder_outputs") ? c.flag("scale_decoder_outputs")
                                                    : tied && c.transformers_major() < 5) {
    if (gated) activation = activation.substr(6);
    if (gated && activation == "gelu") activation = "gelu_new";  // as old files mean it
    check_feed_forward(c);
    // The class derives these two, but those of the file win.
    activation = c.string("dense_act_fn", activation);
    gated = c.flag("is_gated_act", gated);
    c.harmless({"pad_token_id", "is_encoder_decoder", "n_positions", "output_past"});
  }
  nn::HeadSizes head_sizes() const { return {d_model, heads, heads, d_kv}; }
};

nn::RmsNorm norm(const Scope& s, const Config& c) { return {s, c.d_model, {.eps = c.eps}}; }

// A sum whose terms may be float16 and float32.
Value add(Value x, Value y) {
  if (x.dtype() == y.dtype()) return op::add(x, y);
  const Value wide = op::cast(x, DType::f32);
  return op::add(wide, op::cast(y, DType::f32));
}

// wo(act(wi(x))), or wo(act(wi_0(x)) * wi_1(x)). In float16, the original keeps wo in float32. The sum over
// the layers is therefore float32 from the first feed-forward on.
struct FeedForward {
  nn::RmsNorm layer_norm;
  std::vector<nn::Linear> wi;
  nn::Linear wo;
  nn::Activation activation;

  FeedForward(const Scope& s, const Config& c)
      : layer_norm(norm(s / "layer_norm", c)),
        wo(s / "DenseReluDense" / "wo", c.d_ff, c.d_model, false),
        activation(c.activation) {
    for (const char* name : {"wi", "wi_0", "wi_1"}) {
      if ((std::string_view(name) == "wi") == c.gated) continue;
      wi.emplace_back(s / "DenseReluDense" / name, c.d_model, c.d_ff, false);
    }
  }
  Value operator()(Value x) const {
    const Value normed = layer_norm(x);
    Value inner = activation(wi[0](normed));
    if (wi.size() == 2) inner = op::mul(inner, wi[1](normed));
    return add(x, output(inner));
  }
  Value output(Value inner) const {
    if (inner.dtype() != DType::f16) return wo(inner);
    const ModulePath at(inner, wo.path());
    const Value wide = op::cast(inner, DType::f32);
    return op::linear(wide, inner.graph().weight_as_is(wo.weight().cast(DType::f32)));
  }
};

nn::CausalAttention self_attention(const Scope& s, std::int64_t layer, const Config& c) {
  const nn::HeadSizes sizes = c.head_sizes();
  return {{.path = s.path(),
           .layer = layer,
           .sizes = sizes,
           .qkv = nn::QkvProjection::separate(s, sizes, false, "q", "k", "v"),
           .output = nn::Linear(s / "o", c.heads * c.d_kv, c.d_model, false),
           .options = {.scale = 1.0},
           .score_dtype = c.score_dtype}};
}

struct Block {
  nn::RmsNorm attention_norm;
  nn::CausalAttention attention;
  std::optional<nn::RmsNorm> cross_norm;
  std::optional<nn::CrossAttention> cross;
  FeedForward feed_forward;

  Block(const Scope& s, std::int64_t layer, const Config& c, bool decoder)
      : attention_norm(norm(s / "layer" / 0 / "layer_norm", c)),
        attention(self_attention(s / "layer" / 0 / "SelfAttention", layer, c)),
        feed_forward(s / "layer" / (decoder ? 2 : 1), c) {
    if (!decoder) return;
    cross_norm.emplace(norm(s / "layer" / 1 / "layer_norm", c));
    cross.emplace(s / "layer" / 1 / "EncDecAttention", nn::CrossAttentionParameters{.sizes = c.head_sizes(),
                                                                                    .options = {.scale = 1.0},
                                                                                    .bias = false,
                                                                                    .query = "q",
                                                                                    .key = "k",
                                                                                    .value = "v",
                                                                                    .output = "o"});
  }
};

struct Stack {
  nn::RelativeBias bias;  // of the first layer, used by all
  std::vector<Block> blocks;
  nn::RmsNorm final_layer_norm;

  Stack(const Scope& s, const Config& c, std::int64_t layers, bool decoder)
      : bias(s / "block" / 0 / "layer" / 0 / "SelfAttention" / "relative_attention_bias",
             {.heads = c.heads,
              .rows = c.buckets,
              .buckets = c.buckets,
              .max_distance = c.max_distance,
              .both_ways = !decoder}),
        final_layer_norm(norm(s / "final_layer_norm", c)) {
    for (std::int64_t i = 0; i < layers; ++i) blocks.emplace_back(s / "block" / i, i, c, decoder);
  }

  Value operator()(Value x, nn::DecoderPass& pass, nn::Seq2SeqPass* encoder, op::AttentionMask mask) const {
    mask.bias = bias(x.graph(), pass.length(), pass.past_length());
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      const Block& block = blocks[i];
      const auto layer = static_cast<std::int64_t>(i);
      x = nn::clamp_half(add(x, block.attention(block.attention_norm(x), pass, mask)));
      if (block.cross) x = nn::clamp_half(add(x, (*block.cross)((*block.cross_norm)(x), *encoder, layer)));
      x = block.feed_forward(x);
    }
    return final_layer_norm(x);
  }
};

/// The layers of one half of T5. `ffn`: the number of the feed-forward among the parts of a layer.
void add_t5_half(GgufTensors& names, const std::string& stored, const std::string& half, int ffn,
                 bool gated) {
  const auto add = [&](const char* name, const std::string& key) {
    names.push_back(
        {fmt::format("{}.blk.{{}}.{}", stored, name), fmt::format("{}.block.{{}}.layer.{}", half, key)});
  };
  const auto add_attention = [&](const std::string& prefix, const std::string& key) {
    for (const char* part : {"q", "k", "v", "o"}) {
      add((prefix + "attn_" + part).c_str(), fmt::format("{}.{}", key, part));
    }
    add((prefix + "attn_rel_b").c_str(), key + ".relative_attention_bias");
    add((prefix + "attn_norm").c_str(), key.substr(0, 2) + "layer_norm");
  };
  add_attention("", "0.SelfAttention");
  if (ffn == 2) add_attention("cross_", "1.EncDecAttention");
  add("ffn_norm", fmt::format("{}.layer_norm", ffn));
  add("ffn_gate", fmt::format("{}.DenseReluDense.wi_0", ffn));
  add("ffn_up", fmt::format("{}.DenseReluDense.{}", ffn, gated ? "wi_1" : "wi"));
  add("ffn_down", fmt::format("{}.DenseReluDense.wo", ffn));
  names.push_back({stored + ".output_norm", half + ".final_layer_norm"});
}

GgufLayout gguf() {
  return {.architecture = "t5",
          .original_class = "T5ForConditionalGeneration",
          .tensors = [](const PretrainedConfig& config) -> GgufTensors {
            const bool gated = config.maybe_string("feed_forward_proj").value_or("relu").starts_with("gated");
            GgufTensors names = {{"token_embd", "shared"}, {"output", "lm_head"}};
            add_t5_half(names, "enc", "encoder", 1, gated);
            add_t5_half(names, "dec", "decoder", 2, gated);
            return names;
          },
          .config_keys = {{"context_length", "n_positions"},
                          {"block_count", "num_layers"},
                          {"decoder_block_count", "num_decoder_layers"},
                          {"feed_forward_length", "d_ff"},
                          {"embedding_length", "d_model"},
                          {"attention.key_length", "d_kv"},
                          {"attention.head_count", "num_heads"},
                          {"attention.layer_norm_epsilon", "layer_norm_epsilon"},
                          {"attention.relative_buckets_count", "relative_attention_num_buckets"},
                          {"decoder_start_token_id", "decoder_start_token_id"},
                          {"vocab_size", "vocab_size"}},
          .more_config =
              [](const GgufInfo& file) {
                const bool gated = file.has_tensor("enc.blk.0.ffn_gate.weight");
                return ConfigTexts{{"feed_forward_proj", gated ? R"("gated-gelu")" : R"("relu")"}};
              }};
}

}  // namespace

KeyNames t5_key_names() {
  return {.embeddings = {"shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight"},
          .head = "lm_head.weight"};
}

NamedValues forward_t5(const Inputs& inputs, const Model& model, const Component& component) {
  Config c(model.config());
  if (component.interface.float_dtype == DType::f16) c.score_dtype = DType::f32;
  const Scope root = model.scope();
  const nn::Embedding shared(root / "shared", c.vocab_size, c.d_model);
  for (const char* part : {"encoder.embed_tokens", "decoder.embed_tokens"})
    root.ignore(std::string(part) + ".weight");
  const auto encode = [&](const Inputs& in) {
    const Stack encoder(root / "encoder", c, c.layers, false);
    nn::DecoderPass pass(in, {});
    return encoder(shared(pass.input_ids()), pass, nullptr, nn::padding_mask(pass.attention_mask()));
  };
  const auto decode = [&](nn::Seq2SeqPass& pass) {
    const Stack decoder(root / "decoder", c, c.decoder_layers, true);
    return decoder(shared(pass.input_ids()), pass, &pass, pass.mask({}, op::NoKeys::uniform));
  };
  const auto lm_head = [&](Value hidden) {
    if (c.scale_hidden) hidden = op::mul(hidden, 1 / std::sqrt(static_cast<double>(c.d_model)));
    const Weight tied = c.tied ? shared.weight() : Weight();
    return nn::output_embedding(root / "lm_head", tied, c.vocab_size, c.d_model)(hidden);
  };
  return nn::build_seq2seq_task(component, inputs, {.encode = encode, .decode = decode, .lm_head = lm_head});
}

void register_t5(TasksManager& tasks) {
  tasks.register_model<T5OnnxConfig>(
      {.model_type = "t5",
       .tasks = nn::text2text_tasks(),
       .forward = forward_t5,
       .ignorable_keys = {"decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"},
       .key_names = t5_key_names(),
       .gguf = gguf()});
}

}  // namespace onnxport::models
