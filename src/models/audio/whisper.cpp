// Whisper. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/whisper/modeling_whisper.py
#include <fmt/format.h>

#include "models/audio/common/whisper.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/seq2seq.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

struct Config {
  std::int64_t vocab_size, d_model, target_positions, decoder_layers;
  std::int64_t num_labels, projection;
  WhisperEncoderConfig encoder;
  nn::Seq2SeqLayerParameters decoder;
  bool tied, weighted_sum, eager;

  explicit Config(const PretrainedConfig& c)
      : vocab_size(c.integer("vocab_size")),
        d_model(c.integer("d_model")),
        target_positions(c.integer("max_target_positions")),
        decoder_layers(c.integer("decoder_layers")),
        num_labels(c.num_labels()),
        projection(c.integer("classifier_proj_size")),
        encoder(c),
        decoder(whisper_layer(c, {.heads = "decoder_attention_heads", .inner = "decoder_ffn_dim"})),
        tied(c.flag("tie_word_embeddings", true)),
        weighted_sum(c.flag("use_weighted_layer_sum")),
        eager(eager_attention(c)) {
    // The original computes a scale but does not use it. The others concern timestamps and training.
    c.harmless({"scale_embedding", "median_filter_width", "num_hidden_layers", "is_encoder_decoder",
                "pad_token_id", "max_length", "apply_spec_augment"});
  }
};

class WhisperOnnxConfig : public AudioToTextOnnxConfig {
 public:
  using AudioToTextOnnxConfig::AudioToTextOnnxConfig;
  AudioFeatures features() const override { return Config(config().unaccounted()).encoder.features(); }
  // The names of today's files with word timestamps.
  std::vector<std::string> variants() const override { return {"default", "timestamped"}; }
  AxesByName outputs() const override {
    AxesByName outputs = AudioToTextOnnxConfig::outputs();
    const bool wanted = options().variant == "timestamped" ||
                        options().interface_options.contains(InterfaceOption::cross_attentions);
    if (!wanted || behavior() != ConfigBehavior::decoder) return outputs;
    const Axes axes = {{0, "batch_size"}, {2, "decoder_sequence_length"}, {3, "encoder_sequence_length_out"}};
    for (std::int64_t i = 0; i < normalized_config()["decoder_num_layers"]; ++i)
      outputs.emplace_back(fmt::format("cross_attentions.{}", i), axes);
    return outputs;
  }
  void apply(const InterfaceOptions& interface_options, AxesByName& inputs,
             AxesByName& outputs) const override {
    InterfaceOptions others = interface_options;
    if (task().starts_with("automatic-speech-recognition")) others.erase(InterfaceOption::cross_attentions);
    AudioToTextOnnxConfig::apply(others, inputs, outputs);
  }
};

// All hidden states: before each layer, and after the last norm.
std::vector<Value> encode(const Scope& s, const Config& c, Value features) {
  std::vector<Value> states = whisper_encoder_states(s, c.encoder, features);
  states.back() = whisper_encoder_norm(s, states.back());
  return states;
}

Value decode(const Scope& s, const Config& c, nn::Seq2SeqPass& pass) {
  const nn::Embedding words(s / "embed_tokens", c.vocab_size, c.d_model);
  const nn::Embedding positions(s / "embed_positions", c.target_positions, c.d_model);
  Value x = words(pass.input_ids());
  x = op::add(x, positions(nn::decoder_positions(pass)));
  const op::AttentionMask mask = pass.mask({}, c.eager ? op::NoKeys::uniform : op::NoKeys::zero);
  for (std::int64_t i = 0; i < c.decoder_layers; ++i)
    x = nn::Seq2SeqDecoderLayer(s / "layers" / i, i, c.decoder)(x, pass, &pass);
  return nn::LayerNorm(s / "layer_norm", c.d_model, kWhisperEps)(x);
}

// The sum of the states, weighted by the softmax of one number per state.
Value weighted_sum(const Scope& root, const std::vector<Value>& states) {
  Graph& graph = states[0].graph();
  const auto count = static_cast<std::int64_t>(states.size());
  const Value weights = op::softmax(graph.weight(root.weight("layer_weights", {count})), 0);
  Value sum;
  for (std::int64_t i = 0; i < count; ++i) {
    const Value weight = op::slice(weights, 0, i, i + 1);
    const Value part = op::mul(states[static_cast<std::size_t>(i)], weight);
    sum = sum ? op::add(sum, part) : part;
  }
  return sum;
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const Scope base = root.base_model("model");
  if (component.task == "audio-classification") {
    const std::vector<Value> states = encode(base / "encoder", c, inputs["input_features"]);
    const Value hidden = c.weighted_sum ? weighted_sum(root, states) : states.back();
    const Value projected = nn::Linear(root / "projector", c.d_model, c.projection)(hidden);
    const Value pooled = op::mean(projected, 1);
    return {{"logits", nn::Linear(root / "classifier", c.projection, c.num_labels)(pooled)}};
  }
  const auto proj_out = [&](Value hidden) {
    Weight words;
    if (c.tied) words = (base / "decoder" / "embed_tokens").weight("weight", {c.vocab_size, c.d_model});
    return nn::output_embedding(root / "proj_out", words, c.vocab_size, c.d_model)(hidden);
  };
  return nn::build_seq2seq_task(
      component, inputs,
      {.encode = [&](const Inputs& in) { return encode(base / "encoder", c, in["input_features"]).back(); },
       .decode = [&](nn::Seq2SeqPass& pass) { return decode(base / "decoder", c, pass); },
       .lm_head = proj_out,
       .encoder_mask = false});
}

}  // namespace

void register_whisper(TasksManager& tasks) {
  tasks.register_model<WhisperOnnxConfig>(
      {.model_type = "whisper",
       .tasks = {"feature-extraction", "feature-extraction-with-past", "audio-classification",
                 "automatic-speech-recognition", "automatic-speech-recognition-with-past"},
       .forward = forward,
       .key_names = tied("model.decoder.embed_tokens", "proj_out")});
}

}  // namespace onnxport::models
