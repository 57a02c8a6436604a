// EmbeddingGemma 2: a vector for texts with images, videos and sounds in them. The encoders are those of
// Gemma 4; the text model has its layers, but sees in both directions. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/embedding_gemma2/modeling_embedding_gemma2.py
#include <fmt/format.h>

#include <memory>

#include "models/common/parts.h"
#include "models/decoders/common/gemma4.h"
#include "models/decoders/common/layer_tokens.h"
#include "models/multimodal/common/decoders/multimodal_decoder.h"
#include "models/multimodal/common/features/placeholders.h"
#include "models/multimodal/common/towers/gemma4_towers.h"
#include "onnxport/nn/basic.h"
#include "onnxport/plan.h"

namespace onnxport::models {
namespace {

constexpr const char* kModalities[] = {"image", "video", "audio"};

// Keys of Gemma 4 that this class does not have get fixed values, and its own keys take their places.
PretrainedConfig as_gemma4(PretrainedConfig c) {
  constexpr std::pair<const char*, const char*> kSettled[] = {{"num_kv_shared_layers", "0"},
                                                              {"attention_k_eq_v", "false"},
                                                              {"use_double_wide_mlp", "false"},
                                                              {"enable_moe_block", "false"},
                                                              {"vocab_size_per_layer_input", "0"},
                                                              {"final_logit_softcapping", "null"},
                                                              {"use_bidirectional_attention", "\"all\""},
                                                              {"tie_word_embeddings", "true"}};
  for (const auto& [key, value] : kSettled) c = c.settled(key, value);
  if (!c.has("rope_parameters")) {
    c = c.settled("rope_parameters", R"({"sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
      "full_attention": {"rope_type": "default", "rope_theta": 1000000.0}})");
  }
  if (c.has("per_layer_config")) return c;
  const std::int64_t layers = c.integer("num_hidden_layers");
  std::vector<std::string> types = layer_types(c, layers, 6);
  if (!types.empty()) types.back() = "full_attention";
  std::string others;
  for (std::size_t i = 0; i < types.size(); ++i) {
    if (types[i] != "full_attention") continue;
    others +=
        fmt::format("{}\"{}\": {{\"head_dim\": {}, \"num_key_value_heads\": {}}}", others.empty() ? "" : ", ",
                    i, c.integer("global_head_dim"), c.integer("num_global_key_value_heads"));
  }
  return c.settled("per_layer_config", "{" + others + "}");
}

PretrainedConfig language_config(const PretrainedConfig& c) {
  return as_gemma4(c.sub("text_config", "embedding_gemma2_text"));
}
PretrainedConfig vision_part(const PretrainedConfig& c) { return c.sub("vision_config", "gemma4_vision"); }
PretrainedConfig audio_part(const PretrainedConfig& c) { return c.sub("audio_config", "gemma4_audio"); }

Gemma4Config text_config_of(const PretrainedConfig& text) {
  Gemma4Config c(text);
  const std::int64_t window = text.integer("sliding_window");  // the farthest token that is seen
  for (nn::Visibility& keys : c.visible)
    if (keys.window) keys.window = window + 1;
  return c;
}

/// image_features, video_features, audio_features [rows, width]; as many as the batch has tokens at most.
class DummyFeatureRowsGenerator : public DummyFloatInputGenerator {
 public:
  explicit DummyFeatureRowsGenerator(std::int64_t width) : width_(width) {}
  bool supports_input(std::string_view name) const override { return name.ends_with("_features"); }
  TensorType type(std::string_view /*name*/, const DummyContext& context,
                  const DummyShapes& shapes) const override {
    return {context.float_dtype, {shapes.batch_size * shapes.sequence_length, width_}};
  }

 private:
  std::int64_t width_;
};

class EmbeddingGemma2OnnxConfig : public OnnxConfig {
 public:
  using OnnxConfig::OnnxConfig;
  std::string part() const override { return options().part; }
  void describe(ExportPlan& plan, const PlanRequest& request) const override {
    const PretrainedConfig c = config().unaccounted();
    std::vector<std::string> parts;
    if (c.has("vision_config")) parts.emplace_back(kVisionEncoder);
    if (c.has("audio_config")) parts.emplace_back(kAudioEncoder);
    parts.emplace_back();
    describe_parts(*this, parts, plan, request);
  }
  AxesByName inputs() const override {
    if (part() == kVisionEncoder) return gemma4_image_inputs();
    if (part() == kAudioEncoder) return gemma4_audio_inputs();
    const Axes tokens = {{0, "batch_size"}, {1, "sequence_length"}};
    AxesByName names = {{"input_ids", tokens}, {"attention_mask", tokens}};
    for (const std::string modality : kModalities)
      names.emplace_back(modality + "_features", Axes{{0, "num_" + modality + "_tokens"}});
    return names;
  }
  AxesByName outputs() const override {
    if (part() == kVisionEncoder) return gemma4_image_outputs();
    if (part() == kAudioEncoder) return gemma4_audio_outputs();
    return {{"last_hidden_state", {{0, "batch_size"}, {1, "sequence_length"}}},
            {"sentence_embedding", {{0, "batch_size"}}}};
  }
  NormalizedConfig normalized_config() const override {
    return NormalizedTextConfig(language_config(config().unaccounted()));
  }
  DummyInputGenerators dummy_input_generators() const override {
    const PretrainedConfig c = config().unaccounted();
    if (part() == kVisionEncoder) return gemma4_image_dummies(vision_part(c));
    if (part() == kAudioEncoder) return gemma4_audio_dummies(audio_part(c));
    return {std::make_shared<const DummyTextInputGenerator>(),
            std::make_shared<const DummyFeatureRowsGenerator>(language_config(c).integer("hidden_size"))};
  }
};

// The mean over the real tokens, of length 1. In float32, as Sentence Transformers computes it.
Value sentence_embedding(Value x, Value attention_mask) {
  const ModulePath at(x, "pooling");
  const Value weights = op::unsqueeze(op::cast(attention_mask, DType::f32), 2);
  const Value sums = op::sum(op::mul(op::cast(x, DType::f32), weights), 1);
  const Value count = op::maximum(op::sum(weights, 1), 1e-9);
  return op::cast(op::normalize(op::div(sums, count), 1), x.dtype());
}

NamedValues embed_texts(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  const PretrainedConfig text = language_config(config);
  const Gemma4Config c = text_config_of(text);
  const Scope root = model.scope(), s = root / "language_model", ple = s / "ple";
  const Value ids = inputs["input_ids"];
  const nn::Embedding table(s / "embed_tokens", c.vocab_size, c.hidden_size);
  Value x = table(without_media_tokens(config, ids, text.integer("pad_token_id")));
  x = op::mul(x, c.table_scale);
  for (const std::string modality : kModalities) {
    const auto token = config.maybe_integer(modality + "_token_id");
    if (!token) continue;
    const Value placeholders = op::eq(ids, static_cast<double>(*token));
    x = write_features(x, placeholders, inputs[modality + "_features"]);
  }
  const LayerTokens tokens(ple, ple / "per_layer_model_projection", c, c.token_width, {});
  const auto of_embeddings = [=](Value embedded, nn::DecoderPass&) { return tokens(embedded, {}); };
  const NamedValues made =
      forward_text_decoder(Inputs({{"inputs_embeds", x}, {"attention_mask", inputs["attention_mask"]}}),
                           TextDecoderScopes{s, root / "lm_head", root}, component, c,
                           gemma4_blocks(Gemma4LayerTokens{of_embeddings, "ple_block"}, text, c));
  const nn::Linear project(s / "embedding_projection", c.hidden_size, text.integer("embedding_dim"), false);
  const Value hidden = project(made.front().second);
  return {{"last_hidden_state", hidden},
          {"sentence_embedding", sentence_embedding(hidden, inputs["attention_mask"])}};
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& c = model.config();
  c.harmless({"boi_token_id", "eoi_token_id", "boa_token_id", "eoa_token_index"});
  const std::int64_t width = language_config(c.unaccounted()).integer("hidden_size");
  if (component.part.empty()) {
    c.harmless({"vision_config", "audio_config"});
    return embed_texts(inputs, model, component);
  }
  const bool hears = component.part == kAudioEncoder;
  c.harmless({"image_token_id", "video_token_id", "audio_token_id", "text_config",
              hears ? "vision_config" : "audio_config"});
  if (hears) return {{"audio_features", gemma4_audio_features(model.scope(), audio_part(c), inputs, width)}};
  return {{"image_features", gemma4_image_features(model.scope(), vision_part(c), inputs, width)}};
}

}  // namespace

void register_embedding_gemma2(TasksManager& tasks) {
  tasks.register_model<EmbeddingGemma2OnnxConfig>(
      {.model_type = "embedding_gemma2", .tasks = {"feature-extraction"}, .forward = forward});
}

}  // namespace onnxport::models
