// Audio Spectrogram Transformer. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/audio_spectrogram_transformer/modeling_audio_spectrogram_transformer.py
#include <fmt/format.h>

#include "models/vision/common/vit.h"
#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/pre_norm_encoder.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

/// input_values: a spectrogram [batch_size, max_length, num_mel_bins].
class DummySpectrogramInputGenerator : public DummyFloatInputGenerator {
 public:
  bool supports_input(std::string_view name) const override { return name == "input_values"; }
  TensorType type(std::string_view /*name*/, const DummyContext& context,
                  const DummyShapes& shapes) const override {
    return {context.float_dtype,
            {shapes.batch_size, context.normalized["max_length"], context.normalized["num_mel_bins"]}};
  }
};

/// Positions exist only for one length, so only the batch is dynamic.
class AudioSpectrogramTransformerOnnxConfig : public AudioOnnxConfig {
 public:
  using AudioOnnxConfig::AudioOnnxConfig;
  AxesByName inputs() const override { return {{"input_values", {{0, "batch_size"}}}}; }
  DummyInputGenerators dummy_input_generators() const override {
    return {std::make_shared<const DummySpectrogramInputGenerator>()};
  }
};

struct Config : ViTEncoderConfig {
  std::int64_t patch_size, frequency_stride, time_stride, max_length, num_mel_bins;

  explicit Config(const PretrainedConfig& c)
      : ViTEncoderConfig(c),
        patch_size(c.integer("patch_size")),
        frequency_stride(c.integer("frequency_stride")),
        time_stride(c.integer("time_stride")),
        max_length(c.integer("max_length")),
        num_mel_bins(c.integer("num_mel_bins")) {
    qkv_bias = c.flag("qkv_bias");
    if (patch_size < 1 || frequency_stride < 1 || time_stride < 1 || max_length < patch_size ||
        num_mel_bins < patch_size) {
      throw ExportError(
          ErrorCode::bad_config,
          fmt::format("{}: no patch of {} with strides {} and {} fits a spectrogram of {} by {}", c.origin(),
                      patch_size, frequency_stride, time_stride, num_mel_bins, max_length));
    }
  }

  std::int64_t patches() const {
    const std::int64_t rows = (num_mel_bins - patch_size) / frequency_stride + 1;
    const std::int64_t columns = (max_length - patch_size) / time_stride + 1;
    return rows * columns;
  }
};

struct Embeddings {
  std::string path;
  Weight cls_token, distillation_token, position_embeddings;
  nn::Conv2d projection;

  Embeddings(const Scope& s, const Config& c)
      : path(s.path()),
        cls_token(s.weight("cls_token", {1, 1, c.hidden_size})),
        distillation_token(s.weight("distillation_token", {1, 1, c.hidden_size})),
        position_embeddings(s.weight("position_embeddings", {1, c.patches() + 2, c.hidden_size})),
        projection(s / "patch_embeddings" / "projection", 1, c.hidden_size, {c.patch_size, c.patch_size},
                   true, {.stride = {c.frequency_stride, c.time_stride}}) {}

  // [B, time, frequency] -> [B, 2 + patches, H]
  Value operator()(Value input_values) const {
    const ModulePath at(input_values, path);
    Graph& graph = input_values.graph();
    const Value image = op::transpose(op::unsqueeze(input_values, 1), 2, 3);
    const Value patches = nn::image_to_tokens(projection(image));
    const Shape one = {patches.dim(0), 1, patches.dim(2)};
    const Value cls = op::expand(graph.weight(cls_token), one);
    const Value distillation = op::expand(graph.weight(distillation_token), one);
    const Value all = op::concat({cls, distillation, patches}, 1);
    return op::add(all, graph.weight(position_embeddings));
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const Scope base = root.base_model("audio_spectrogram_transformer");
  const Embeddings embeddings(base / "embeddings", c);
  const nn::PreNormEncoder encoder(base / "encoder" / "layer", c.num_hidden_layers, c.layer());
  const nn::LayerNorm norm(base / "layernorm", c.hidden_size, c.layer_norm_eps);
  const Value hidden = norm(encoder(embeddings(inputs["input_values"])));
  if (component.task == "feature-extraction") return {{"last_hidden_state", hidden}};

  // The mean of the first two tokens, followed by a norm.
  const Value pooled = op::mean(op::slice(hidden, 1, 0, 2), 1);
  const Scope head = root / "classifier";
  const Value normed = nn::LayerNorm(head / "layernorm", c.hidden_size, c.layer_norm_eps)(pooled);
  return {{"logits", nn::Linear(head / "dense", c.hidden_size, c.num_labels)(normed)}};
}

}  // namespace

void register_audio_spectrogram_transformer(TasksManager& tasks) {
  tasks.register_model<AudioSpectrogramTransformerOnnxConfig>(
      {.model_type = "audio-spectrogram-transformer",
       .tasks = {"feature-extraction", "audio-classification"},
       .forward = forward,
       .key_names = vit_key_names()});
}

}  // namespace onnxport::models
