// Qwen3-Next. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/qwen3_next/modeling_qwen3_next.py
#include <string>
#include <utility>
#include <vector>

#include "models/common/definition.h"
#include "models/decoders/common/experts.h"
#include "models/decoders/common/hybrid.h"
#include "models/decoders/common/qwen.h"
#include "onnxport/error.h"
#include "onnxport/nn/causal_attention.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/delta_rule.h"
#include "onnxport/nn/experts.h"

namespace onnxport::models {
namespace {

bool attends(const PretrainedConfig& c, std::int64_t layer) {
  if (!c.has("layer_types")) return (layer + 1) % divisor(c, "full_attention_interval") == 0;
  c.harmless({"full_attention_interval"});
  const std::vector<std::string> types = kinds_of_layers(c, "layer_types");
  const std::string& type = types.at(static_cast<std::size_t>(layer));
  if (type == "full_attention" || type == "linear_attention") return type == "full_attention";
  throw ExportError(ErrorCode::bad_config, c.origin() + ": layer_types has '" + type +
                                               "', expected full_attention or linear_attention");
}

nn::DeltaSizes delta_sizes(const PretrainedConfig& c) {
  const nn::DeltaSizes sizes{.hidden_size = c.integer("hidden_size"),
                             .key_heads = c.integer("linear_num_key_heads"),
                             .value_heads = c.integer("linear_num_value_heads"),
                             .key_dim = c.integer("linear_key_head_dim"),
                             .value_dim = c.integer("linear_value_head_dim"),
                             .kernel = c.integer("linear_conv_kernel_dim")};
  check_multiple(c, "linear_num_value_heads", sizes.value_heads, "linear_num_key_heads", sizes.key_heads);
  return sizes;
}

class Qwen3NextOnnxConfig : public HybridOnnxConfig {
 public:
  using HybridOnnxConfig::HybridOnnxConfig;

 protected:
  std::vector<StateSpec> layer_states(std::int64_t layer) const override {
    const PretrainedConfig c = config().unaccounted();
    const nn::DeltaSizes z = delta_sizes(c);
    if (!attends(c, layer)) {
      return recurrent_states(layer, z.convolved(), z.kernel, "recurrent",
                              {z.value_heads, z.key_dim, z.value_dim});
    }
    const nn::HeadSizes heads = TextDecoderConfig(c).heads;
    return key_value(layer, heads.kv_heads, heads.head_dim);
  }
};

// The rows of a weight [groups * (sum of widths), …] lie group by group; they are sorted by part, at export.
std::vector<Weight> parts_of(const Weight& rows, std::int64_t groups,
                             const std::vector<std::int64_t>& widths) {
  std::vector<std::int64_t> shape = rows.shape();
  shape[0] /= groups;
  shape.insert(shape.begin(), groups);
  const Weight apart = rows.reshape(shape);
  std::vector<Weight> parts;
  std::int64_t begin = 0;
  for (const std::int64_t width : widths) {
    std::vector<std::int64_t> flat = rows.shape();
    flat[0] = groups * width;
    parts.push_back(apart.slice(1, begin, begin + width).reshape(flat));
    begin += width;
  }
  return parts;
}

nn::Mixer delta_net(const Scope& s, std::int64_t layer, const TextDecoderConfig& c, const nn::DeltaSizes& z) {
  const std::int64_t each = z.value_heads / z.key_heads, values = each * z.value_dim;
  const Scope first = s / "in_proj_qkvz", second = s / "in_proj_ba";
  const std::vector<Weight> qkvz =
      parts_of(first.weight("weight", {z.convolved() + z.values(), z.hidden_size}), z.key_heads,
               {z.key_dim, z.key_dim, values, values});
  const std::vector<Weight> ba =
      parts_of(second.weight("weight", {2 * z.value_heads, z.hidden_size}), z.key_heads, {each, each});
  const nn::Linear in_proj_qkvz(first.path(), Weight::concat(qkvz, 0), {});
  const nn::Linear in_proj_ba(second.path(), Weight::concat(ba, 0), {});
  return nn::GatedDeltaNet(
      {.path = s.path(),
       .layer = layer,
       .sizes = z,
       .project = [=](Value x) -> nn::DeltaInputs {
         const auto mixed = op::split(in_proj_qkvz(x), -1, {z.convolved(), z.values()});
         const auto rates = op::chunk(in_proj_ba(x), -1, 2);
         return {.mixed = mixed[0], .gate = mixed[1], .beta = rates[0], .step = rates[1]};
       },
       .conv1d = nn::CausalConv(s / "conv1d", z.convolved(), z.kernel, false),
       .decay = nn::state_decay(s, {z.value_heads}),
       .dt_bias = s.weight("dt_bias", {z.value_heads}),
       .norm = nn::GatedRmsNorm(s / "norm", z.value_dim, {.eps = c.norm_parameters.eps, .gate_first = false}),
       .out_proj = nn::Linear(s / "out_proj", z.values(), z.hidden_size, false),
       .activation = c.hidden_act});
}

// Each head's queries lie beside a gate for its results.
nn::Mixer gated_attention(const Scope& s, std::int64_t layer, const TextDecoderConfig& c) {
  const nn::HeadSizes& z = c.heads;
  const std::int64_t width = z.heads * z.head_dim, kv_width = z.kv_heads * z.head_dim;
  const Scope q = s / "q_proj";
  const nn::Linear both(q, z.hidden_size, 2 * width, c.attention_bias);
  const std::vector<std::int64_t> halves = {z.head_dim, z.head_dim};
  const std::vector<Weight> rows = parts_of(both.weight(), z.heads, halves);
  std::vector<Weight> biases(2);
  if (both.bias()) biases = parts_of(both.bias(), z.heads, halves);
  const nn::Linear query(q.path(), rows[0], biases[0]), gate(q.path(), rows[1], biases[1]);
  const nn::Linear key(s / "k_proj", z.hidden_size, kv_width, c.attention_bias);
  const nn::Linear value(s / "v_proj", z.hidden_size, kv_width, c.attention_bias);
  nn::CausalAttentionParts parts =
      c.attention(s, layer, {}, [=](Value x, const nn::DecoderPass&) -> nn::QueryKeyValue {
        const Value queries = query(x), keys = key(x);
        return {queries, keys, value(x)};
      });
  c.norm_heads(parts, s / "q_norm", s / "k_norm");
  return [=](Value x, nn::DecoderPass& pass) {
    const Value open = op::sigmoid(gate(x));
    nn::CausalAttentionParts gated = parts;
    gated.output = [&](Value y) { return parts.output(op::mul(y, open)); };
    return nn::CausalAttention(std::move(gated))(x, pass);
  };
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  TextDecoderConfig c(config);
  c.norm_parameters.offset = 1;
  const nn::DeltaSizes sizes = delta_sizes(config);
  const nn::ExpertSizes experts{c.hidden_size, config.integer("moe_intermediate_size"),
                                config.integer("num_experts")};
  const std::int64_t shared = config.integer("shared_expert_intermediate_size");
  const nn::Routing routing = softmax_routing(config);
  const std::vector<bool> sparse = qwen_sparse_layers(config, c.num_hidden_layers, experts.experts);
  config.harmless({"router_aux_loss_coef"});  // of training
  const auto mixer = [&](const Scope& s, std::int64_t i) {
    return attends(config, i) ? gated_attention(s / "self_attn", i, c)
                              : delta_net(s / "linear_attn", i, c, sizes);
  };
  const auto mlp = [&](const Scope& s, std::int64_t i) -> nn::FeedForward {
    if (!sparse.at(static_cast<std::size_t>(i))) return c.mlp(s);
    return nn::sum_of(nn::SparseMixture(s, experts, routing, c.hidden_act), qwen_shared_expert(s, c, shared));
  };
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    return nn::PreNormBlock{.before_attention = c.norm(s / "input_layernorm"),
                            .attention = mixer(s, i),
                            .before_mlp = c.norm(s / "post_attention_layernorm"),
                            .mlp = mlp(s / "mlp", i)};
  });
}

}  // namespace

void register_qwen3_next(TasksManager& tasks) {
  tasks.register_model<Qwen3NextOnnxConfig>({.model_type = "qwen3_next",
                                             .tasks = nn::text_decoder_tasks(),
                                             .forward = forward,
                                             .ignorable_keys = {"mtp.*"},
                                             .key_names = tied("model.embed_tokens", "lm_head")});
}

}  // namespace onnxport::models
