// Moonshine for streams: an encoder of frames with windows. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/moonshine_streaming/modeling_moonshine_streaming.py
#include <fmt/format.h>

#include <cmath>

#include "models/audio/common/moonshine.h"
#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/mlp.h"

namespace onnxport::models {
namespace {

constexpr double kEps = 1e-5;  // of the norms; that of frames has its own
constexpr double kFrameEps = 1e-6;
constexpr std::int64_t kKernel = 5, kStride = 2;  // of both convolutions

class MoonshineStreamingOnnxConfig : public SamplesToTextOnnxConfig {
 public:
  using SamplesToTextOnnxConfig::SamplesToTextOnnxConfig;
  std::int64_t encoder_width() const override {
    return config().unaccounted().sub("encoder_config", "moonshine_streaming_encoder").integer("hidden_size");
  }

 protected:
  std::string samples_axis() const override { return "num_samples"; }
  std::string states_axis() const override { return "encoder_output_length"; }
  NormalizedConfig::Names names() const override {
    return {{"hidden_size", "hidden_size"},
            {"head_dim", "head_dim"},
            {"decoder_num_layers", "num_hidden_layers"},
            {"decoder_num_attention_heads", "num_attention_heads"}};
  }
};

struct Config {
  MoonshineDecoderConfig decoder;
  std::int64_t width, intermediate_size, layers, positions, frame;
  nn::HeadSizes heads;
  std::string activation;
  bool attention_bias;
  std::vector<std::vector<std::int64_t>> windows;  // behind a state with its own, and before it

  explicit Config(const PretrainedConfig& c)
      : Config(c, c.sub("encoder_config", "moonshine_streaming_encoder")) {}
  Config(const PretrainedConfig& c, const PretrainedConfig& encoder)
      : decoder(c, ""),
        width(encoder.integer("hidden_size")),
        intermediate_size(encoder.integer("intermediate_size")),
        layers(encoder.integer("num_hidden_layers")),
        positions(c.integer("max_position_embeddings")),
        heads(moonshine_heads(encoder, "")),
        activation(encoder.string("hidden_act")),
        attention_bias(encoder.flag("attention_bias")),
        windows(encoder.integer_lists("sliding_windows")) {
    const double samples = encoder.real("sample_rate") * encoder.real("frame_ms") / 1000;
    bool fits = samples >= 0.5 && samples < (1 << 20) && static_cast<std::int64_t>(windows.size()) >= layers;
    for (const auto& window : windows) fits = fits && window.size() == 2;
    if (!fits) {
      throw ExportError(
          ErrorCode::bad_config,
          fmt::format("{}: frames of {} samples and {} sliding_windows for {} layers; expected at "
                      "least one sample, and two numbers for each layer",
                      c.origin(), samples, windows.size(), layers));
    }
    frame = static_cast<std::int64_t>(std::nearbyint(samples));
    encoder.harmless({"max_position_embeddings"});  // it has no positions
  }
};

// ---- from samples to states ----

// log(y + sqrt(y² + 1)) for the size of y, with its sign.
Value asinh(Value x) {
  const Value size = op::abs(x);
  const Value root = op::sqrt(op::add(op::mul(size, size), 1.0));
  const Value grown = op::log(op::add(size, root));
  const Value mirrored = op::neg(grown);
  return op::where(op::lt(x, 0.0), mirrored, grown);
}

struct Masked {
  Value x, real;  // [B, channels, L], bool [B, L]
};

// With zeros in front. Places that no real input reaches become zero.
Masked convolve(const Scope& s, std::int64_t in, std::int64_t out, const Masked& from) {
  const ModulePath at(from.x, s.path());
  const op::ConvOptions options{.stride = {kStride}, .padding = {kKernel - 1, 0}};
  const Value x = nn::Conv1d(s, in, out, kKernel, true, options)(from.x);
  const std::vector<double> ones(kKernel, 1.0);
  const Value counts = op::cast(op::unsqueeze(from.real, 1), DType::f32);
  const Value weight = x.graph().weight_as_is(Weight::from_doubles(DType::f32, {1, 1, kKernel}, ones));
  const Value real = op::gt(op::conv1d(counts, weight, {}, options), 0.0);
  return {op::mul(x, op::cast(real, x.dtype())), op::squeeze(real, 1)};
}

// Samples [B, S] -> [B, width, L], a state for every four frames
Masked embed(const Scope& s, const Config& c, Value samples, Value attention_mask) {
  const ModulePath at(samples, s.path());
  const Dim frames = samples.dim(1).floor_div(c.frame);
  const Value whole = op::slice(samples, 1, 0, frames * c.frame);
  const Value apart = op::cast(op::reshape(whole, {samples.dim(0), frames, c.frame}), DType::f32);
  const Value centered = op::sub(apart, op::mean(apart, 2, true));
  const Value power = op::mean(op::mul(centered, centered), 2, true);
  const Value normed = op::div(centered, op::sqrt(op::add(power, kFrameEps)));
  const Weight factor = (s / "comp").weight("log_k", {}).cast(DType::f32).exp();
  const Value compressed = asinh(op::mul(normed, samples.graph().weight_as_is(factor)));
  const Value x =
      op::silu(nn::Linear(s / "linear", c.frame, c.width, false)(op::cast(compressed, samples.dtype())));
  const Value count = op::div(op::sum(attention_mask, 1, true), static_cast<double>(c.frame));
  const Value real = op::lt(op::arange(x.graph(), frames), count);
  const Value kept = op::mul(x, op::cast(op::unsqueeze(real, 2), x.dtype()));
  Masked made = convolve(s / "conv1", c.width, 2 * c.width, {op::transpose(kept, 1, 2), real});
  made.x = op::silu(made.x);
  return convolve(s / "conv2", 2 * c.width, c.width, made);
}

// bool [L, L]: whether a state sees another one.
Value window_of(Graph& graph, const Dim& length, const std::vector<std::int64_t>& window) {
  const ModulePath at(graph, "attention_mask");
  const Value places = op::arange(graph, length);
  const Value back = op::sub(op::unsqueeze(places, 1), places);
  const Value near = op::lt(back, static_cast<double>(window[0]));
  const Value ahead = op::gt(back, static_cast<double>(-window[1]));
  const Value behind = op::logical_and(op::ge(back, op::scalar(graph, 0, DType::i64)), near);
  const Value before = op::logical_and(op::lt(back, 0.0), ahead);
  return op::logical_or(behind, before);
}

// Samples [B, S] -> states [B, L, width] and which of them are real.
Masked encode(const Scope& s, const Config& c, Value samples, Value attention_mask) {
  const Masked embedded = embed(s / "embedder", c, samples, attention_mask);
  Value x = op::transpose(embedded.x, 1, 2);
  Graph& graph = x.graph();
  const auto norm = [&](const Scope& at, Value y) {
    const ModulePath inside(y, at.path());
    const double one = 1;
    const Weight weight = at.weight("gamma", {c.width}).cast(DType::f32);
    const Weight grown = weight.add(Weight::from_doubles(DType::f32, {}, {&one, 1}));
    const Value factor = graph.weight(grown.named(at.path() + ".weight"));
    return op::mul(op::layer_norm(y, {}, {}, kEps), factor);
  };
  for (std::int64_t i = 0; i < c.layers; ++i) {
    const Scope layer = s / "layers" / i, attention = layer / "self_attn", mlp = layer / "mlp";
    const auto project = nn::QkvProjection::separate(attention, c.heads, c.attention_bias);
    const nn::Linear output(attention / "o_proj", c.heads.heads * c.heads.head_dim, c.width,
                            c.attention_bias);
    const nn::QueryKeyValue qkv = project(norm(layer / "input_layernorm", x));
    op::AttentionOperands o{.query = qkv.query, .key = qkv.key, .value = qkv.value};
    o.mask.padding = embedded.real;
    o.mask.visible = window_of(graph, x.dim(1), c.windows[static_cast<std::size_t>(i)]);
    x = op::add(x, output(op::attention(o, c.heads.heads, c.heads.kv_heads).output));
    const nn::Mlp feed_forward(mlp.path(), nn::Linear(mlp / "fc1", c.width, c.intermediate_size),
                               nn::Linear(mlp / "fc2", c.intermediate_size, c.width), c.activation);
    x = op::add(x, feed_forward(norm(layer / "post_attention_layernorm", x)));
  }
  return {norm(s / "final_norm", x), embedded.real};
}

// ---- the decoder ----

Value decode(const Scope& s, const Config& c, nn::Seq2SeqPass& pass) {
  if (!pass.cross_past(0).key) {
    const Value states = pass.encoder_states();
    const nn::Embedding positions(s / "pos_emb", c.positions, c.width);
    const Value placed = op::add(states, positions.first(states.graph(), states.dim(1)));
    const std::int64_t out = c.decoder.heads.hidden_size;
    pass.set_encoder_states(c.width == out ? placed : nn::Linear(s / "proj", c.width, out, false)(placed));
  }
  return moonshine_decode(s, c.decoder, pass);
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope(), base = root.base_model("model");
  Value real;  // of the whole model, whose mask has the length of the samples
  return nn::build_seq2seq_task(
      component, inputs,
      {.encode =
           [&](const Inputs& in) {
             const Masked made = encode(base / "encoder", c, in["input_values"], in["attention_mask"]);
             real = made.real;
             return made.x;
           },
       .decode =
           [&](nn::Seq2SeqPass& pass) {
             if (real) pass.set_encoder_attention_mask(real);
             return decode(base / "decoder", c, pass);
           },
       .lm_head = [&](Value hidden) { return moonshine_logits(root, base / "decoder", c.decoder, hidden); }});
}

}  // namespace

void register_moonshine_streaming(TasksManager& tasks) {
  tasks.register_model<MoonshineStreamingOnnxConfig>(
      {.model_type = "moonshine_streaming",
       .tasks = {"automatic-speech-recognition", "automatic-speech-recognition-with-past"},
       .forward = forward,
       .key_names = tied("model.decoder.embed_tokens", "proj_out")});
}

}  // namespace onnxport::models
