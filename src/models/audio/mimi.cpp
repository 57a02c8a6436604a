// Mimi: SEANet with causal transformers around its codebooks. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/mimi/modeling_mimi.py
#include <fmt/format.h>

#include <cmath>

#include "models/audio/common/codec.h"
#include "models/audio/common/seanet.h"
#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/causal_attention.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/nn/rotary.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

constexpr std::int64_t kStride = 2;  // between SEANet and the codebooks

std::vector<std::int64_t> upsampling_ratios(const PretrainedConfig& c) {
  if (!c.has("upsampling_ratios")) return {8, 6, 5, 4};
  return c.integers("upsampling_ratios");
}

struct Config {
  SeanetConfig seanet;
  std::int64_t resampling_kernel, upsample_groups;
  std::int64_t codebooks, semantic, codebook_size, codebook_dim, quantizer_width;
  std::int64_t layers, intermediate_size;
  nn::HeadSizes heads;
  std::string activation;
  double eps;
  bool attention_bias;
  std::optional<std::int64_t> window;
  nn::RopeParameters rope;

  explicit Config(const PretrainedConfig& c)
      : seanet(c, upsampling_ratios(c)),
        upsample_groups(c.integer("upsample_groups")),
        codebooks(c.integer("num_quantizers")),
        semantic(c.integer("num_semantic_quantizers")),
        codebook_size(c.integer("codebook_size")),
        codebook_dim(c.maybe_integer("codebook_dim").value_or(seanet.hidden_size)),
        quantizer_width(c.integer("vector_quantization_hidden_dimension")),
        layers(c.integer("num_hidden_layers")),
        intermediate_size(c.integer("intermediate_size")),
        heads{.hidden_size = seanet.hidden_size,
              .heads = divisor(c, "num_attention_heads"),
              .kv_heads = divisor(c, "num_key_value_heads")},
        activation(c.string("hidden_act")),
        eps(c.real("norm_eps")),
        attention_bias(c.flag("attention_bias")) {
    heads.head_dim = c.maybe_integer("head_dim").value_or(0);
    if (heads.head_dim == 0) heads.head_dim = heads.hidden_size / heads.heads;
    check_multiple(c, "num_attention_heads", heads.heads, "num_key_value_heads", heads.kv_heads);
    rope = rope_parameters(c, heads.head_dim);
    // Version 4 makes the whole causal mask.
    const std::int64_t sliding = c.integer("sliding_window");
    if (c.transformers_major() >= 5) window = sliding;
    const std::int64_t hop = seanet.hop_length();
    const double rate = c.real("sampling_rate"), own = std::ceil(rate / static_cast<double>(hop));
    const double given = c.maybe_real("frame_rate").value_or(c.maybe_real("_frame_rate").value_or(0));
    const double frames = given != 0 ? given : rate / static_cast<double>(hop * kStride);
    resampling_kernel = frames > 0 && own / frames < 1024 ? 2 * static_cast<std::int64_t>(own / frames) : 0;
    const bool cut = upsample_groups >= 1 && seanet.hidden_size % upsample_groups == 0;
    if (semantic < 1 || semantic >= codebooks || codebook_dim != quantizer_width || codebook_size < 1 ||
        own == frames || resampling_kernel < kStride || !cut || c.flag("use_streaming")) {
      throw ExportError(
          ErrorCode::bad_config,
          fmt::format(
              "{}: num_semantic_quantizers {} of num_quantizers {}, codebook_dim {}, "
              "vector_quantization_hidden_dimension {}, upsample_groups {}, {} frames a second of {} "
              "before the codebooks; expected fewer semantic codebooks than all, codebooks as wide as "
              "their inputs, less frames behind, groups that divide hidden_size, and no use_streaming",
              c.origin(), semantic, codebooks, codebook_dim, quantizer_width, upsample_groups, frames, own));
    }
    c.harmless({"use_cache", "layer_scale_initial_scale", "max_position_embeddings"});
  }
};

class MimiOnnxConfig : public CodecOnnxConfig {
 public:
  using CodecOnnxConfig::CodecOnnxConfig;

 protected:
  CodecSizes sizes() const override {
    const Config c(config().unaccounted());
    return {.channels = c.seanet.channels, .codebooks = c.codebooks, .codebook_size = c.codebook_size};
  }
};

// A residual with a scale for each channel.
Value scaled_residual(const Scope& s, const Config& c, Value x, Value branch) {
  return op::add(x, op::mul(branch, x.graph().weight(s.weight("scale", {c.seanet.hidden_size}))));
}

// x [B, hidden_size, L], through causal layers.
Value transformer(const Scope& s, const Config& c, Value x) {
  const ModulePath at(x, s.path());
  x = op::transpose(x, 1, 2);
  const std::int64_t width = c.seanet.hidden_size;
  const Value positions = op::unsqueeze(op::arange(x.graph(), x.dim(1)), 0);
  const op::Rope rope = nn::RotaryEmbedding(s.path() + ".rotary_emb", c.rope)(positions);
  for (std::int64_t i = 0; i < c.layers; ++i) {
    const Scope layer = s / "layers" / i, attention = layer / "self_attn", mlp = layer / "mlp";
    const nn::QkvProjection projection = nn::QkvProjection::separate(attention, c.heads, c.attention_bias);
    const nn::Linear output(attention / "o_proj", c.heads.heads * c.heads.head_dim, width, c.attention_bias);
    const nn::QueryKeyValue qkv = projection(nn::LayerNorm(layer / "input_layernorm", width, c.eps)(x));
    op::AttentionOperands o{.query = qkv.query, .key = qkv.key, .value = qkv.value, .rope = rope};
    o.mask = {.causal = true, .window = c.window};
    const Value attended = op::attention(o, c.heads.heads, c.heads.kv_heads).output;
    x = scaled_residual(layer / "self_attn_layer_scale", c, x, output(attended));
    const nn::Mlp feed_forward(mlp.path(), nn::Linear(mlp / "fc1", width, c.intermediate_size, false),
                               nn::Linear(mlp / "fc2", c.intermediate_size, width, false), c.activation);
    const Value normed = nn::LayerNorm(layer / "post_attention_layernorm", width, c.eps)(x);
    x = scaled_residual(layer / "mlp_layer_scale", c, x, feed_forward(normed));
  }
  return op::transpose(x, 1, 2);
}

// The semantic or the acoustic codebooks, with a projection on each side.
struct Quantizer {
  Scope s;
  std::int64_t width, hidden_size;
  std::vector<Codebook> codebooks;

  Quantizer(const Scope& scope, const Config& c, std::int64_t count)
      : s(scope), width(c.quantizer_width), hidden_size(c.seanet.hidden_size) {
    for (std::int64_t i = 0; i < count; ++i) {
      const Scope codebook = s / "layers" / i / "codebook";
      codebook.ignore("initialized");
      codebooks.emplace_back(codebook.path(), table(codebook, c));
    }
  }
  // Each vector is a sum over the times that it was used, of which there are at least 1e-5.
  static Weight table(const Scope& s, const Config& c) {
    const double least = 1e-5, half = 0.5;
    const Weight least_usage = Weight::from_doubles(DType::f32, {}, {&least, 1});
    const Weight usage = s.weight("cluster_usage", {c.codebook_size}).cast(DType::f32);
    const Weight above = usage.sub(least_usage);
    const Weight twice = usage.add(least_usage).add(above.mul(above).sqrt());  // the larger one, twice
    const Weight times = twice.mul(Weight::from_doubles(DType::f32, {}, {&half, 1}));
    const Weight sums = s.weight("embed_sum", {c.codebook_size, c.codebook_dim}).cast(DType::f32);
    return sums.div(times.reshape({c.codebook_size, 1})).named((s / "embed").path());
  }
  Value project(const char* name, std::int64_t in, std::int64_t out, Value x) const {
    return in == out ? x : nn::Conv1d(s / name, in, out, 1, false)(x);
  }
  Value codes(Value x) const {
    return residual_codes(op::transpose(project("input_proj", hidden_size, width, x), 1, 2), codebooks);
  }
  Value operator()(Value codes) const {
    const Value vectors = op::transpose(sum_of_vectors(codes, codebooks), 1, 2);
    return project("output_proj", width, hidden_size, vectors);
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const std::int64_t width = c.seanet.hidden_size;
  const Quantizer semantic(root / "quantizer" / "semantic_residual_vector_quantizer", c, c.semantic);
  const Quantizer acoustic(root / "quantizer" / "acoustic_residual_vector_quantizer", c,
                           c.codebooks - c.semantic);
  if (component.part == "decoder") {
    const Value codes = inputs["audio_codes"];
    const Value first = semantic(op::slice(codes, 1, 0, c.semantic));
    const Value sum = op::add(first, acoustic(op::slice(codes, 1, c.semantic, c.codebooks)));
    const SeanetConvTranspose upsample(root / "upsample", c.seanet.padding, width, width, c.resampling_kernel,
                                       {.stride = {kStride}, .groups = c.upsample_groups}, false);
    const Value hidden = transformer(root / "decoder_transformer", c, upsample(sum));
    return {{"audio_values", seanet_decode(root / "decoder", c.seanet, hidden)}};
  }
  SeanetPadding repeated = c.seanet.padding;
  repeated.mode = "replicate";
  const SeanetConv downsample(root / "downsample", repeated, width, width, c.resampling_kernel,
                              {.stride = {kStride}}, false);
  const Value encoded = seanet_encode(root / "encoder", c.seanet, inputs["input_values"]);
  const Value hidden = downsample(transformer(root / "encoder_transformer", c, encoded));
  const Value first = semantic.codes(hidden);
  return {{"audio_codes", op::concat({first, acoustic.codes(hidden)}, 1)}};
}

}  // namespace

void register_mimi(TasksManager& tasks) {
  tasks.register_model<MimiOnnxConfig>(
      {.model_type = "mimi", .tasks = {"feature-extraction"}, .forward = forward});
}

}  // namespace onnxport::models
