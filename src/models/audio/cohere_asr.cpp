// Cohere Transcribe: Parakeet's encoder with a decoder. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/cohere_asr/modeling_cohere_asr.py
#include <fmt/format.h>

#include <array>

#include "models/audio/common/audio_to_text.h"
#include "models/audio/common/parakeet.h"
#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/causal_attention.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/nn/seq2seq.h"

namespace onnxport::models {
namespace {

constexpr double kEps = 1e-5;  // torch's default, not configurable

struct Config {
  ParakeetConfig encoder;
  std::int64_t vocab_size, layers, intermediate_size, positions;
  nn::HeadSizes sizes;
  std::string hidden_act;
  bool bias, tied;

  static nn::HeadSizes head_sizes(const PretrainedConfig& c) {
    const std::int64_t hidden = c.integer("hidden_size"), heads = c.integer("num_attention_heads");
    const std::int64_t kv_heads = c.maybe_integer("num_key_value_heads").value_or(heads);
    check_multiple(c, "num_attention_heads", heads, "num_key_value_heads", kv_heads);
    const std::int64_t head_dim = c.maybe_integer("head_dim").value_or(hidden / heads);
    if (hidden > 0 && head_dim > 0)
      return {.hidden_size = hidden, .heads = heads, .kv_heads = kv_heads, .head_dim = head_dim};
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format("{}: hidden_size {} and head_dim {} must be positive", c.origin(), hidden, head_dim));
  }

  explicit Config(const PretrainedConfig& c)
      : encoder(parakeet_encoder_config(c)),
        vocab_size(c.integer("vocab_size")),
        layers(c.integer("num_hidden_layers")),
        intermediate_size(c.integer("intermediate_size")),
        positions(c.integer("max_position_embeddings")),
        sizes(head_sizes(c)),
        hidden_act(c.string("hidden_act")),
        bias(c.flag("attention_bias")),
        tied(c.flag("tie_word_embeddings")) {
    c.harmless({"pad_token_id", "is_encoder_decoder"});
  }
};

class CohereAsrOnnxConfig : public FramesToTextOnnxConfig {
 public:
  using FramesToTextOnnxConfig::FramesToTextOnnxConfig;
  bool has_encoder_mask() const override { return false; }
  std::int64_t feature_size() const override { return read().encoder.mel_bins; }
  std::int64_t encoder_width() const override { return read().encoder.hidden_size; }
  NormalizedConfig normalized_config() const override { return NormalizedTextConfig(config()); }
  std::vector<StateSpec> states() const override {
    const Config c = read();
    return behind_encoder(key_values(c.layers, c.sizes.kv_heads, c.sizes.head_dim));
  }

 private:
  Config read() const { return Config(config().unaccounted()); }
};

Value decode_layer(const Scope& s, std::int64_t index, const Config& c, Value x, nn::Seq2SeqPass& pass) {
  const ModulePath at(x, s.path());
  const std::int64_t width = c.sizes.hidden_size;
  const auto norm = [&](const char* key) { return nn::LayerNorm(s / key, width, kEps); };
  const Scope own = s / "self_attn";
  const nn::CausalAttention self_attn(
      {.path = own.path(),
       .layer = index,
       .sizes = c.sizes,
       .qkv = nn::QkvProjection::separate(own, c.sizes, c.bias),
       .output = nn::Linear(own / "o_proj", c.sizes.heads * c.sizes.head_dim, width, c.bias)});
  const nn::CrossAttention encoder_attn(
      s / "encoder_attn", {.sizes = c.sizes, .bias = c.bias, .key_bias = c.bias, .output = "o_proj"});
  const Scope mlp = s / "mlp";
  const nn::Mlp feed_forward(mlp.path(), nn::Linear(mlp / "fc1", width, c.intermediate_size),
                             nn::Linear(mlp / "fc2", c.intermediate_size, width), c.hidden_act);
  x = op::add(x, self_attn(norm("input_layernorm")(x), pass));
  x = op::add(x, encoder_attn(norm("post_attention_layernorm")(x), pass, index));
  return op::add(x, feed_forward(norm("final_layernorm")(x)));
}

Value decode(const Scope& s, const Config& c, nn::Seq2SeqPass& pass) {
  const std::int64_t width = c.sizes.hidden_size;
  if (const Value states = pass.encoder_states())
    pass.set_encoder_states(nn::Linear(s / "proj", c.encoder.hidden_size, width)(states));
  const nn::Embedding words(s / "embed_tokens", c.vocab_size, width);
  const nn::Embedding positions(s / "pos_emb", c.positions, width);
  const Value embedded = words(pass.input_ids());
  const Value placed = op::add(embedded, positions(nn::decoder_positions(pass)));
  Value x = nn::LayerNorm(s / "embedding_layernorm", width, kEps)(placed);
  for (std::int64_t i = 0; i < c.layers; ++i) x = decode_layer(s / "layers" / i, i, c, x, pass);
  return nn::LayerNorm(s / "norm", width, kEps)(x);
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const Scope base = root.base_model("model");
  const auto encode = [&](const Inputs& in) {
    return encode_parakeet(base / "encoder", c.encoder, in["input_features"], {}).hidden;
  };
  const auto proj_out = [&](Value hidden) {
    Weight words;
    const std::int64_t width = c.sizes.hidden_size;
    if (c.tied) words = (base / "decoder" / "embed_tokens").weight("weight", {c.vocab_size, width});
    return nn::output_embedding(root / "proj_out", words, c.vocab_size, width, "bias")(hidden);
  };
  return nn::build_seq2seq_task(
      component, inputs,
      {.encode = encode,
       .decode = [&](nn::Seq2SeqPass& pass) { return decode(base / "decoder", c, pass); },
       .lm_head = proj_out,
       .encoder_mask = false});
}

// The names that files have, for those of the class.
KeyNames stored_names() {
  KeyNames names = tied("model.decoder.embed_tokens", "proj_out");
  names.newer = {{"encoder.subsampling.layers.", "encoder.pre_encode.conv."},
                 {"encoder.subsampling.linear.", "encoder.pre_encode.out."},
                 {".conv.norm.", ".conv.batch_norm."},
                 {".relative_k_proj.", ".linear_pos."},
                 {".bias_u", ".pos_bias_u"},
                 {".bias_v", ".pos_bias_v"},
                 {"decoder.pos_emb.weight", "transf_decoder._embedding.position_embedding.pos_enc"},
                 {"decoder.embed_tokens.", "transf_decoder._embedding.token_embedding."},
                 {"decoder.embedding_layernorm.", "transf_decoder._embedding.layer_norm."},
                 {"decoder.norm.", "transf_decoder._decoder.final_layer_norm."},
                 {"decoder.layers.", "transf_decoder._decoder.layers."},
                 {"decoder.proj.", "encoder_decoder_proj."},
                 {".encoder_attn.", ".second_sub_layer."},
                 {".mlp.fc1.", ".third_sub_layer.dense_in."},
                 {".mlp.fc2.", ".third_sub_layer.dense_out."},
                 {".input_layernorm.", ".layer_norm_1."},
                 {".post_attention_layernorm.", ".layer_norm_2."},
                 {".final_layernorm.", ".layer_norm_3."},
                 {"proj_out.", "log_softmax.mlp.layer0."},
                 {"_decoder.layers.*.self_attn.", "_decoder.layers.*.first_sub_layer."}};
  for (const auto& [ours, encoder, decoder] :
       std::vector<std::array<std::string, 3>>{{"q_proj", "linear_q", "query_net"},
                                               {"k_proj", "linear_k", "key_net"},
                                               {"v_proj", "linear_v", "value_net"},
                                               {"o_proj", "linear_out", "out_projection"}}) {
    names.newer.emplace_back(".self_attn." + ours, ".self_attn." + encoder);
    names.newer.emplace_back("sub_layer." + ours, "sub_layer." + decoder);
  }
  return names;
}

}  // namespace

void register_cohere_asr(TasksManager& tasks) {
  tasks.register_model<CohereAsrOnnxConfig>({.model_type = "cohere_asr",
                                             .tasks = {"automatic-speech-recognition-with-past"},
                                             .forward = forward,
                                             .ignorable_keys = {"preprocessor.featurizer.*"},
                                             .key_names = stored_names()});
}

}  // namespace onnxport::models
