// The text tower of AIMv2. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/aimv2/modeling_aimv2.py
#include "models/multimodal/common/towers/aimv2.h"
#include "onnxport/nn/decoder_tasks.h"

namespace onnxport::models {
namespace {

EncoderStates encode(const Inputs& inputs, const Model& model, const Component&) {
  const PretrainedConfig& config = model.config();
  const Aimv2Config c(config);
  config.harmless({"pad_token_id", "bos_token_id"});
  const Scope s = model.scope().base_model("text_model"), e = s / "embeddings";
  const nn::Embedding tokens(e / "token_embedding", config.integer("vocab_size"), c.hidden_size);
  const nn::Embedding positions(e / "position_embedding", config.integer("max_position_embeddings"),
                                c.hidden_size);
  const Value input_ids = inputs["input_ids"];
  Value x = tokens(input_ids);
  x = op::add(x, positions.first(x.graph(), x.dim(1)));
  const Value hidden = run_aimv2_layers(s, c, x, {.padding = inputs.get("attention_mask"), .causal = true});
  // The vector of the first end token.
  const Value ends = op::eq(input_ids, static_cast<double>(config.integer("eos_token_id")));
  return {hidden, nn::token_at(hidden, op::argmax(op::cast(ends, DType::i64), 1))};
}

}  // namespace

void register_aimv2_text_model(TasksManager& tasks) {
  tasks.register_model<TextEncoderOnnxConfig>({.model_type = "aimv2_text_model",
                                               .tasks = {},
                                               .forward = {},
                                               .roles = {.text_model = EncoderRole{encode}}});
}

}  // namespace onnxport::models
