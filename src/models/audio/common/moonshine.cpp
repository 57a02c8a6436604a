#include "models/audio/common/moonshine.h"

#include <fmt/format.h>

#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

constexpr double kEps = 1e-5;  // torch's default, not configurable

/// input_values and their attention_mask: [batch_size, audio_sequence_length].
class DummySamplesInputGenerator : public DummyInputGenerator {
 public:
  bool supports_input(std::string_view name) const override {
    return name == "input_values" || name == "attention_mask";
  }
  TensorType type(std::string_view name, const DummyContext& context,
                  const DummyShapes& shapes) const override {
    return {name == "attention_mask" ? context.int_dtype : context.float_dtype,
            {shapes.batch_size, shapes.audio_sequence_length}};
  }
  Tensor generate(std::string_view name, const DummyContext& context, const DummyShapes& shapes,
                  std::uint64_t seed) const override {
    const TensorType made = type(name, context, shapes);
    if (name == "input_values") return random_floats(seed, name, made);
    const std::vector<std::int64_t> shape = static_shape(made.shape).value();
    return Tensor::from_ints(made.dtype, shape,
                             std::vector<std::int64_t>(static_cast<std::size_t>(shape[0] * shape[1]), 1));
  }
};

}  // namespace

AxesByName SamplesToTextOnnxConfig::inputs() const {
  if (behavior() == ConfigBehavior::decoder) return decoder_inputs();
  const Axes samples = {{0, "batch_size"}, {1, samples_axis()}};
  AxesByName inputs = {{"input_values", samples}, {"attention_mask", samples}};
  if (behavior() == ConfigBehavior::monolith)
    inputs.emplace_back("decoder_input_ids", Axes{{0, "batch_size"}, {1, "decoder_sequence_length"}});
  return inputs;
}

AxesByName SamplesToTextOnnxConfig::outputs() const {
  const Axes states = {{0, "batch_size"}, {1, states_axis()}};
  if (behavior() == ConfigBehavior::encoder) return {{"last_hidden_state", states}};
  AxesByName outputs = OnnxSeq2SeqConfigWithPast::outputs();
  if (behavior() == ConfigBehavior::monolith) outputs.emplace_back("encoder_last_hidden_state", states);
  return outputs;
}

NormalizedConfig SamplesToTextOnnxConfig::normalized_config() const {
  return NormalizedSeq2SeqConfig(config()).with_args(names());
}

DummyInputGenerators SamplesToTextOnnxConfig::dummy_input_generators() const {
  return {std::make_shared<const DummySamplesInputGenerator>(), decoder_generator(),
          std::make_shared<const DummyTextInputGenerator>()};
}

std::shared_ptr<const DummyInputGenerator> SamplesToTextOnnxConfig::decoder_generator() const {
  return std::make_shared<const DummySeq2SeqInputGenerator>(encoder_width());
}

nn::HeadSizes moonshine_heads(const PretrainedConfig& c, const std::string& prefix) {
  const std::string heads_key = prefix + "num_attention_heads", keys_key = prefix + "num_key_value_heads";
  nn::HeadSizes z{.hidden_size = c.integer("hidden_size"), .heads = divisor(c, heads_key.c_str())};
  z.kv_heads = c.maybe_integer(keys_key).value_or(z.heads);
  z.head_dim = c.maybe_integer("head_dim").value_or(z.hidden_size / z.heads);
  check_multiple(c, heads_key, z.heads, keys_key, z.kv_heads);
  if (z.head_dim > 0) return z;
  throw ExportError(ErrorCode::bad_config,
                    fmt::format("{}: heads of {} elements: hidden_size is {}, {} is {}", c.origin(),
                                z.head_dim, z.hidden_size, heads_key, z.heads));
}

MoonshineDecoderConfig::MoonshineDecoderConfig(const PretrainedConfig& c, const std::string& prefix)
    : vocab_size(c.integer("vocab_size")),
      intermediate_size(c.integer("intermediate_size")),
      layers(c.integer(prefix + "num_hidden_layers")),
      heads(moonshine_heads(c, prefix)),
      activation(c.string(prefix + "hidden_act")),
      rope(rope_parameters(c, heads.head_dim)),
      attention_bias(c.flag("attention_bias")),
      tied(c.flag("tie_word_embeddings", true)) {
  rope.interleaved = true;
  if (heads.heads != heads.kv_heads) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: {} heads with {} heads of keys, expected equally many", c.origin(),
                                  heads.heads, heads.kv_heads));
  }
  // Zeros beside the elements of heads; the rest concerns generation.
  c.harmless({"pad_head_dim_to_multiple_of", "is_encoder_decoder", "use_cache", "pad_token_id"});
}

Value moonshine_decode(const Scope& s, const MoonshineDecoderConfig& c, nn::Seq2SeqPass& pass) {
  const std::int64_t width = c.heads.hidden_size, attended = c.heads.heads * c.heads.head_dim;
  const auto norm = [&](const Scope& at, Value x) { return nn::LayerNorm(at, width, kEps, true, false)(x); };
  Value x = nn::Embedding(s / "embed_tokens", c.vocab_size, width)(pass.input_ids());
  for (std::int64_t i = 0; i < c.layers; ++i) {
    const Scope layer = s / "layers" / i, own = layer / "self_attn", other = layer / "encoder_attn";
    const nn::CausalAttention self({.path = own.path(),
                                    .layer = i,
                                    .sizes = c.heads,
                                    .qkv = nn::QkvProjection::separate(own, c.heads, c.attention_bias),
                                    .output = nn::Linear(own / "o_proj", attended, width, false),
                                    .rotary = nn::RotaryEmbedding(own.path() + ".rotary_emb", c.rope)});
    const auto projection = [&](const char* name) {
      return nn::Linear(other / name, width, attended, c.attention_bias);
    };
    const nn::CrossAttention cross(other.path(), c.heads.heads, {}, projection("q_proj"),
                                   {projection("k_proj"), projection("v_proj")},
                                   nn::Linear(other / "o_proj", attended, width, false));
    const Value normed = norm(layer / "input_layernorm", x);
    x = op::add(x, self(normed, pass));
    const Value before_cross = norm(layer / "post_attention_layernorm", x);
    x = op::add(x, cross(before_cross, pass, i));
    const Value before_mlp = norm(layer / "final_layernorm", x);
    const Scope mlp = layer / "mlp";
    const ModulePath at(x, mlp.path());
    const std::vector<Value> parts =
        op::chunk(nn::Linear(mlp / "fc1", width, 2 * c.intermediate_size)(before_mlp), -1, 2);
    const Value opened = op::mul(nn::Activation(c.activation)(parts[1]), parts[0]);
    x = op::add(x, nn::Linear(mlp / "fc2", c.intermediate_size, width)(opened));
  }
  return norm(s / "norm", x);
}

Value moonshine_logits(const Scope& root, const Scope& decoder, const MoonshineDecoderConfig& c,
                       Value hidden) {
  const std::int64_t width = c.heads.hidden_size;
  Weight words;
  if (c.tied) words = (decoder / "embed_tokens").weight("weight", {c.vocab_size, width});
  return nn::output_embedding(root / "proj_out", words, c.vocab_size, width)(hidden);
}

}  // namespace onnxport::models
