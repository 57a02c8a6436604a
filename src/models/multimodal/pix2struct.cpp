// Pix2Struct: patches of an image of any shape, and a decoder like that of T5. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/pix2struct/modeling_pix2struct.py
#include <fmt/format.h>

#include <string>

#include "models/multimodal/common/patches/flattened_patches.h"
#include "onnxport/error.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/causal_attention.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/nn/rotated_encoder.h"
#include "onnxport/nn/seq2seq.h"

namespace onnxport::models {
namespace {

// ---- configurations ----

// Of either half: the scores are not scaled, and no projection has a bias.
struct HalfConfig {
  std::int64_t hidden_size, d_kv, d_ff, layers, heads;
  std::string activation;
  double eps;

  nn::RmsNorm norm(const Scope& s) const { return {s, hidden_size, {.eps = eps}}; }
  nn::GatedMlp mlp(const Scope& s) const {
    return {s,
            {.hidden_size = hidden_size,
             .intermediate_size = d_ff,
             .activation = activation,
             .gate = "wi_0",
             .up = "wi_1",
             .down = "wo"}};
  }
  nn::HeadSizes sizes() const { return {hidden_size, heads, heads, d_kv}; }
};

struct VisionConfig : HalfConfig {
  std::int64_t pixels, places;  // numbers of a patch; rows of each table of positions

  explicit VisionConfig(const PretrainedConfig& c)
      : HalfConfig{.hidden_size = c.integer("hidden_size"),
                   .d_kv = c.integer("d_kv"),
                   .d_ff = c.integer("d_ff"),
                   .layers = c.integer("num_hidden_layers"),
                   .heads = c.integer("num_attention_heads"),
                   .activation = c.string("dense_act_fn"),
                   .eps = c.real("layer_norm_eps")},
        pixels(c.integer("patch_embed_hidden_size")),
        places(c.integer("seq_len")) {
    // The original does not use them.
    c.harmless({"relative_attention_num_buckets", "relative_attention_max_distance"});
  }
};

struct TextConfig : HalfConfig {
  std::int64_t vocab_size, buckets, max_distance;
  bool tied;

  explicit TextConfig(const PretrainedConfig& c)
      : HalfConfig{.hidden_size = c.integer("hidden_size"),
                   .d_kv = c.integer("d_kv"),
                   .d_ff = c.integer("d_ff"),
                   .layers = c.integer("num_layers"),
                   .heads = c.integer("num_heads"),
                   .activation = c.string("dense_act_fn"),
                   .eps = c.real("layer_norm_epsilon")},
        vocab_size(c.integer("vocab_size")),
        buckets(c.integer("relative_attention_num_buckets")),
        max_distance(c.integer("relative_attention_max_distance")),
        tied(c.flag("tie_word_embeddings")) {
    if (hidden_size != heads * d_kv) {
      throw ExportError(ErrorCode::bad_config,
                        fmt::format("{}: num_heads {} times d_kv {} is not hidden_size {}", c.origin(), heads,
                                    d_kv, hidden_size));
    }
    if (!c.flag("is_decoder")) {
      throw ExportError(ErrorCode::unsupported,
                        fmt::format("{}: is_decoder of the text model is false", c.origin()));
    }
    // For generation, and for the kind of cache.
    c.harmless({"decoder_start_token_id", "pad_token_id", "eos_token_id", "is_encoder_decoder"});
  }
};

PretrainedConfig text_config(const PretrainedConfig& c) {
  return c.sub("text_config", "pix2struct_text_model");
}
PretrainedConfig vision_config(const PretrainedConfig& c) {
  return c.sub("vision_config", "pix2struct_vision_model");
}

// ---- the interface ----

// All images have the same number of patches, with padding behind them.
class Pix2StructOnnxConfig : public OnnxSeq2SeqConfigWithPast {
 public:
  using OnnxSeq2SeqConfigWithPast::OnnxSeq2SeqConfigWithPast;
  AxesByName inputs() const override {
    const Axes rows = {{0, "batch_size"}};
    const bool decodes = behavior() == ConfigBehavior::decoder;
    AxesByName names = {{decodes ? "encoder_hidden_states" : "flattened_patches", rows},
                        {decodes ? "encoder_attention_mask" : "attention_mask", rows}};
    if (behavior() == ConfigBehavior::encoder) return names;
    const std::string of_decoder = decodes ? "" : "decoder_";
    Axes tokens = {{0, "batch_size"}, {1, "decoder_sequence_length"}};
    names.emplace_back(of_decoder + "input_ids", tokens);
    if (use_past_in_inputs()) {
      add_past_key_values(names, Direction::inputs);
      tokens[1] = "past_decoder_sequence_length + decoder_sequence_length";
    }
    names.emplace_back(of_decoder + "attention_mask", tokens);
    return names;
  }
  AxesByName outputs() const override {
    const Axes rows = {{0, "batch_size"}};
    if (behavior() == ConfigBehavior::encoder) return {{"last_hidden_state", rows}};
    AxesByName names = OnnxSeq2SeqConfigWithPast::outputs();
    if (behavior() == ConfigBehavior::monolith) names.emplace_back("encoder_last_hidden_state", rows);
    return names;
  }
  /// Keys and values of all patches are as many, but clients of a merged decoder begin with none.
  Dim axis_length(std::string_view tensor, const std::string& symbol) const override {
    const bool made = symbol == "encoder_sequence_length" && tensor.starts_with("present.");
    return made ? Dim(patches()) : Dim::parse(symbol);
  }
  NormalizedConfig normalized_config() const override {
    return NormalizedSeq2SeqConfig(text_config(config().unaccounted()))
        .with_args({{"decoder_num_layers", "num_layers"},
                    {"decoder_num_attention_heads", "num_heads"},
                    {"head_dim", "d_kv"},
                    {"hidden_size", "hidden_size"}});
  }
  DummyInputGenerators dummy_input_generators() const override {
    const VisionConfig c(vision_config(config().unaccounted()));
    return {std::make_shared<const DummyFlattenedPatchGenerator>(patches(), c.pixels, c.places),
            std::make_shared<const DummyPatchMaskGenerator>(patches(), encoder_width()),
            std::make_shared<const DummySeq2SeqInputGenerator>(encoder_width()),
            std::make_shared<const DummyTextInputGenerator>()};
  }

 private:
  std::int64_t patches() const { return most_patches(preprocessors()); }
};

// ---- modules ----

// Patches [B, N, 2 + pixels], which begin with the numbers of their row and column, from 1 on and 0 for
// padding -> [B, N, H]
Value embed(const Scope& s, const VisionConfig& c, Value patches) {
  const ModulePath at(patches, s.path());
  const auto place = [&](const char* key, std::int64_t axis) {
    const Value number = op::cast(op::select(patches, 2, axis), DType::i64);
    return nn::Embedding(s / key, c.places, c.hidden_size)(number);
  };
  const nn::Linear project(s / "patch_projection", c.pixels, c.hidden_size);
  const Value pixels = project(op::slice(patches, 2, 2, 2 + c.pixels));
  const Value with_row = op::add(pixels, place("row_embedder", 0));
  return op::add(with_row, place("column_embedder", 1));
}

Value attend(const Scope& s, const VisionConfig& c, Value x, const op::AttentionMask& mask) {
  const ModulePath at(x, s.path());
  const auto [query, key, value] =
      nn::QkvProjection::separate(s, c.sizes(), false, "query", "key", "value")(x);
  const op::AttentionOperands operands = {.query = query, .key = key, .value = value, .mask = mask};
  const Value context = op::attention(operands, c.heads, c.heads, {.scale = 1.0}).output;
  return nn::Linear(s / "output", c.heads * c.d_kv, c.hidden_size, false)(context);
}

Value encode(const Scope& s, const VisionConfig& c, const Inputs& inputs) {
  Value x = embed(s / "embeddings", c, inputs["flattened_patches"]);
  const op::AttentionMask mask = nn::padding_mask(inputs["attention_mask"]);
  for (std::int64_t i = 0; i < c.layers; ++i) {
    const Scope layer = s / "encoder" / "layer" / i;
    const ModulePath at(x, layer.path());
    const auto attention = [&](Value y) { return attend(layer / "attention", c, y, mask); };
    x = nn::pre_norm_residual(x, c.norm(layer / "pre_attention_layer_norm"), attention);
    x = nn::pre_norm_residual(x, c.norm(layer / "pre_mlp_layer_norm"), c.mlp(layer / "mlp"));
  }
  return c.norm(s / "layernorm")(x);
}

// `padding`: the mask of the decoder's own tokens, [B, P + S].
Value decode(const Scope& s, const TextConfig& c, nn::Seq2SeqPass& pass, Value padding) {
  const nn::RelativeBias bias(s / "layer" / 0 / "self_attention" / "attention" / "relative_attention_bias",
                              {.heads = c.heads,
                               .rows = c.buckets,
                               .buckets = c.buckets,
                               .max_distance = c.max_distance,
                               .both_ways = false});
  // Cached keys may be any number in the file, but the mask has one for each patch.
  if (const Value keys = pass.cross_past(0).key)
    pass.set_encoder_attention_mask(op::slice(pass.encoder_attention_mask(), 1, 0, keys.dim(2)));
  Value x = nn::Embedding(s / "embed_tokens", c.vocab_size, c.hidden_size)(pass.input_ids());
  op::AttentionMask mask = pass.mask({}, op::NoKeys::uniform);
  mask.padding = padding;
  mask.bias = bias(pass.graph(), pass.length(), pass.past_length());
  for (std::int64_t i = 0; i < c.layers; ++i) {
    const Scope layer = s / "layer" / i, self = layer / "self_attention",
                across = layer / "encoder_decoder_attention", last = layer / "mlp";
    const nn::CausalAttention own(
        {.path = (self / "attention").path(),
         .layer = i,
         .sizes = c.sizes(),
         .qkv = nn::QkvProjection::separate(self / "attention", c.sizes(), false, "query", "key", "value"),
         .output = nn::Linear(self / "attention" / "output", c.hidden_size, c.hidden_size, false),
         .options = {.scale = 1.0}});
    const nn::CrossAttention cross(across / "attention", {.sizes = c.sizes(),
                                                          .options = {.scale = 1.0},
                                                          .bias = false,
                                                          .query = "query",
                                                          .key = "key",
                                                          .value = "value",
                                                          .output = "output"});
    const auto attention = [&](Value y) { return own(y, pass, mask); };
    x = nn::clamp_half(nn::pre_norm_residual(x, c.norm(self / "layer_norm"), attention));
    const auto cross_attention = [&](Value y) { return cross(y, pass, i); };
    x = nn::clamp_half(nn::pre_norm_residual(x, c.norm(across / "layer_norm"), cross_attention));
    const nn::GatedMlp mlp = c.mlp(last / "DenseReluDense");
    x = nn::clamp_half(nn::pre_norm_residual(x, c.norm(last / "layer_norm"), mlp));
  }
  return c.norm(s / "final_layer_norm")(x);
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  // Of the processor and of training; the flag of text_config decides whether the output layer is tied.
  config.harmless({"is_vqa", "tie_word_embeddings", "decoder_start_token_id", "pad_token_id", "eos_token_id",
                   "is_encoder_decoder"});
  if (component.part == "encoder") config.harmless({"text_config"});
  if (component.part == "decoder") config.harmless({"vision_config"});
  const Scope encoder = model.scope() / "encoder", decoder = model.scope() / "decoder";
  const auto of_text = [&] { return TextConfig(text_config(config)); };
  const nn::Seq2SeqParts parts = {
      .encode = [&](const Inputs& in) { return encode(encoder, VisionConfig(vision_config(config)), in); },
      .decode =
          [&](nn::Seq2SeqPass& pass) {
            const char* mask = component.part.empty() ? "decoder_attention_mask" : "attention_mask";
            return decode(decoder, of_text(), pass, inputs[mask]);
          },
      .lm_head =
          [&](Value hidden) {
            const TextConfig c = of_text();
            const Weight table = (decoder / "embed_tokens").weight("weight", {c.vocab_size, c.hidden_size});
            return nn::output_embedding(decoder / "lm_head", c.tied ? table : Weight(), c.vocab_size,
                                        c.hidden_size)(hidden);
          }};
  return nn::build_seq2seq_task(component, inputs, parts);
}

}  // namespace

void register_pix2struct(TasksManager& tasks) {
  tasks.register_model<Pix2StructOnnxConfig>({.model_type = "pix2struct",
                                              .tasks = {"image-to-text", "image-to-text-with-past"},
                                              .forward = forward});
}

}  // namespace onnxport::models
