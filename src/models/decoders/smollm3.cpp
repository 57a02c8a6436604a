// SmolLM3. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/smollm3/modeling_smollm3.py
#include <fmt/format.h>

#include <utility>
#include <vector>

#include "models/common/definition.h"
#include "models/decoders/common/gguf_llama.h"
#include "onnxport/error.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

// no_rope_layers, which is 1 where a layer turns its queries and keys.
std::vector<std::int64_t> turning_layers(const PretrainedConfig& config, std::int64_t layers) {
  const std::int64_t interval = config.integer("no_rope_layer_interval");
  std::vector<std::int64_t> turns;
  if (config.has("no_rope_layers")) turns = config.integers("no_rope_layers");
  if (static_cast<std::int64_t>(turns.size()) == layers) return turns;
  if (!turns.empty() || interval <= 0) {
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format("no_rope_layers lists {} layers, expected {}; no_rope_layer_interval is {}, "
                    "expected at least 1",
                    turns.size(), layers, interval));
  }
  for (std::int64_t i = 0; i < layers; ++i) turns.push_back((i + 1) % interval != 0 ? 1 : 0);
  return turns;
}

// Windows where layer_types says so, or else in the layers that do not turn.
std::vector<nn::Visibility> visibility(const PretrainedConfig& config,
                                       const std::vector<std::int64_t>& turns) {
  const auto layers = static_cast<std::int64_t>(turns.size());
  const auto window = config.maybe_integer("sliding_window");
  const bool use = config.flag("use_sliding_window") && window;
  if (config.has("layer_types"))
    return layer_visibility(config.strings("layer_types"), layers, window.value_or(0));
  std::vector<nn::Visibility> visible(turns.size());
  for (std::size_t i = 0; i < turns.size(); ++i) {
    if (use && turns[i] == 0) visible[i].window = window;
  }
  return visible;
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  TextDecoderConfig c(config);
  c.tie_word_embeddings = config.flag("tie_word_embeddings", true);
  const bool mlp_bias = config.flag("mlp_bias", false);
  const std::vector<std::int64_t> turns = turning_layers(config, c.num_hidden_layers);
  const auto visible = visibility(config, turns);
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    nn::CausalAttentionParts attention = c.attention(s / "self_attn", i, visible.at(i));
    if (turns.at(i) == 0) attention.rotary.reset();
    return c.block(s, std::move(attention), c.mlp(s / "mlp", mlp_bias));
  });
}

GgufLayout gguf() { return turning_gguf("SmolLM3ForCausalLM", "smollm3"); }

}  // namespace

void register_smollm3(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "smollm3",
       .tasks = nn::text_decoder_tasks(),
       .forward = forward,
       .key_names = tied("model.embed_tokens", "lm_head"),
       .gguf = gguf()});
}

}  // namespace onnxport::models
