#include "models/audio/common/speech_encoder.h"

#include <fmt/format.h>

#include <algorithm>

#include "onnxport/error.h"
#include "onnxport/nn/audio.h"
#include "onnxport/nn/text_encoder.h"

namespace onnxport::models {
namespace {

bool has_layer_norms(const PretrainedConfig& c) {
  const std::string norm = c.string("feat_extract_norm", "layer");
  if (norm == "group" || norm == "layer") return norm == "layer";
  throw ExportError(
      ErrorCode::bad_config,
      fmt::format("{}: feat_extract_norm is '{}', expected 'group' or 'layer'", c.origin(), norm));
}

nn::FeatureEncoderParameters feature_encoder(const PretrainedConfig& c) {
  nn::FeatureEncoderParameters p{.channels = c.integers("conv_dim"),
                                 .kernels = c.integers("conv_kernel"),
                                 .strides = c.integers("conv_stride"),
                                 .bias = c.flag("conv_bias"),
                                 .layer_norm = has_layer_norms(c),
                                 .activation = c.string("feat_extract_activation")};
  if (p.channels.empty() || p.kernels.size() != p.channels.size() || p.strides.size() != p.channels.size()) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: conv_dim, conv_kernel and conv_stride have {}, {} and {} numbers, "
                                  "expected equally many of each",
                                  c.origin(), p.channels.size(), p.kernels.size(), p.strides.size()));
  }
  return p;
}

// The number of parts into which a key divides the hidden states.
std::int64_t divisor(const PretrainedConfig& c, const char* key, std::int64_t hidden_size) {
  const std::int64_t parts = c.integer(key);
  check_multiple(c, "hidden_size", hidden_size, key, parts);
  return parts;
}

nn::EncoderLayerParameters encoder_layer(const PretrainedConfig& c, std::int64_t hidden_size) {
  nn::EncoderLayerParameters p;
  p.attention.hidden_size = hidden_size;
  p.attention.heads = divisor(c, "num_attention_heads", hidden_size);
  p.attention.query = "q_proj";
  p.attention.key = "k_proj";
  p.attention.value = "v_proj";
  p.attention.output = "out_proj";
  p.intermediate_size = c.integer("intermediate_size");
  p.activation = c.string("hidden_act");
  p.eps = c.real("layer_norm_eps");
  p.attention_norm = "layer_norm";
  p.up = "feed_forward.intermediate_dense";
  p.down = "feed_forward.output_dense";
  p.output_norm = "final_layer_norm";
  return p;
}

}  // namespace

SpeechEncoderConfig::SpeechEncoderConfig(const PretrainedConfig& c)
    : features(feature_encoder(c)),
      hidden_size(c.integer("hidden_size")),
      layer_norm_eps(c.real("layer_norm_eps")) {
  encoder.positions = {.width = hidden_size,
                       .kernel = c.integer("num_conv_pos_embeddings"),
                       .groups = divisor(c, "num_conv_pos_embedding_groups", hidden_size),
                       .activation = features.activation};
  encoder.layers = c.integer("num_hidden_layers");
  encoder.layer = encoder_layer(c, hidden_size);
  encoder.pre_norm = c.flag("do_stable_layer_norm", false);
  encoder.adapter_width = c.maybe_integer("adapter_attn_dim");  // post-norm layers have no adapter
  heads = {.hidden_size = hidden_size,
           .output_size = hidden_size,
           .vocab_size = c.maybe_integer("vocab_size").value_or(0),
           .num_labels = c.num_labels(),
           .projection_size = c.integer("classifier_proj_size"),
           .weighted_layer_sum = c.flag("use_weighted_layer_sum")};
  c.harmless({"num_feat_extract_layers",  // the number of convolutions, which conv_dim tells
              "pad_token_id"});           // of the tokenizer: there are no token embeddings
  // Settings of the quantizer and the losses of pretraining.
  c.harmless({"num_codevectors_per_group", "num_codevector_groups", "contrastive_logits_temperature",
              "num_negatives", "codevector_dim", "proj_codevector_dim", "num_ctc_classes", "replace_prob",
              "num_clusters"});
}

nn::XVectorParameters xvector_parameters(const PretrainedConfig& c) {
  nn::XVectorParameters x = {.channels = c.integers("tdnn_dim"),
                             .kernels = c.integers("tdnn_kernel"),
                             .dilations = c.integers("tdnn_dilation"),
                             .output_size = c.integer("xvector_output_dim")};
  if (x.channels.empty() || x.kernels.size() < x.channels.size() || x.dilations.size() < x.channels.size()) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: tdnn_dim, tdnn_kernel and tdnn_dilation have {}, {} and {} numbers, "
                                  "expected equally many of each",
                                  c.origin(), x.channels.size(), x.kernels.size(), x.dilations.size()));
  }
  return x;
}

AdaptedSpeechConfig::AdaptedSpeechConfig(const PretrainedConfig& c) : SpeechEncoderConfig(c) {
  const std::int64_t given = c.maybe_integer("output_hidden_size").value_or(0);
  const nn::ConvAdapterParameters declared = {.in = hidden_size,
                                              .out = given != 0 ? given : hidden_size,
                                              .layers = c.integer("num_adapter_layers"),
                                              .kernel = c.integer("adapter_kernel_size"),
                                              .stride = c.integer("adapter_stride")};
  if (c.flag("add_adapter")) adapter = declared;
  if (adapter) heads.output_size = adapter->out;
  heads.xvector = xvector_parameters(c);
}

void refuse_adapter(const PretrainedConfig& c) {
  if (!c.flag("add_adapter")) return;
  throw ExportError(ErrorCode::unsupported,
                    fmt::format("{}: add_adapter is true, but the original has no adapter", c.origin()));
}

std::vector<std::string> speech_training_keys(const std::string& base_model) {
  return {"masked_spec_embed", base_model + ".masked_spec_embed",
          "quantizer.*",       "project_q.*",
          "project_hid.*",     "objective.weight"};
}

AxesByName SpeechOnnxConfig::outputs() const {
  AxesByName outputs = AudioOnnxConfig::outputs();
  if (task() != "automatic-speech-recognition") return outputs;
  const PretrainedConfig c = config().unaccounted();
  const std::vector<std::int64_t> kernels = c.integers("conv_kernel"), strides = c.integers("conv_stride");
  std::string length = "sequence_length";
  for (std::size_t i = 0; i < std::min(kernels.size(), strides.size()); ++i)
    length = fmt::format("( {} - {} ) // {} + 1", length, kernels[i], strides[i]);
  outputs.at(0).second[1] = length;
  return outputs;
}

Value speech_features(const Scope& s, const SpeechEncoderConfig& c, Value samples,
                      std::optional<double> projection_eps) {
  const nn::FeatureEncoder feature_extractor(s / "feature_extractor", c.features);
  const nn::FeatureProjection feature_projection(s / "feature_projection", c.features.channels.back(),
                                                 c.hidden_size, projection_eps);
  return feature_projection(feature_extractor(samples));
}

std::vector<Value> speech_states(const Scope& s, const SpeechEncoderConfig& c, Value samples,
                                 std::optional<double> projection_eps) {
  const Value features = speech_features(s, c, samples, projection_eps);
  return nn::SpeechEncoder(s / "encoder", c.encoder)(features);
}

NamedValues build_adapted_speech_task(const Model& model, const std::string& task, const Scope& base,
                                      const AdaptedSpeechConfig& c, const std::vector<Value>& states) {
  Value last = states.back();
  if (!c.adapter) return nn::build_speech_task(task, states, last, model.scope(), c.heads);
  if (task == "audio-classification" || task == "audio-frame-classification") {
    throw ExportError(ErrorCode::unsupported,
                      fmt::format("{}: add_adapter is true, but then the original has no head for {}",
                                  model.config().origin(), task));
  }
  last = nn::ConvAdapter(base / "adapter", *c.adapter)(last);
  return nn::build_speech_task(task, states, last, model.scope(), c.heads);
}

}  // namespace onnxport::models
