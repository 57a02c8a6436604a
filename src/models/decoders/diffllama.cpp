// DiffLlama. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/diffllama/modeling_diffllama.py
#include <fmt/format.h>
#include <cmath>

#include "models/common/definition.h"
#include "onnxport/error.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/blocks.h"
#include "onnxport/nn/causal_attention.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/rotary.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

// The difference of two attentions, of the first half of the heads and of the second (Ye et al. 2024). Each
// head has the values of two.
struct DifferentialAttention {
  std::string path;
  std::int64_t layer;
  nn::HeadSizes sizes;
  nn::QkvProjection qkv;
  nn::Linear o_proj;
  nn::RotaryEmbedding rotary;
  nn::LayerMask mask;
  Weight q1, k1, q2, k2;
  double eps;

  DifferentialAttention(const Scope& s, std::int64_t i, const TextDecoderConfig& c)
      : path(s.path()),
        layer(i),
        sizes(c.heads),
        qkv(nn::QkvProjection::separate(s, sizes, c.attention_bias)),
        o_proj(s / "o_proj", sizes.heads * sizes.head_dim, c.hidden_size, c.attention_bias),
        rotary("rotary_emb", c.rope),
        mask(nn::sees({}, c.no_keys)),
        q1(s.weight("lambda_q1", {sizes.head_dim})),
        k1(s.weight("lambda_k1", {sizes.head_dim})),
        q2(s.weight("lambda_q2", {sizes.head_dim})),
        k2(s.weight("lambda_k2", {sizes.head_dim})),
        eps(c.norm_parameters.eps) {}

  // x [B, kv_heads, S, d] -> [B, kv_heads, S, 2 d]: heads i and i + kv_heads / 2 side by side, in both
  // places.
  Value paired(Value x) const {
    if (sizes.kv_heads == 1) return op::concat({x, x}, 3);
    const std::vector<Value> halves = op::chunk(x, 1, 2);
    const Value pairs = op::concat(halves, 3);
    return op::concat({pairs, pairs}, 1);
  }

  // exp(q · k), float32
  Value factor(Graph& graph, const Weight& q, const Weight& k) const {
    const Value query = op::cast(graph.weight(q), DType::f32);
    const Value key = op::cast(graph.weight(k), DType::f32);
    return op::exp(op::sum(op::mul(query, key), 0));
  }

  Value operator()(Value x, nn::DecoderPass& pass) const {
    const ModulePath at(x, path);
    const nn::QueryKeyValue now = qkv(x);
    const nn::KeyValue past = pass.past(layer);
    const Value value = nn::split_heads(now.value, sizes.kv_heads);
    // In float32, because the norm enlarges a small difference.
    const auto wide = [](Value v) { return op::cast(v, DType::f32); };
    op::AttentionOperands operands;
    operands.query = wide(now.query);
    operands.key = wide(now.key);
    operands.value = wide(nn::merge_heads(paired(value)));
    if (past.key) {
      operands.past_key = wide(past.key);
      operands.past_value = wide(paired(past.value));
    }
    operands.mask = mask(pass);
    operands.rope = rotary(pass.position_ids());
    const op::AttentionResults results = op::attention(operands, sizes.heads, sizes.kv_heads);
    const Value key = op::cast(results.key, x.dtype());
    pass.keep(layer, {key, past.value ? op::concat({past.value, value}, 2) : value});

    const double initial = 0.8 - 0.6 * std::exp(-0.3 * static_cast<double>(layer));
    Graph& graph = x.graph();
    const Value first = factor(graph, q1, k1);
    const Value second = factor(graph, q2, k2);
    const Value lambda = op::add(op::sub(first, second), initial);
    const std::vector<Value> halves = op::chunk(results.output, 2, 2);
    const Value difference = op::sub(halves[0], op::mul(halves[1], lambda));
    const Value heads = op::reshape(difference, {x.dim(0), x.dim(1), sizes.heads / 2, 2 * sizes.head_dim});
    const Value normed = op::mul(op::rms_norm(heads, {}, eps), 1 - initial);
    return o_proj(op::cast(op::flatten(normed, 2, 3), x.dtype()));
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  const TextDecoderConfig c(config);
  config.harmless({"lambda_std_dev"});  // of new weights
  if (c.heads.heads % 2 != 0 || (c.heads.kv_heads % 2 != 0 && c.heads.kv_heads != 1)) {
    throw ExportError(ErrorCode::unsupported,
                      fmt::format("{}: {} heads with num_key_value_heads {}, expected even numbers, or 1",
                                  config.origin(), c.heads.heads, c.heads.kv_heads));
  }
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    return nn::PreNormBlock{.before_attention = c.norm(s / "input_layernorm"),
                            .attention = DifferentialAttention(s / "self_attn", i, c),
                            .before_mlp = c.norm(s / "post_attention_layernorm"),
                            .mlp = c.mlp(s / "mlp")};
  });
}

}  // namespace

void register_diffllama(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "diffllama",
       .tasks = nn::text_decoder_tasks(),
       .forward = forward,
       .key_names = tied("model.embed_tokens", "lm_head")});
}

}  // namespace onnxport::models
