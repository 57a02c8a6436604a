// SeamlessM4T v2, from speech or text to text. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/seamless_m4t_v2/modeling_seamless_m4t_v2.py
#include <cmath>
#include <optional>

#include "models/audio/common/audio_to_text.h"
#include "models/audio/common/conformer.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/audio.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/seq2seq.h"

namespace onnxport::models {
namespace {

constexpr double kEps = 1e-5;        // torch's default, where it is not configurable
constexpr std::int64_t kOffset = 2;  // rows of a table of positions beyond those of the configuration

struct SpeechConfig : ConformerConfig {
  std::int64_t features, left_chunks;
  std::optional<std::int64_t> chunk;
  ConformerAdapter adapter;
  double layer_norm_eps;

  explicit SpeechConfig(const PretrainedConfig& c)
      : ConformerConfig(c, {.layers = "speech_encoder_layers",
                            .heads = "speech_encoder_attention_heads",
                            .intermediate_size = "speech_encoder_intermediate_size",
                            .activation = "speech_encoder_hidden_act"}),
        features(c.integer("feature_projection_input_dim")),
        left_chunks(c.integer("speech_encoder_left_chunk_num")),
        adapter{.width = hidden_size,
                .layers = c.flag("add_adapter") ? c.integer("num_adapter_layers") : 0,
                .kernel = c.integer("adaptor_kernel_size"),
                .stride = divisor(c, "adaptor_stride")},
        layer_norm_eps(c.real("layer_norm_eps")) {
    if (c.has("speech_encoder_chunk_size")) chunk = divisor(c, "speech_encoder_chunk_size");
    convolution.causal = true;
    convolution.layer_norm = "depthwise_layer_norm";
  }
};

struct Config {
  std::int64_t vocab_size, hidden_size, positions, encoder_layers, decoder_layers, pad;
  nn::Seq2SeqLayerParameters encoder, decoder;
  double embedding_scale;
  bool tied;

  static nn::Seq2SeqLayerParameters layer(const PretrainedConfig& c, const std::string& side) {
    const std::int64_t hidden_size = c.integer("hidden_size"), heads = c.integer(side + "_attention_heads");
    check_multiple(c, "hidden_size", hidden_size, side + "_attention_heads", heads);
    return {.hidden_size = hidden_size,
            .heads = heads,
            .ffn_dim = c.integer(side + "_ffn_dim"),
            .activation = c.string("activation_function"),
            .norm_before = true,
            .names = {.encoder_attention = "cross_attention", .feed_forward_norm = "ffn_layer_norm"}};
  }

  explicit Config(const PretrainedConfig& c)
      : vocab_size(c.integer("vocab_size")),
        hidden_size(c.integer("hidden_size")),
        positions(c.integer("max_position_embeddings")),
        encoder_layers(c.integer("encoder_layers")),
        decoder_layers(c.integer("decoder_layers")),
        pad(c.integer("pad_token_id")),
        encoder(layer(c, "encoder")),
        decoder(layer(c, "decoder")),
        embedding_scale(c.flag("scale_embedding") ? std::sqrt(static_cast<double>(hidden_size)) : 1),
        tied(c.flag("tie_word_embeddings", true)) {
    c.harmless({"is_encoder_decoder", "num_hidden_layers", "max_new_tokens", "num_attention_heads"});
    // Of the models that turn text into units and units into sound.
    c.harmless({"t2u_vocab_size",
                "char_vocab_size",
                "t2u_bos_token_id",
                "t2u_pad_token_id",
                "t2u_eos_token_id",
                "t2u_encoder_layers",
                "t2u_encoder_ffn_dim",
                "t2u_encoder_attention_heads",
                "t2u_decoder_layers",
                "t2u_decoder_ffn_dim",
                "t2u_decoder_attention_heads",
                "t2u_max_position_embeddings",
                "t2u_variance_predictor_embed_dim",
                "t2u_variance_predictor_hidden_dim",
                "t2u_variance_predictor_kernel_size",
                "t2u_variance_pred_dropout",
                "sampling_rate",
                "upsample_initial_channel",
                "upsample_rates",
                "upsample_kernel_sizes",
                "resblock_kernel_sizes",
                "resblock_dilation_sizes",
                "leaky_relu_slope",
                "unit_hifi_gan_vocab_size",
                "unit_embed_dim",
                "lang_embed_dim",
                "spkr_embed_dim",
                "vocoder_num_langs",
                "vocoder_num_spkrs",
                "variance_predictor_kernel_size",
                "var_pred_dropout",
                "vocoder_offset"});
  }
};

bool from_speech(const std::string& task) { return task.starts_with("automatic-speech-recognition"); }

class SeamlessOnnxConfig : public FramesToTextOnnxConfig {
 public:
  using FramesToTextOnnxConfig::FramesToTextOnnxConfig;
  std::int64_t feature_size() const override {
    return config().unaccounted().integer("feature_projection_input_dim");
  }
  AxesByName inputs() const override {
    if (from_speech(task())) return FramesToTextOnnxConfig::inputs();
    if (behavior() == ConfigBehavior::decoder) return decoder_inputs();
    const Axes tokens = {{0, "batch_size"}, {1, "encoder_sequence_length"}};
    return {{"input_ids", tokens}, {"attention_mask", tokens}};
  }
  // A text has as many states as tokens.
  Dim axis_length(std::string_view tensor, const std::string& symbol) const override {
    if (!from_speech(task()) && symbol == "encoder_output_length")
      return Dim::symbol("encoder_sequence_length");
    return FramesToTextOnnxConfig::axis_length(tensor, symbol);
  }
  NormalizedConfig normalized_config() const override {
    return NormalizedSeq2SeqConfig(config()).with_args({{"hidden_size", "hidden_size"}});
  }
  DummyInputGenerators dummy_input_generators() const override {
    if (from_speech(task())) return FramesToTextOnnxConfig::dummy_input_generators();
    return {std::make_shared<const DummySeq2SeqInputGenerator>(encoder_width()),
            std::make_shared<const DummyTextInputGenerator>()};
  }
};

// bool [1, 1, L, L]: a frame sees its own chunk and some before it.
Value chunks(Graph& graph, const Dim& length, std::int64_t size, std::int64_t left) {
  const Value frame = op::arange(graph, length);
  const auto factor = static_cast<double>(size);
  const Value chunk = op::div(frame, factor);
  const Value end = op::unsqueeze(op::mul(op::add(chunk, 1.0), factor), 1);
  Value visible = op::lt(frame, end);
  if (left >= 0) {
    const Value first = op::maximum(op::sub(chunk, static_cast<double>(left)), 0.0);
    visible = op::logical_and(visible, op::ge(frame, op::unsqueeze(op::mul(first, factor), 1)));
  }
  return op::unsqueeze(op::unsqueeze(visible, 0), 0);
}

Value encode_speech(const Scope& s, const SpeechConfig& c, Value features, Value mask) {
  const nn::FeatureProjection projection(s / "feature_projection", c.features, c.hidden_size,
                                         c.layer_norm_eps);
  const Scope encoder = s / "encoder";
  Value x = projection(features);
  Value visible;
  if (c.chunk) visible = chunks(x.graph(), x.dim(1), *c.chunk, c.left_chunks);
  x = conformer_states(encoder, c, x, mask, visible).back();
  x = nn::LayerNorm(encoder / "layer_norm", c.hidden_size, c.layer_norm_eps)(x);
  const nn::Mlp ffn = c.feed_forward(s / "intermediate_ffn", c.hidden_size, "relu");
  x = op::add(x, op::mul(ffn(x), 0.5));
  const Value length = c.adapter.shorten(op::sum(mask, 1));  // the same for all layers
  for (std::int64_t i = 0; i < c.adapter.layers; ++i)
    x = c.adapter.layer(s / "adapter" / "layers" / i, c, x, length);
  return nn::LayerNorm(s / "inner_layer_norm", c.hidden_size, kEps)(x);
}

// The parameters of a layer, with its feed-forward.
nn::Seq2SeqLayerParameters with_ffn(nn::Seq2SeqLayerParameters p, const Scope& layer) {
  const Scope ffn = layer / "ffn";
  p.feed_forward = nn::Mlp(ffn.path(), nn::Linear(ffn / "fc1", p.hidden_size, p.ffn_dim),
                           nn::Linear(ffn / "fc2", p.ffn_dim, p.hidden_size), p.activation);
  return p;
}

struct Embeddings {
  Weight words;
  nn::SinusoidalPositions positions;
  double scale;

  Embeddings(const Scope& root, const Scope& side, const Config& c)
      : words((c.tied ? root / "shared" : side / "embed_tokens")
                  .weight("weight", {c.vocab_size, c.hidden_size})),
        positions(side / "embed_positions", c.positions + kOffset, c.hidden_size, c.pad),
        scale(c.embedding_scale) {}

  Value operator()(Value ids, const Dim& past = 0) const {
    Value x = op::embedding(ids.graph().weight(words), ids);
    if (scale != 1) x = op::mul(x, scale);
    return op::add(x, positions(ids, past));
  }
};

Value encode_text(const Scope& root, const Config& c, const Inputs& inputs) {
  const Scope s = root / "text_encoder";
  Value x = Embeddings(root, s, c)(inputs["input_ids"]);
  const op::AttentionMask mask = nn::padding_mask(inputs["attention_mask"]);
  for (std::int64_t i = 0; i < c.encoder_layers; ++i) {
    const Scope layer = s / "layers" / i;
    x = nn::Seq2SeqEncoderLayer(layer, with_ffn(c.encoder, layer))(x, mask);
  }
  return nn::LayerNorm(s / "layer_norm", c.hidden_size, kEps)(x);
}

Value decode(const Scope& root, const Config& c, nn::Seq2SeqPass& pass) {
  const Scope s = root / "text_decoder";
  Value x = Embeddings(root, s, c)(pass.input_ids(), pass.past_length());
  for (std::int64_t i = 0; i < c.decoder_layers; ++i) {
    const Scope layer = s / "layers" / i;
    x = nn::Seq2SeqDecoderLayer(layer, i, with_ffn(c.decoder, layer))(x, pass, &pass);
  }
  return nn::LayerNorm(s / "layer_norm", c.hidden_size, kEps)(x);
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const SpeechConfig speech(model.config());
  const Scope root = model.scope();
  const bool spoken = from_speech(component.task);
  const auto encode = [&](const Inputs& in) {
    if (!spoken) return encode_text(root, c, in);
    return encode_speech(root / "speech_encoder", speech, in["input_features"], in["attention_mask"]);
  };
  const auto lm_head = [&](Value hidden) {
    Weight words;
    if (c.tied) words = (root / "shared").weight("weight", {c.vocab_size, c.hidden_size});
    return nn::output_embedding(root / "lm_head", words, c.vocab_size, c.hidden_size)(hidden);
  };
  const auto decode_pass = [&](nn::Seq2SeqPass& pass) {
    if (spoken) {  // the mask is that of the features
      const Value length = speech.adapter.shorten(op::sum(pass.encoder_attention_mask(), 1));
      pass.set_encoder_attention_mask(first_frames(length, pass.encoder_states().dim(1)));
    }
    return decode(root, c, pass);
  };
  return nn::build_seq2seq_task(component, inputs,
                                {.encode = encode, .decode = decode_pass, .lm_head = lm_head});
}

}  // namespace

void register_seamless_m4t_v2(TasksManager& tasks) {
  KeyNames names = tied("shared", "lm_head");
  for (const char* side : {"text_encoder.embed_tokens.weight", "text_decoder.embed_tokens.weight"})
    names.embeddings.emplace_back(side);
  tasks.register_model<SeamlessOnnxConfig>(
      {.model_type = "seamless_m4t_v2",
       .tasks = {"automatic-speech-recognition-with-past", "text2text-generation-with-past"},
       .forward = forward,
       .ignorable_keys = {"t2u_model.*", "vocoder.*"},
       .key_names = names});
}

}  // namespace onnxport::models
