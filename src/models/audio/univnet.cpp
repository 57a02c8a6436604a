// UnivNet: noise becomes sound, by convolutions whose kernels a spectrogram gives. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/univnet/modeling_univnet.py
#include <fmt/format.h>

#include <algorithm>

#include "models/common/definition.h"
#include "onnxport/error.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/sound.h"
#include "onnxport/signal_ops.h"

namespace onnxport::models {
namespace {

constexpr std::int64_t kEndKernel = 7;  // of the first and the last convolution

struct Config {
  std::int64_t mel_bins, noise_channels, hidden, predictor_blocks, predictor_kernel;
  std::vector<std::int64_t> kernels, strides;
  std::vector<std::vector<std::int64_t>> dilations;
  double slope;

  explicit Config(const PretrainedConfig& c)
      : mel_bins(c.integer("num_mel_bins")),
        noise_channels(c.integer("model_in_channels")),
        hidden(c.integer("model_hidden_channels")),
        predictor_blocks(c.integer("kernel_predictor_num_blocks")),
        predictor_kernel(c.integer("kernel_predictor_conv_size")),
        kernels(c.integers("resblock_kernel_sizes")),
        strides(c.integers("resblock_stride_sizes")),
        dilations(c.integer_lists("resblock_dilation_sizes")),
        slope(c.real("leaky_relu_slope")) {
    const std::int64_t predictor = c.integer("kernel_predictor_hidden_channels");
    bool fits = predictor == noise_channels && kernels.size() == strides.size() && !kernels.empty() &&
                kernels.size() == dilations.size() && slope >= 0 && slope <= 1 && hidden >= 1 &&
                hidden <= (1 << 16) && predictor_blocks >= 0;
    for (const std::int64_t stride : strides) fits = fits && stride >= 1 && stride <= 1024;
    for (const std::int64_t kernel : kernels) fits = fits && kernel >= 1 && kernel <= 1024;
    for (const auto& list : dilations) fits = fits && !list.empty() && list.size() <= 64;
    if (!fits) {
      throw ExportError(
          ErrorCode::bad_config,
          fmt::format("{}: kernel_predictor_hidden_channels {}, model_in_channels {}, {} "
                      "resblock_kernel_sizes, {} resblock_stride_sizes, {} resblock_dilation_sizes and "
                      "leaky_relu_slope {}; expected equal channels, lists of equal lengths, and a slope "
                      "between 0 and 1",
                      c.origin(), predictor, noise_channels, kernels.size(), strides.size(), dilations.size(),
                      slope));
    }
    c.harmless({"kernel_predictor_dropout"});
  }
};

/// input_features and noise_sequence: [batch_size, sequence_length, channels].
class DummyVocoderInputGenerator : public DummyFloatInputGenerator {
 public:
  explicit DummyVocoderInputGenerator(const Config& c) : mel_bins_(c.mel_bins), noise_(c.noise_channels) {}
  bool supports_input(std::string_view name) const override {
    return name == "input_features" || name == "noise_sequence";
  }
  TensorType type(std::string_view name, const DummyContext& context,
                  const DummyShapes& shapes) const override {
    // The mirror at both ends needs four frames.
    return {context.float_dtype,
            {shapes.batch_size, std::max<std::int64_t>(shapes.sequence_length, 4),
             name == "input_features" ? mel_bins_ : noise_}};
  }

 private:
  std::int64_t mel_bins_, noise_;
};

class UnivNetOnnxConfig : public OnnxConfig {
 public:
  using OnnxConfig::OnnxConfig;
  AxesByName inputs() const override {
    const Axes frames = {{0, "batch_size"}, {1, "sequence_length"}};
    return {{"input_features", frames}, {"noise_sequence", frames}};
  }
  AxesByName outputs() const override { return {{"waveforms", {{0, "batch_size"}, {1, "waveform_length"}}}}; }
  NormalizedConfig normalized_config() const override { return {config(), {}}; }
  DummyInputGenerators dummy_input_generators() const override {
    return {std::make_shared<const DummyVocoderInputGenerator>(Config(config().unaccounted()))};
  }
};

Value mirrored_conv(const Scope& s, std::int64_t in, std::int64_t out, Value x) {
  constexpr std::int64_t kAround = kEndKernel / 2;
  const Value padded = op::pad(x, {0, 0, kAround}, {0, 0, kAround}, op::PadMode::reflect);
  return nn::sound_conv(s, in, out, kEndKernel)(padded);
}

nn::Conv1d same_conv(const Scope& s, std::int64_t in, std::int64_t out, std::int64_t kernel,
                     std::int64_t dilation = 1) {
  const std::int64_t around = nn::same_padding(kernel, dilation);
  return nn::sound_conv(s, in, out, kernel, true, {.padding = {around, around}, .dilation = {dilation}});
}

// The kernels of all layers of a block, for each frame.
struct Kernels {
  std::vector<Value> weights;  // [B, L, 2 hidden, kernel * hidden]
  std::vector<Value> biases;   // [B, L, 2 hidden, 1]

  Kernels(const Scope& s, const Config& c, std::int64_t kernel, std::int64_t layers, Value spectrogram) {
    const ModulePath at(spectrogram, s.path());
    const std::int64_t width = c.noise_channels, out = 2 * c.hidden;
    Value x = nn::leaky_relu(same_conv(s / "input_conv", c.mel_bins, width, 5)(spectrogram), c.slope);
    for (std::int64_t i = 0; i < c.predictor_blocks; ++i) {
      const Scope block = s / "resblocks" / i;
      const Value once = same_conv(block / "conv1", width, width, c.predictor_kernel)(x);
      const Value twice =
          same_conv(block / "conv2", width, width, c.predictor_kernel)(nn::leaky_relu(once, c.slope));
      x = op::add(x, nn::leaky_relu(twice, c.slope));
    }
    const std::int64_t each = c.hidden * out * kernel;
    const Value all = same_conv(s / "kernel_conv", width, each * layers, c.predictor_kernel)(x);
    const Value shifts = same_conv(s / "bias_conv", width, out * layers, c.predictor_kernel)(x);
    const Dim &batch = x.dim(0), &length = x.dim(2);
    for (std::int64_t i = 0; i < layers; ++i) {
      const Value own = op::slice(all, 1, i * each, (i + 1) * each);
      const Value apart = op::reshape(own, {batch, c.hidden, out, kernel, length});
      const Value by_frame = op::permute(apart, {0, 4, 2, 3, 1});
      weights.push_back(op::reshape(by_frame, {batch, length, out, kernel * c.hidden}));
      const Value shift = op::slice(shifts, 1, i * out, (i + 1) * out);
      biases.push_back(op::unsqueeze(op::transpose(shift, 1, 2), 3));
    }
  }
};

// Each frame of `hop` samples of x [B, hidden, L * hop] has its own kernel: -> [B, 2 hidden, L * hop]
Value convolve_by_frame(const Config& c, Value x, Value weights, Value bias, std::int64_t kernel,
                        std::int64_t hop) {
  const Dim &batch = x.dim(0), &samples = x.dim(2), &frames = weights.dim(1);
  const std::int64_t around = nn::same_padding(kernel);
  const Value padded = op::pad(x, {0, 0, around}, {0, 0, around});
  std::vector<Value> taps;
  for (std::int64_t k = 0; k < kernel; ++k)
    taps.push_back(op::reshape(op::slice(padded, 2, k, k + samples), {batch, c.hidden, frames, hop}));
  const Value columns = op::permute(op::concat(std::move(taps), 1), {0, 2, 1, 3});
  const Value made = op::add(op::matmul(weights, columns), bias);
  return op::reshape(op::permute(made, {0, 2, 1, 3}), {batch, 2 * c.hidden, samples});
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& /*component*/) {
  const Config c(model.config());
  const Scope root = model.scope();
  const Value spectrogram = op::transpose(inputs["input_features"], 1, 2);
  Value x = mirrored_conv(root / "conv_pre", c.noise_channels, c.hidden,
                          op::transpose(inputs["noise_sequence"], 1, 2));
  std::int64_t hop = 1;
  for (std::size_t i = 0; i < c.strides.size(); ++i) {
    const Scope block = root / "resblocks" / static_cast<std::int64_t>(i);
    const std::int64_t stride = c.strides[i], kernel = c.kernels[i];
    hop *= stride;
    // An odd stride has one element more behind the result than in front of it.
    const std::int64_t before = stride / 2 + stride % 2;
    const nn::ConvTranspose1d up(block / "convt_pre", c.hidden, c.hidden, 2 * stride, true,
                                 {.stride = {stride}, .padding = {before, before - stride % 2}});
    x = up(nn::leaky_relu(x, c.slope));
    const Kernels kernels(block / "kernel_predictor", c, kernel,
                          static_cast<std::int64_t>(c.dilations[i].size()), spectrogram);
    for (std::size_t j = 0; j < c.dilations[i].size(); ++j) {
      const Scope layer = block / "resblocks" / static_cast<std::int64_t>(j);
      const ModulePath at(x, layer.path());
      const nn::Conv1d conv = same_conv(layer / "conv", c.hidden, c.hidden, kernel, c.dilations[i][j]);
      const Value y = nn::leaky_relu(conv(nn::leaky_relu(x, c.slope)), c.slope);
      const std::vector<Value> halves =
          op::chunk(convolve_by_frame(c, y, kernels.weights[j], kernels.biases[j], kernel, hop), 1, 2);
      const Value opened = op::sigmoid(halves[0]);
      x = op::add(x, op::mul(opened, op::tanh(halves[1])));
    }
  }
  const Value last = mirrored_conv(root / "conv_post", c.hidden, 1, nn::leaky_relu(x, c.slope));
  return {{"waveforms", op::squeeze(op::tanh(last), 1)}};
}

}  // namespace

void register_univnet(TasksManager& tasks) {
  tasks.register_model<UnivNetOnnxConfig>(
      {.model_type = "univnet", .tasks = {"text-to-audio"}, .forward = forward});
}

}  // namespace onnxport::models
