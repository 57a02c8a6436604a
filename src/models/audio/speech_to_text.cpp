// Speech2Text. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/speech_to_text/modeling_speech_to_text.py
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "models/audio/common/feature_config.h"
#include "onnxport/error.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/seq2seq.h"

namespace onnxport::models {
namespace {

constexpr double kEps = 1e-5;        // torch's default, not configurable
constexpr std::int64_t kStride = 2;  // of each convolution
constexpr std::int64_t kMostConvolutions = 16;
constexpr std::int64_t kOffset = 2;  // rows of a table of positions beyond those of the configuration

struct Config {
  std::int64_t vocab_size, d_model, source_positions, target_positions, encoder_layers, decoder_layers, pad;
  std::int64_t channels, conv_channels;
  std::vector<std::int64_t> kernels;
  std::int64_t stride = 1;  // of all convolutions
  nn::Seq2SeqLayerParameters encoder, decoder;
  double embedding_scale;
  bool tied;

  static nn::Seq2SeqLayerParameters layer(const PretrainedConfig& c, const std::string& side) {
    return {.hidden_size = c.integer("d_model"),
            .heads = c.integer(side + "_attention_heads"),
            .ffn_dim = c.integer(side + "_ffn_dim"),
            .activation = c.string("activation_function"),
            .norm_before = true};
  }

  explicit Config(const PretrainedConfig& c)
      : vocab_size(c.integer("vocab_size")),
        d_model(c.integer("d_model")),
        source_positions(c.integer("max_source_positions")),
        target_positions(c.integer("max_target_positions")),
        encoder_layers(c.integer("encoder_layers")),
        decoder_layers(c.integer("decoder_layers")),
        pad(c.integer("pad_token_id")),
        channels(frame_size(c)),
        conv_channels(c.integer("conv_channels")),
        kernels(c.integers("conv_kernel_sizes")),
        encoder(layer(c, "encoder")),
        decoder(layer(c, "decoder")),
        embedding_scale(c.flag("scale_embedding") ? std::sqrt(static_cast<double>(d_model)) : 1),
        tied(c.flag("tie_word_embeddings", true)) {
    c.harmless({"num_hidden_layers", "is_encoder_decoder", "max_length"});
    const std::int64_t layers = c.integer("num_conv_layers");
    if (static_cast<std::int64_t>(kernels.size()) != layers || layers < 1 || layers > kMostConvolutions) {
      throw ExportError(
          ErrorCode::bad_config,
          fmt::format(
              "{}: conv_kernel_sizes lists {} kernels, num_conv_layers is {}; expected equally many, 1 to {}",
              c.origin(), kernels.size(), layers, kMostConvolutions));
    }
    for (const std::int64_t kernel : kernels) {
      stride *= kStride;
      if (kernel > 0 && kernel % 2 == 1) continue;
      throw ExportError(ErrorCode::unsupported,
                        fmt::format("{}: conv_kernel_sizes has {}, expected odd sizes", c.origin(), kernel));
    }
  }
};

class Speech2TextOnnxConfig : public AudioToTextOnnxConfig {
 public:
  using AudioToTextOnnxConfig::AudioToTextOnnxConfig;
  // The number of frames that the positions allow.
  AudioFeatures features() const override {
    constexpr std::int64_t kMost = 1 << 20;  // dummy inputs are no longer
    const Config c(config().unaccounted());
    const std::int64_t positions = std::clamp<std::int64_t>(c.source_positions, 1, kMost);
    return {.size = c.channels, .frames = positions * c.stride, .any_frames = true};
  }
  std::string states_length() const override {
    const Config c(config().unaccounted());
    return fmt::format("( encoder_sequence_length + {} - 1 ) // {}", c.stride, c.stride);
  }
};

// Gated convolutions: [B, frames, channels] -> [B, E, d_model]
Value subsample(const Scope& s, const Config& c, Value features) {
  const ModulePath at(features, s.path());
  Value x = op::transpose(features, 1, 2);
  std::int64_t in = c.channels;
  for (std::size_t i = 0; i < c.kernels.size(); ++i) {
    const bool last = i + 1 == c.kernels.size();
    const std::int64_t padding = c.kernels[i] / 2;
    const nn::Conv1d conv(s / "conv_layers" / static_cast<std::int64_t>(i), in,
                          last ? 2 * c.d_model : c.conv_channels, c.kernels[i], true,
                          {.stride = {kStride}, .padding = {padding, padding}});
    const std::vector<Value> halves = op::chunk(conv(x), 1, 2);
    x = op::mul(halves[0], op::sigmoid(halves[1]));
    in = c.conv_channels / 2;
  }
  return op::transpose(x, 1, 2);
}

// The states, out of `length`, that come from real frames: mask of the frames [B, frames] -> bool [B,
// length]. A row without any frame attends to all of them, like an index of -1 in the original.
Value shorten(Value mask, const Config& c, const Dim& length) {
  const ModulePath at(mask, "attention_mask");
  const Value frames = op::sum(mask, 1, true);
  const Value count =
      op::div(op::add(frames, static_cast<double>(c.stride - 1)), static_cast<double>(c.stride));
  const Value real = op::lt(op::arange(mask.graph(), length), count);
  return op::logical_or(real, op::eq(count, 0.0));
}

Value scaled(Value x, const Config& c) { return c.embedding_scale == 1 ? x : op::mul(x, c.embedding_scale); }

Value encode(const Scope& s, const Config& c, Value features, Value attention_mask) {
  Value x = scaled(subsample(s / "conv", c, features), c);
  const Value real = shorten(attention_mask, c, x.dim(1));
  const nn::SinusoidalPositions positions(s / "embed_positions", c.source_positions + kOffset, c.d_model,
                                          c.pad);
  // The original uses the mask as ids here: 1 is padding, and 0 is not.
  x = op::add(x, positions(op::cast(op::logical_not(real), DType::i64)));
  const op::AttentionMask mask = nn::padding_mask(real);
  for (std::int64_t i = 0; i < c.encoder_layers; ++i)
    x = nn::Seq2SeqEncoderLayer(s / "layers" / i, c.encoder)(x, mask);
  return nn::LayerNorm(s / "layer_norm", c.d_model, kEps)(x);
}

Value decode(const Scope& s, const Config& c, nn::Seq2SeqPass& pass) {
  pass.set_encoder_attention_mask(shorten(pass.encoder_attention_mask(), c, pass.encoder_states().dim(1)));
  const nn::Embedding words(s / "embed_tokens", c.vocab_size, c.d_model);
  const nn::SinusoidalPositions positions(s / "embed_positions", c.target_positions + kOffset, c.d_model,
                                          c.pad);
  const Value embedded = scaled(words(pass.input_ids()), c);
  Value x = op::add(embedded, positions(pass.input_ids(), pass.past_length()));
  for (std::int64_t i = 0; i < c.decoder_layers; ++i)
    x = nn::Seq2SeqDecoderLayer(s / "layers" / i, i, c.decoder)(x, pass, &pass);
  return nn::LayerNorm(s / "layer_norm", c.d_model, kEps)(x);
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const Scope base = root.base_model("model");
  const auto lm_head = [&](Value hidden) {
    Weight words;
    if (c.tied) words = (base / "decoder" / "embed_tokens").weight("weight", {c.vocab_size, c.d_model});
    return nn::output_embedding(root / "lm_head", words, c.vocab_size, c.d_model)(hidden);
  };
  return nn::build_seq2seq_task(
      component, inputs,
      {.encode =
           [&](const Inputs& in) {
             return encode(base / "encoder", c, in["input_features"], in["attention_mask"]);
           },
       .decode = [&](nn::Seq2SeqPass& pass) { return decode(base / "decoder", c, pass); },
       .lm_head = lm_head});
}

}  // namespace

void register_speech_to_text(TasksManager& tasks) {
  tasks.register_model<Speech2TextOnnxConfig>(
      {.model_type = "speech_to_text",
       .tasks = {"feature-extraction", "feature-extraction-with-past", "automatic-speech-recognition",
                 "automatic-speech-recognition-with-past"},
       .forward = forward,
       .key_names = tied("model.decoder.embed_tokens", "lm_head")});
}

}  // namespace onnxport::models
