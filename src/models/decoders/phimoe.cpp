// Phi-3.5 with a mixture of experts. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/phimoe/modeling_phimoe.py
#include <limits>

#include "models/common/definition.h"
#include "models/common/gguf_part.h"
#include "models/decoders/common/experts.h"
#include "models/decoders/common/gguf_llama.h"
#include "onnxport/error.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// The expert with the largest candidate, weighted by the softmax over the candidates that are not far from
/// it: whose distance, as a part of their size or its own, is at most `far`.
nn::Routes best_of(Value candidates, Value scores, double far) {
  const nn::Routes best = op::topk(candidates, 1, -1);
  const Value size = op::maximum(op::abs(scores), best.values);
  const Value distance = op::div(op::sub(best.values, scores), size);
  const Value near = op::masked_fill(candidates, op::gt(distance, far), -kInfinity);
  return {op::gather(op::softmax(near, -1), 1, best.indices), best.indices};
}

/// The best two experts, each weighted without the other. (Liu et al. 2024, GRIN)
nn::Routing sparse_mixer(double jitter) {
  return [far = 2 * jitter](Value logits) {
    const nn::Routes first = best_of(logits, logits, far);
    const Value taken = op::eq(op::arange(logits.graph(), logits.dim(1)), first.indices);
    const nn::Routes second = best_of(op::masked_fill(logits, taken, -kInfinity), logits, far);
    const Value weights = op::concat({first.values, second.values}, 1);
    return nn::Routes{weights, op::concat({first.indices, second.indices}, 1)};
  };
}

/// Cosines and sines have factors of their own, and the trained length stands beside them.
void read_scaling(nn::RopeParameters& rope, const PretrainedConfig& config) {
  if (rope.type == "default") return;
  const PretrainedConfig scaling =
      config.sub(config.has("rope_scaling") ? "rope_scaling" : "rope_parameters");
  rope.original_max_position_embeddings = scaling.integer("original_max_position_embeddings");
  rope.attention_factor = scaling.real("short_mscale");
  if (scaling.real("long_mscale") != rope.attention_factor)
    throw ExportError(ErrorCode::unsupported, "long_mscale differs from short_mscale");
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  TextDecoderConfig c(config);
  c.make_norm = layer_norms(config.real("rms_norm_eps"));
  c.add_masks_in_version_4(config);
  if (config.flag("lm_head_bias")) c.head_bias = "bias";
  read_scaling(c.rope, config);
  config.harmless({"input_jitter_noise"});  // only in training
  if (config.integer("num_experts_per_tok") != 2)
    throw ExportError(ErrorCode::unsupported, "num_experts_per_tok is not 2, as sparse mixer needs");
  const nn::ExpertSizes experts{c.hidden_size, c.intermediate_size, config.integer("num_local_experts")};
  const nn::Routing routing = sparse_mixer(config.real("router_jitter_noise"));
  const nn::Visibility visible{.window = config.maybe_integer("sliding_window")};
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    return c.block(s, c.attention(s / "self_attn", i, visible),
                   nn::SparseMixture(s / "block_sparse_moe", experts, routing, c.hidden_act,
                                     {.gate = "w1", .up = "w3", .down = "w2"}));
  });
}

/// The scaling has both factors of cosines, and the trained length, among its numbers.
ConfigTexts scaling(const GgufInfo& file) {
  ConfigTexts texts = longrope(file);
  if (texts.empty()) return texts;
  auto rope = nlohmann::json::parse(texts.at("rope_scaling"));
  rope.update(
      numbers_of(file, {{"short_mscale", "rope.scaling.attn_factor"},
                        {"long_mscale", "rope.scaling.attn_factor"},
                        {"original_max_position_embeddings", "rope.scaling.original_context_length"}}));
  return {{"rope_scaling", rope.dump()}};
}

GgufLayout gguf() {
  GgufLayout layout = llama_like_gguf("phimoe", "PhiMoEForCausalLM");
  add_keys(layout, {{"expert_count", "num_local_experts"}, {"expert_used_count", "num_experts_per_tok"}});
  add_names(layout, gguf_experts("block_sparse_moe", "w1", "w3", "w2"));
  layout.more_config = scaling;
  add_config(layout, whether_stored("attention_bias", "blk.0.attn_q.bias"));
  add_config(layout, whether_stored("lm_head_bias", "output.bias"));
  add_config(layout, stated_window);
  return layout;
}

}  // namespace

void register_phimoe(TasksManager& tasks) {
  KeyNames names = tied("model.embed_tokens", "lm_head");
  names.newer = {{"block_sparse_moe.gate", "mlp.router"}, {"block_sparse_moe", "mlp"}};
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>({.model_type = "phimoe",
                                                              .tasks = nn::text_decoder_tasks({}),
                                                              .forward = forward,
                                                              .key_names = names,
                                                              .gguf = gguf()});
}

}  // namespace onnxport::models
