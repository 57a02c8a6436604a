// The text tower of CLIP, with a projection if `architectures` asks for one. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/clip/modeling_clip.py
#include "models/multimodal/common/clip.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/decoder_pass.h"
#include "onnxport/nn/decoder_tasks.h"

namespace onnxport::models {
namespace {

class ClipTextModelOnnxConfig : public TextEncoderOnnxConfig {
 public:
  using TextEncoderOnnxConfig::TextEncoderOnnxConfig;
  AxesByName inputs() const override { return text_inputs({"input_ids"}); }
  AxesByName outputs() const override {
    const std::pair<std::string, Axes> hidden = {"last_hidden_state",
                                                 {{0, "batch_size"}, {1, "sequence_length"}}};
    if (is_projected(config())) return {{"text_embeds", {{0, "batch_size"}}}, hidden};
    return {hidden, {"pooler_output", {{0, "batch_size"}}}};
  }
};

// Takes `input_ids` and, if it is an input, `attention_mask`.
EncoderStates encode(const Inputs& inputs, const Model& model, const Component&) {
  const PretrainedConfig& config = model.config();
  const Scope s = model.scope().base_model("text_model");
  config.harmless({"projection_dim"});  // of the whole model
  const TextTower tower(s, TextTowerConfig(config));
  // Both masks use the lowest value, so their sum is -inf: a query whose earlier keys are all padding attends
  // to these keys equally, but never to later ones.
  const Value input_ids = inputs["input_ids"];
  Graph& graph = input_ids.graph();
  const ModulePath at(graph, s.path());
  const DType dtype = graph.float_dtype();
  Value bias = nn::DecoderPass(inputs, {}, {.attention_mask = ""}).causal_bias(lowest(dtype));
  if (const Value padding = nn::padding_bias(inputs.get("attention_mask"), dtype))
    bias = op::add(bias, padding);
  std::vector<Value> layers = tower.states(input_ids, {.bias = bias});
  const Value hidden = tower.norm(layers.back());

  // The vector of the first end token. If a file says that its id is 2, it is wrong: the id is the highest
  // one.
  const std::int64_t end = config.integer("eos_token_id");
  const Value rank = end == 2 ? input_ids : op::cast(op::eq(input_ids, static_cast<double>(end)), DType::i64);
  return {hidden, nn::token_at(hidden, op::argmax(rank, 1)), std::move(layers)};
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& c = model.config();
  const Scope root = model.scope();
  const EncoderStates text = encode(inputs, model, component);
  if (!is_projected(c)) return {{"last_hidden_state", text.hidden}, {"pooler_output", text.pooled}};
  const nn::Linear project(root / "text_projection", c.integer("hidden_size"), c.integer("projection_dim"),
                           false);
  return {{"text_embeds", project(text.pooled)}, {"last_hidden_state", text.hidden}};
}

}  // namespace

void register_clip_text_model(TasksManager& tasks) {
  tasks.register_model<ClipTextModelOnnxConfig>({.model_type = "clip_text_model",
                                                 .tasks = {"feature-extraction"},
                                                 .forward = forward,
                                                 .ignorable_keys = {"*.embeddings.position_ids"},
                                                 .roles = {.text_model = EncoderRole{encode}}});
}

}  // namespace onnxport::models
