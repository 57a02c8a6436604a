// wav2vec 2.0. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/wav2vec2/modeling_wav2vec2.py
#include <fmt/format.h>

#include "models/audio/common/speech_encoder.h"
#include "onnxport/error.h"
#include "onnxport/nn/audio.h"
#include "onnxport/nn/audio_tasks.h"

namespace onnxport::models {
namespace {

struct Config : SpeechEncoderConfig {
  bool add_adapter;
  nn::ConvAdapterParameters adapter;

  explicit Config(const PretrainedConfig& c) : SpeechEncoderConfig(c), add_adapter(c.flag("add_adapter")) {
    const std::int64_t given = c.maybe_integer("output_hidden_size").value_or(0);
    adapter = {.in = hidden_size,
               .out = given != 0 ? given : hidden_size,
               .layers = c.integer("num_adapter_layers"),
               .kernel = c.integer("adapter_kernel_size"),
               .stride = c.integer("adapter_stride")};
    if (add_adapter) heads.output_size = adapter.out;
    heads.xvector = {.channels = c.integers("tdnn_dim"),
                     .kernels = c.integers("tdnn_kernel"),
                     .dilations = c.integers("tdnn_dilation"),
                     .output_size = c.integer("xvector_output_dim")};
    const nn::XVectorParameters& x = heads.xvector;
    if (x.channels.empty() || x.kernels.size() < x.channels.size() ||
        x.dilations.size() < x.channels.size()) {
      throw ExportError(ErrorCode::bad_config,
                        fmt::format("{}: tdnn_dim, tdnn_kernel and tdnn_dilation have {}, {} and {} numbers, "
                                    "expected equally many of each",
                                    c.origin(), x.channels.size(), x.kernels.size(), x.dilations.size()));
    }
    // Settings of the quantizer, which only pretraining uses.
    c.harmless({"num_codevectors_per_group", "num_codevector_groups", "contrastive_logits_temperature",
                "num_negatives", "codevector_dim", "proj_codevector_dim"});
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const std::string& task = component.task;
  if (c.add_adapter && (task == "audio-classification" || task == "audio-frame-classification")) {
    throw ExportError(ErrorCode::unsupported,
                      fmt::format("{}: add_adapter is true, but then the original has no head for {}",
                                  model.config().origin(), task));
  }
  const Scope base = root.base_model("wav2vec2");
  const std::vector<Value> states = speech_states(base, c, inputs["input_values"], c.layer_norm_eps);
  Value last = states.back();
  if (c.add_adapter) last = nn::ConvAdapter(base / "adapter", c.adapter)(last);
  return nn::build_speech_task(task, states, last, root, c.heads);
}

}  // namespace

void register_wav2vec2(TasksManager& tasks) {
  // masked_spec_embed is for training; the rest is for pretraining and the loss of the x-vector head.
  tasks.register_model<SpeechOnnxConfig>(
      {.model_type = "wav2vec2",
       .tasks = {"feature-extraction", "automatic-speech-recognition", "audio-classification",
                 "audio-frame-classification", "audio-xvector"},
       .forward = forward,
       .ignorable_keys = {"masked_spec_embed", "wav2vec2.masked_spec_embed", "quantizer.*", "project_q.*",
                          "project_hid.*", "objective.weight"}});
}

}  // namespace onnxport::models
