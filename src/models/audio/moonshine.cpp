// Moonshine. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/moonshine/modeling_moonshine.py
#include "models/audio/common/moonshine.h"

#include <algorithm>

#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

constexpr double kEps = 1e-5;  // torch's default, not configurable
constexpr std::int64_t kKernels[] = {127, 7, 3}, kStrides[] = {64, 3, 2};
constexpr std::int64_t kStride = 64 * 3 * 2;

/// Inputs of the decoder, with a mask of enough samples for a state.
class DummyMoonshineDecoderInputGenerator : public DummySeq2SeqInputGenerator {
 public:
  explicit DummyMoonshineDecoderInputGenerator(std::int64_t width)
      : DummySeq2SeqInputGenerator(width, 1 << 20) {}
  TensorType type(std::string_view name, const DummyContext& context,
                  const DummyShapes& shapes) const override {
    return DummySeq2SeqInputGenerator::type(name, context, enough(shapes));
  }
  Tensor generate(std::string_view name, const DummyContext& context, const DummyShapes& shapes,
                  std::uint64_t seed) const override {
    return DummySeq2SeqInputGenerator::generate(name, context, enough(shapes), seed);
  }

 private:
  static DummyShapes enough(DummyShapes shapes) {
    constexpr std::int64_t kMost = 100;  // states
    shapes.nb_max_frames = kStride * (2 + std::min(shapes.nb_max_frames, kMost)) + 1;
    return shapes;
  }
};

/// The mask has the length of the samples in the decoder, too. The list gives its name to the length of the
/// states as well.
class MoonshineOnnxConfig : public SamplesToTextOnnxConfig {
 public:
  using SamplesToTextOnnxConfig::SamplesToTextOnnxConfig;
  Dim axis_length(std::string_view tensor, const std::string& symbol) const override {
    const bool of_states = tensor == "encoder_hidden_states" || tensor.find(".encoder.") != tensor.npos;
    return Dim::parse(of_states && symbol == samples_axis() ? states_axis() : symbol);
  }

 protected:
  std::string samples_axis() const override { return "encoder_sequence_length"; }
  std::string states_axis() const override {
    return "( ( ( encoder_sequence_length - 127 ) // 64 + 1 - 7 ) // 3 + 1 - 3 ) // 2 + 1";
  }
  NormalizedConfig::Names names() const override {
    return {{"hidden_size", "hidden_size"},
            {"head_dim", "head_dim"},
            {"encoder_num_layers", "encoder_num_hidden_layers"},
            {"decoder_num_layers", "decoder_num_hidden_layers"},
            {"encoder_num_attention_heads", "encoder_num_attention_heads"},
            {"decoder_num_attention_heads", "decoder_num_attention_heads"}};
  }
  std::shared_ptr<const DummyInputGenerator> decoder_generator() const override {
    return std::make_shared<const DummyMoonshineDecoderInputGenerator>(encoder_width());
  }
};

struct Config {
  MoonshineDecoderConfig decoder;
  std::int64_t width, layers;
  nn::HeadSizes heads;
  std::string activation;
  nn::RopeParameters rope;

  explicit Config(const PretrainedConfig& c)
      : decoder(c, "decoder_"),
        width(decoder.heads.hidden_size),
        layers(c.integer("encoder_num_hidden_layers")),
        heads(moonshine_heads(c, "encoder_")),
        activation(c.string("encoder_hidden_act")),
        rope(rope_parameters(c, heads.head_dim)) {
    rope.interleaved = true;
    check_multiple(c, "encoder_num_key_value_heads", heads.kv_heads, "encoder_num_attention_heads",
                   heads.heads);
  }
};

// One of `length` states stands for kStride samples: mask of the samples [B, samples] -> [B, length]
Value shorten(Value mask, const Dim& length) {
  const ModulePath at(mask, "attention_mask");
  const Value firsts = op::mul(op::arange(mask.graph(), length), static_cast<double>(kStride));
  return op::gather(mask, 1, op::expand(op::unsqueeze(firsts, 0), {mask.dim(0), length}));
}

// Samples [B, S] -> [B, L, width]
Value convolve(const Scope& s, const Config& c, Value samples) {
  const ModulePath at(samples, s.path());
  const auto conv = [&](const char* name, int i, std::int64_t in, std::int64_t out) {
    return nn::Conv1d(s / name, in, out, kKernels[i], i > 0, {.stride = {kStrides[i]}});
  };
  Value x = op::tanh(conv("conv1", 0, 1, c.width)(op::unsqueeze(samples, 1)));
  x = nn::GroupNorm(s / "groupnorm", 1, c.width, kEps)(x);
  x = op::gelu(conv("conv2", 1, c.width, 2 * c.width)(x));
  x = op::gelu(conv("conv3", 2, 2 * c.width, c.width)(x));
  return op::transpose(x, 1, 2);
}

Value encode(const Scope& s, const Config& c, Value samples, Value attention_mask) {
  const auto norm = [&](const Scope& at, Value x) {
    return nn::LayerNorm(at, c.width, kEps, true, false)(x);
  };
  Value x = convolve(s, c, samples);
  const op::AttentionMask mask = nn::padding_mask(shorten(attention_mask, x.dim(1)));
  const Value positions = op::unsqueeze(op::arange(x.graph(), x.dim(1)), 0);
  const op::Rope rope = nn::RotaryEmbedding(s.path() + ".rotary_emb", c.rope)(positions);
  for (std::int64_t i = 0; i < c.layers; ++i) {
    const Scope layer = s / "layers" / i, attention = layer / "self_attn", mlp = layer / "mlp";
    const auto project = nn::QkvProjection::separate(attention, c.heads, c.decoder.attention_bias);
    const nn::Linear output(attention / "o_proj", c.heads.heads * c.heads.head_dim, c.width, false);
    const nn::QueryKeyValue qkv = project(norm(layer / "input_layernorm", x));
    const op::AttentionOperands o{
        .query = qkv.query, .key = qkv.key, .value = qkv.value, .mask = mask, .rope = rope};
    x = op::add(x, output(op::attention(o, c.heads.heads, c.heads.kv_heads).output));
    const nn::Mlp feed_forward(mlp.path(), nn::Linear(mlp / "fc1", c.width, c.decoder.intermediate_size),
                               nn::Linear(mlp / "fc2", c.decoder.intermediate_size, c.width), c.activation);
    x = op::add(x, feed_forward(norm(layer / "post_attention_layernorm", x)));
  }
  return norm(s / "layer_norm", x);
}

Value decode(const Scope& s, const Config& c, nn::Seq2SeqPass& pass) {
  if (const Value mask = pass.encoder_attention_mask())
    pass.set_encoder_attention_mask(shorten(mask, pass.encoder_states().dim(1)));
  return moonshine_decode(s, c.decoder, pass);
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope(), base = root.base_model("model");
  return nn::build_seq2seq_task(
      component, inputs,
      {.encode =
           [&](const Inputs& in) {
             return encode(base / "encoder", c, in["input_values"], in["attention_mask"]);
           },
       .decode = [&](nn::Seq2SeqPass& pass) { return decode(base / "decoder", c, pass); },
       .lm_head = [&](Value hidden) { return moonshine_logits(root, base / "decoder", c.decoder, hidden); }});
}

}  // namespace

void register_moonshine(TasksManager& tasks) {
  tasks.register_model<MoonshineOnnxConfig>(
      {.model_type = "moonshine",
       .tasks = {"feature-extraction", "feature-extraction-with-past", "automatic-speech-recognition",
                 "automatic-speech-recognition-with-past"},
       .forward = forward,
       .key_names = tied("model.decoder.embed_tokens", "proj_out")});
}

}  // namespace onnxport::models
