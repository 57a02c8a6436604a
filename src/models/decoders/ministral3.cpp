// The text model of Ministral 3. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/ministral3/modeling_ministral3.py
#include <utility>

#include "models/common/definition.h"
#include "models/common/gguf_part.h"
#include "models/decoders/common/gguf_llama.h"
#include "models/decoders/common/layers.h"
#include "models/decoders/common/mistral.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

constexpr const char* kRope = R"({"rope_type": "yarn", "rope_theta": 1000000.0, "factor": 16.0,
    "original_max_position_embeddings": 16384, "beta_fast": 32.0, "beta_slow": 1.0, "mscale_all_dim": 1.0,
    "mscale": 1.0, "llama_4_scaling_beta": 0.1})";

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig config = with_usual_rope(model.config(), kRope);
  TextDecoderConfig c(config);
  c.attention_bias = false;  // no key of this class, though files may have it
  config.harmless({"layer_types"});
  const nn::PositionScale scale = position_scale(config, c.rope);
  const nn::Visibility visible{.window = config.maybe_integer("sliding_window")};
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    nn::CausalAttentionParts attention = c.attention(s / "self_attn", i, visible);
    attention.qkv = nn::queries_scaled_by_position(attention.qkv, scale);
    return c.block(s, std::move(attention), c.mlp(s / "mlp"));
  });
}

/// Other types share the architecture, but do not scale queries.
GgufLayout gguf() {
  GgufLayout layout = turning_gguf("Ministral3ForCausalLM", "mistral3");
  layout.matches = [](const GgufInfo& file) {
    return file.real("mistral3.attention.temperature_scale").value_or(0) != 0;
  };
  layout.more_config = [](const GgufInfo& file) -> ConfigTexts {
    auto rope =
        numbers_of(file, {{"factor", "rope.scaling.factor"},
                          {"original_max_position_embeddings", "rope.scaling.original_context_length"},
                          {"beta_fast", "rope.scaling.yarn_beta_fast"},
                          {"beta_slow", "rope.scaling.yarn_beta_slow"},
                          {"mscale", "rope.scaling.yarn_log_multiplier"},
                          {"mscale_all_dim", "rope.scaling.yarn_log_multiplier"},
                          {"llama_4_scaling_beta", "attention.temperature_scale"}});
    rope["rope_type"] = file.text("mistral3.rope.scaling.type").value_or("default");
    return {{"rope_parameters", rope.dump()}};
  };
  return layout;
}

}  // namespace

nn::PositionScale position_scale(const PretrainedConfig& config, const nn::RopeParameters& rope) {
  const PretrainedConfig settings =
      config.sub(config.has("rope_scaling") ? "rope_scaling" : "rope_parameters");
  settings.harmless({"max_position_embeddings"});  // a copy
  return {.beta = settings.real("llama_4_scaling_beta"), .length = rope.original_max_position_embeddings};
}

void register_ministral3(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "ministral3",
       .tasks = nn::text_decoder_tasks(),
       .forward = forward,
       .key_names = tied("model.embed_tokens", "lm_head"),
       .gguf = gguf()});
}

}  // namespace onnxport::models
