// DAC, a codec whose codebooks have few dimensions. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/dac/modeling_dac.py
#include <fmt/format.h>

#include <algorithm>

#include "models/audio/common/codec.h"
#include "onnxport/error.h"
#include "onnxport/nn/sound.h"

namespace onnxport::models {
namespace {

constexpr std::int64_t kKernel = 7;  // not configurable

struct Config {
  std::int64_t encoder_hidden_size, decoder_hidden_size, hidden_size;
  std::vector<std::int64_t> down, up;
  std::int64_t codebooks, codebook_size, codebook_dim;

  explicit Config(const PretrainedConfig& c)
      : encoder_hidden_size(c.integer("encoder_hidden_size")),
        decoder_hidden_size(c.integer("decoder_hidden_size")),
        down(c.integers("downsampling_ratios")),
        up(down.rbegin(), down.rend()),
        codebooks(c.integer("n_codebooks")),
        codebook_size(c.integer("codebook_size")),
        codebook_dim(c.integer("codebook_dim")) {
    if (c.has("upsampling_ratios")) up = c.integers("upsampling_ratios");
    bool fits = down.size() < 16 && up.size() < 16 && !down.empty() && !up.empty() && codebooks >= 1 &&
                codebook_size >= 1 && codebook_dim >= 1 && encoder_hidden_size >= 1 &&
                encoder_hidden_size <= (1 << 20) && decoder_hidden_size >> up.size() >= 1;
    for (const auto& ratios : {down, up}) {
      for (const std::int64_t ratio : ratios) fits = fits && ratio >= 1 && ratio <= 1024;
    }
    if (!fits) {
      throw ExportError(
          ErrorCode::bad_config,
          fmt::format("{}: downsampling_ratios [{}], upsampling_ratios [{}], "
                      "encoder_hidden_size {}, decoder_hidden_size {}, {} codebooks of {} times "
                      "{} do not fit together",
                      c.origin(), fmt::join(down, ", "), fmt::join(up, ", "), encoder_hidden_size,
                      decoder_hidden_size, codebooks, codebook_size, codebook_dim));
    }
    hidden_size = c.integer("hidden_size", encoder_hidden_size << down.size());
    c.harmless({"sampling_rate", "hop_length", "quantizer_dropout", "commitment_loss_weight",
                "codebook_loss_weight"});  // the last three of training
  }
};

class DacOnnxConfig : public CodecOnnxConfig {
 public:
  using CodecOnnxConfig::CodecOnnxConfig;

 protected:
  CodecSizes sizes() const override {
    const Config c(config().unaccounted());
    return {.codebooks = c.codebooks, .codebook_size = c.codebook_size};
  }
  bool squeezes_channels() const override { return true; }
};

// x + sin(alpha x)^2 / alpha, with one alpha per channel. (Ziyin et al. 2020)
Value snake(const Scope& s, std::int64_t channels, Value x) {
  const ModulePath at(x, s.path());
  const double one = 1, least = 1e-9;
  const Weight alpha = s.weight("alpha", {1, channels, 1}).cast(DType::f32);
  const Weight above = alpha.add(Weight::from_doubles(DType::f32, {}, {&least, 1}));
  const Weight inverse = Weight::from_doubles(DType::f32, {1, 1, 1}, {&one, 1}).div(above);
  Graph& graph = x.graph();
  const Value factor = graph.weight_as_is(alpha);
  const Value wave = op::sin(op::mul(op::cast(x, DType::f32), factor));
  const Value squared = op::mul(wave, wave);
  const Value added = op::mul(squared, graph.weight_as_is(inverse.named(s.path() + ".inverse")));
  return op::add(x, op::cast(added, x.dtype()));
}

Value residual_unit(const Scope& s, std::int64_t width, std::int64_t dilation, Value x) {
  const std::int64_t around = nn::same_padding(kKernel, dilation);
  const nn::Conv1d conv1 = nn::sound_conv(s / "conv1", width, width, kKernel, true,
                                          {.padding = {around, around}, .dilation = {dilation}});
  const Value once = conv1(snake(s / "snake1", width, x));
  const Value twice = nn::sound_conv(s / "conv2", width, width, 1)(snake(s / "snake2", width, once));
  return op::add(x, twice);
}

Value residual_units(const Scope& s, std::int64_t width, Value x) {
  x = residual_unit(s / "res_unit1", width, 1, x);
  x = residual_unit(s / "res_unit2", width, 3, x);
  return residual_unit(s / "res_unit3", width, 9, x);
}

// A kernel of twice the stride: a step sees half of its neighbours.
op::ConvOptions resampling(std::int64_t stride) {
  const std::int64_t around = (stride + 1) / 2;
  return {.stride = {stride}, .padding = {around, around}};
}

Value encode(const Scope& s, const Config& c, Value samples) {
  std::int64_t width = c.encoder_hidden_size;
  Value x = nn::sound_conv(s / "conv1", 1, width, kKernel, true, {.padding = {3, 3}})(samples);
  for (std::size_t i = 0; i < c.down.size(); ++i, width *= 2) {
    const Scope block = s / "block" / static_cast<std::int64_t>(i);
    x = snake(block / "snake1", width, residual_units(block, width, x));
    x = nn::sound_conv(block / "conv1", width, 2 * width, 2 * c.down[i], true, resampling(c.down[i]))(x);
  }
  x = snake(s / "snake1", width, x);
  return nn::sound_conv(s / "conv2", width, c.hidden_size, 3, true, {.padding = {1, 1}})(x);
}

Value decode(const Scope& s, const Config& c, Value hidden) {
  std::int64_t width = c.decoder_hidden_size;
  Value x = nn::sound_conv(s / "conv1", c.hidden_size, width, kKernel, true, {.padding = {3, 3}})(hidden);
  for (std::size_t i = 0; i < c.up.size(); ++i, width /= 2) {
    const Scope block = s / "block" / static_cast<std::int64_t>(i);
    const nn::ConvTranspose1d up(block / "conv_t1", width, width / 2, 2 * c.up[i], true, resampling(c.up[i]));
    x = residual_units(block, width / 2, up(snake(block / "snake1", width, x)));
  }
  x = snake(s / "snake1", width, x);
  return op::squeeze(op::tanh(nn::sound_conv(s / "conv2", width, 1, kKernel, true, {.padding = {3, 3}})(x)),
                     1);
}

// One codebook with its projections.
struct Quantizer {
  nn::Conv1d in_proj, out_proj;
  Weight table;
  Codebook directions;

  static Weight normalized(const Weight& table) {
    const double least = 1e-12;
    const Weight lengths = table.norm_except(0).add(Weight::from_doubles(DType::f32, {}, {&least, 1}));
    return table.div(lengths).named(table.name() + ".normalized");
  }
  Quantizer(const Scope& s, const Config& c)
      : in_proj(nn::sound_conv(s / "in_proj", c.hidden_size, c.codebook_dim, 1)),
        out_proj(nn::sound_conv(s / "out_proj", c.codebook_dim, c.hidden_size, 1)),
        table((s / "codebook").weight("weight", {c.codebook_size, c.codebook_dim})),
        directions((s / "codebook").path(), normalized(table.cast(DType::f32))) {}

  // hidden [B, hidden_size, L] -> int64 [B, L]: by direction, so the length of the vector does not matter
  Value codes(Value hidden) const { return directions.nearest(op::transpose(in_proj(hidden), 1, 2)); }
  Value operator()(Value codes) const {
    return out_proj(op::transpose(op::embedding(codes.graph().weight(table), codes), 1, 2));
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const bool decodes = component.part == "decoder";
  Value left = decodes ? Value() : encode(root / "encoder", c, inputs["input_values"]);
  Value sum;
  std::vector<Value> all;
  for (std::int64_t i = 0; i < c.codebooks; ++i) {
    const Quantizer quantizer(root / "quantizer" / "quantizers" / i, c);
    const Value codes = decodes ? op::select(inputs["audio_codes"], 1, i) : quantizer.codes(left);
    const Value vectors = quantizer(codes);
    if (decodes) {
      sum = sum ? op::add(sum, vectors) : vectors;
    } else {
      left = op::sub(left, vectors);
      all.push_back(op::unsqueeze(codes, 1));
    }
  }
  if (decodes) return {{"audio_values", decode(root / "decoder", c, sum)}};
  return {{"audio_codes", op::concat(std::move(all), 1)}};
}

}  // namespace

void register_dac(TasksManager& tasks) {
  tasks.register_model<DacOnnxConfig>(
      {.model_type = "dac", .tasks = {"feature-extraction"}, .forward = forward});
}

}  // namespace onnxport::models
