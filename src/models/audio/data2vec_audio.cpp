// Data2Vec for audio: wav2vec 2.0 with a stack of convolutions as positions. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/data2vec/modeling_data2vec_audio.py
#include "models/audio/common/speech_encoder.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"

namespace onnxport::models {
namespace {

constexpr double kEps = 1e-5;  // torch's default, not configurable

/// Convolutions over time, each followed by a norm without weights. Keys: layers.{i}.conv.
struct PositionalConvs {
  std::string path;
  std::vector<nn::Conv1d> convs;
  nn::LayerNorm norm;
  nn::Activation activation;

  PositionalConvs(const Scope& s, const PretrainedConfig& config, const nn::PositionalConvParameters& p)
      : path(s.path()), norm(s, p.width, kEps, false), activation(p.activation) {
    const std::int64_t layers = config.integer("num_conv_pos_embeddings");
    const std::int64_t kernel = config.integer("conv_pos_kernel_size");
    // The originals drop the surplus element of an even kernel at the end.
    const std::int64_t before = kernel / 2, behind = kernel - 1 - before;
    for (std::int64_t i = 0; i < layers; ++i) {
      convs.emplace_back(s / "layers" / i / "conv", p.width, p.width, kernel, true,
                         op::ConvOptions{.padding = {before, behind}, .groups = p.groups});
    }
  }

  // [B, L, H] -> [B, L, H]
  Value operator()(Value x) const {
    const ModulePath at(x, path);
    for (const nn::Conv1d& conv : convs) {
      const Value mixed = conv(op::transpose(x, 1, 2));
      x = activation(norm(op::transpose(mixed, 1, 2)));
    }
    return x;
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  AdaptedSpeechConfig c(model.config());
  const Scope base = model.scope().base_model("data2vec_audio");
  c.features.layer_norm = true;
  c.encoder.pre_norm = false;
  c.encoder.make_positions =
      PositionalConvs(base / "encoder" / "pos_conv_embed", model.config(), c.encoder.positions);
  const std::vector<Value> states = speech_states(base, c, inputs["input_values"], c.layer_norm_eps);
  return build_adapted_speech_task(model, component.task, base, c, states);
}

}  // namespace

void register_data2vec_audio(TasksManager& tasks) {
  tasks.register_model<SpeechOnnxConfig>(
      {.model_type = "data2vec-audio",
       .tasks = {"feature-extraction", "automatic-speech-recognition", "audio-classification",
                 "audio-frame-classification", "audio-xvector"},
       .forward = forward,
       .ignorable_keys = speech_training_keys("data2vec_audio")});
}

}  // namespace onnxport::models
