// W2v-BERT 2.0: causal conformer layers over spectrograms. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/wav2vec2_bert/modeling_wav2vec2_bert.py
#include <fmt/format.h>

#include "models/audio/common/conformer.h"
#include "models/audio/common/feature_config.h"
#include "models/audio/common/speech_encoder.h"
#include "onnxport/error.h"
#include "onnxport/nn/audio.h"
#include "onnxport/nn/audio_tasks.h"

namespace onnxport::models {
namespace {

class Wav2Vec2BertOnnxConfig : public FeatureEncoderOnnxConfig {
 public:
  using FeatureEncoderOnnxConfig::FeatureEncoderOnnxConfig;
  std::int64_t feature_size() const override {
    return config().unaccounted().integer("feature_projection_input_dim");
  }
};

struct Config : ConformerConfig {
  std::int64_t features;
  bool intermediate_ffn;
  ConformerAdapter adapter;  // no layers: none
  nn::SpeechHeadParameters heads;

  explicit Config(const PretrainedConfig& c)
      : ConformerConfig(c),
        features(c.integer("feature_projection_input_dim")),
        intermediate_ffn(c.flag("use_intermediate_ffn_before_adapter")) {
    eps = c.real("layer_norm_eps");
    convolution.causal = true;
    convolution.layer_norm = "depthwise_layer_norm";
    convolution.eps = eps;
    const bool adapted = c.flag("add_adapter");
    const std::int64_t output = c.maybe_integer("output_hidden_size").value_or(hidden_size);
    adapter = {.width = adapted ? output : hidden_size,
               .layers = c.integer("num_adapter_layers"),
               .kernel = c.integer("adapter_kernel_size"),
               .stride = divisor(c, "adapter_stride"),
               .activation = c.string("adapter_act")};
    if (!adapted) adapter.layers = 0;
    if (adapted)
      check_multiple(c, "output_hidden_size", output, "num_attention_heads", attention.projections.heads);
    if (intermediate_ffn && !adapted) {
      throw ExportError(
          ErrorCode::bad_config,
          fmt::format("{}: use_intermediate_ffn_before_adapter is true, but add_adapter is not", c.origin()));
    }
    heads = {.hidden_size = hidden_size,
             .output_size = adapter.width,
             .vocab_size = c.maybe_integer("vocab_size").value_or(0),
             .num_labels = c.num_labels(),
             .projection_size = c.integer("classifier_proj_size"),
             .weighted_layer_sum = c.flag("use_weighted_layer_sum")};
    c.harmless({"tdnn_dim", "tdnn_kernel", "tdnn_dilation", "xvector_output_dim",  // of a head not built here
                "pad_token_id"});
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const Scope base = root.base_model("wav2vec2_bert");
  if (c.adapter.layers > 0 && component.task == "audio-classification") {
    throw ExportError(ErrorCode::unsupported,
                      fmt::format("{}: add_adapter is true, but then the original has no head for {}",
                                  model.config().origin(), component.task));
  }
  const Value mask = inputs["attention_mask"];
  const nn::FeatureProjection feature_projection(base / "feature_projection", c.features, c.hidden_size,
                                                 c.eps);
  const Value features = feature_projection(inputs["input_features"]);
  const std::vector<Value> states = conformer_states(base / "encoder", c, features, mask);
  Value last = states.back();
  if (c.intermediate_ffn) {
    const nn::Mlp ffn = c.feed_forward(base / "intermediate_ffn", c.hidden_size, "relu");
    last = op::add(last, op::mul(ffn(last), 0.5));
  }
  Value length = op::sum(mask, 1);
  const Value real = op::logical_or(first_frames(length, last.dim(1)), op::unsqueeze(op::eq(length, 0.0), 1));
  const Scope adapter = base / "adapter";
  if (c.adapter.width != c.hidden_size) {
    last = nn::Linear(adapter / "proj", c.hidden_size, c.adapter.width)(last);
    last = nn::LayerNorm(adapter / "proj_layer_norm", c.adapter.width, c.eps)(last);
  }
  for (std::int64_t i = 0; i < c.adapter.layers; ++i) {
    length = c.adapter.shorten(length);
    last = c.adapter.layer(adapter / "layers" / i, c, last, length);
  }
  return nn::build_speech_task(component.task, states, last, root, c.heads, real);
}

}  // namespace

void register_wav2vec2_bert(TasksManager& tasks) {
  tasks.register_model<Wav2Vec2BertOnnxConfig>(
      {.model_type = "wav2vec2-bert",
       .tasks = {"feature-extraction", "automatic-speech-recognition", "audio-classification"},
       .forward = forward,
       .ignorable_keys = speech_training_keys("wav2vec2_bert")});
}

}  // namespace onnxport::models
