// CodeGen. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/codegen/modeling_codegen.py
#include "models/decoders/common/gpt.h"

namespace onnxport::models {
namespace {

constexpr std::int64_t kParts = 4;  // of the weight, as it was on the machines that trained the first models

// Each part has queries, values and keys of some heads, in this order. The rows are sorted at export.
nn::QkvProjection project(const Scope& s, const GptjConfig& c) {
  const nn::Linear stored(s / "qkv_proj", c.n_embd, 3 * c.n_embd, false);
  const Weight parts = stored.weight().reshape({kParts, 3, c.n_embd / kParts, c.n_embd});
  std::vector<Weight> sorted;
  for (const std::int64_t of : {0, 2, 1})
    sorted.push_back(parts.slice(1, of, of + 1).reshape({c.n_embd, c.n_embd}));
  return nn::QkvProjection::fused({stored.path(), Weight::concat(sorted, 0), {}}, c.sizes(),
                                  nn::FusedLayout::stacked);
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  check_multiple(config, "n_head", config.integer("n_head"), "parts of qkv_proj", kParts);
  config.harmless({"n_ctx"});  // no layer of the original reads it
  return forward_gptj(inputs, model, component, project);
}

}  // namespace

void register_codegen(TasksManager& tasks) {
  tasks.register_model<GptOnnxConfig>({.model_type = "codegen",
                                       .tasks = nn::text_decoder_tasks({}),
                                       .forward = forward,
                                       .ignorable_keys = {"*.attn.bias", "*.attn.masked_bias",
                                                          "*.attn.causal_mask", "*.attn.embed_positions"},
                                       .key_names = tied("transformer.wte", "lm_head")});
}

}  // namespace onnxport::models
