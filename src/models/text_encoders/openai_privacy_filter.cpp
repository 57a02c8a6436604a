// OpenAI Privacy Filter. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/openai_privacy_filter/modeling_openai_privacy_filter.py
// gpt-oss with attention to near tokens on both sides.
#include "models/common/definition.h"
#include "models/text_encoders/common/refuse.h"
#include "models/text_encoders/common/rotary_attention.h"
#include "onnxport/expert_ops.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/experts.h"
#include "onnxport/nn/routing.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

constexpr double kAlpha = 1.702, kLimit = 7;  // of the activation that op::mixture_of_experts knows

struct Config : TextDecoderConfig {
  std::int64_t experts, experts_per_token, window;
  double alpha, limit;

  explicit Config(const PretrainedConfig& c)
      : TextDecoderConfig(c),
        experts(c.integer("num_local_experts")),
        experts_per_token(c.integer("num_experts_per_tok")),
        window(c.integer("sliding_window")),
        alpha(c.real("swiglu_alpha")),
        limit(c.real("swiglu_limit")) {
    if (experts < 1 || experts_per_token < 1 || experts_per_token > experts)
      refuse(c, fmt::format("num_experts_per_tok is {}, expected 1 to num_local_experts {}",
                            experts_per_token, experts));
    if (window < 0) refuse(c, fmt::format("sliding_window is {}, expected 0 or more", window));
    rope.interleaved = true;
    c.harmless({"router_aux_loss_coef", "output_router_logits", "max_position_embeddings"});
  }
};

// The experts of a layer. Each computes down((clamp(up) + 1) * clamp(gate) * sigmoid(alpha * clamp(gate))).
struct Experts {
  std::string path;
  double alpha, limit;
  nn::ExpertWeights weights;

  Experts(const Scope& s, const Config& c) : path(s.path()), alpha(c.alpha), limit(c.limit) {
    const std::int64_t inner = c.intermediate_size, width = c.hidden_size;
    weights.gate = s.weight("gate_up_proj", {c.experts, width, 2 * inner}).permute({0, 2, 1});
    weights.gate_bias = s.weight("gate_up_proj_bias", {c.experts, 2 * inner});
    weights.down = s.weight("down_proj", {c.experts, inner, width}).permute({0, 2, 1});
    weights.down_bias = s.weight("down_proj_bias", {c.experts, width});
  }

  // All experts for all tokens, for an activation with other numbers.
  Value all(Value tokens, Value routing) const {
    Graph& graph = tokens.graph();
    const ModulePath at(graph, path);
    const auto shift = [&](const Weight& b) {
      return graph.weight(b.reshape({b.shape()[0], 1, b.shape()[1]}));
    };
    const Value up_weights = graph.weight(weights.gate.permute({0, 2, 1}));
    const Value by = shift(weights.gate_bias);
    const Value wide = op::add(op::matmul(op::unsqueeze(tokens, 0), up_weights), by);
    const std::vector<Value> halves = op::chunk(wide, 2, 2);
    const Value gate = op::minimum(halves[0], limit);
    const Value up = op::add(op::clamp(halves[1], -limit, limit), 1.0);
    const Value opened = op::mul(gate, op::sigmoid(op::mul(gate, alpha)));
    const Value down_weights = graph.weight(weights.down.permute({0, 2, 1}));
    const Value made = op::matmul(op::mul(up, opened), down_weights);
    const Value results = op::add(made, shift(weights.down_bias));
    return op::sum(op::mul(results, op::unsqueeze(op::permute(routing, {1, 0}), 2)), 0);
  }

  Value operator()(Value tokens, Value routing) const {
    if (alpha != kAlpha || limit != kLimit) return all(tokens, routing);
    return nn::Experts(weights, "swiglu_oai")(tokens, routing);
  }
};

nn::FeedForward make_mlp(const Scope& s, const Config& c) {
  const nn::Router router(nn::Linear(s / "router", c.hidden_size, c.experts),
                          nn::scores_of_largest(c.experts_per_token, nn::softmax_scores));
  return [router, experts = Experts(s / "experts", c), path = s.path(), count = c.experts](Value x) {
    const ModulePath at(x, path);
    const Value tokens = op::flatten(x, 0, 1);
    const Value routing = nn::routing_matrix(router(tokens), count);
    return op::reshape(experts(tokens, routing), x.shape());
  };
}

RotaryPreNormLayer make_layer(const Scope& s, const Config& c) {
  const Scope self = s / "self_attn";
  const std::int64_t width = c.heads.heads * c.heads.head_dim, narrow = c.heads.kv_heads * c.heads.head_dim;
  const auto project = [&](const char* key, std::int64_t in, std::int64_t out) {
    return nn::Linear(self / key, in, out, c.attention_bias);
  };
  return {.path = s.path(),
          .before_attention = c.norm(s / "input_layernorm"),
          .attention = {self.path(), c.heads, project("q_proj", c.hidden_size, width),
                        project("k_proj", c.hidden_size, narrow), project("v_proj", c.hidden_size, narrow),
                        project("o_proj", width, c.hidden_size), self.weight("sinks", {c.heads.heads})},
          .before_mlp = c.norm(s / "post_attention_layernorm"),
          .mlp = make_mlp(s / "mlp", c)};
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component&) {
  const Config c(model.config());
  const Scope root = model.scope();
  const Scope base = root.base_model("model");
  const Value ids = inputs["input_ids"];
  Value x = nn::Embedding(base / "embed_tokens", c.vocab_size, c.hidden_size)(ids);
  RotarySight sight = rotary_sight(ids, inputs["attention_mask"], c.rope);
  sight.mask.window = c.window + 1;
  for (std::int64_t i = 0; i < c.num_hidden_layers; ++i) x = make_layer(base / "layers" / i, c)(x, sight);
  const Value hidden = c.norm(base / "norm")(x);
  return {{"logits", nn::Linear(root / "score", c.hidden_size, c.num_labels)(hidden)}};
}

}  // namespace

void register_openai_privacy_filter(TasksManager& tasks) {
  tasks.register_model<TextEncoderOnnxConfig>({.model_type = "openai_privacy_filter",
                                               .tasks = {"token-classification"},
                                               .forward = forward,
                                               .ignorable_keys = {"*inv_freq"}});
}

}  // namespace onnxport::models
