// RecurrentGemma. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/recurrent_gemma/modeling_recurrent_gemma.py
#include <cmath>
#include <string>
#include <vector>

#include "models/common/definition.h"
#include "models/decoders/common/hybrid.h"
#include "onnxport/error.h"
#include "onnxport/nn/causal_attention.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/mamba.h"
#include "onnxport/recurrence.h"

namespace onnxport::models {
namespace {

struct RecurrentSizes {
  std::int64_t hidden_size, lru_width, kernel, heads;
  explicit RecurrentSizes(const PretrainedConfig& c)
      : hidden_size(c.integer("hidden_size")),
        lru_width(c.maybe_integer("lru_width").value_or(hidden_size)),
        kernel(c.integer("conv1d_width")),
        heads(c.integer("num_attention_heads")) {
    check_multiple(c, "lru_width", lru_width, "num_attention_heads", heads);
  }
};

bool attends(const PretrainedConfig& c, std::int64_t layer) {
  const std::vector<std::string> kinds = c.strings("block_types");
  if (kinds.empty()) throw ExportError(ErrorCode::bad_config, c.origin() + ": block_types is empty");
  return kinds[static_cast<std::size_t>(layer) % kinds.size()] == "attention";
}

class RecurrentGemmaOnnxConfig : public HybridOnnxConfig {
 public:
  using HybridOnnxConfig::HybridOnnxConfig;

 protected:
  std::vector<StateSpec> layer_states(std::int64_t layer) const override {
    const PretrainedConfig c = config().unaccounted();
    const RecurrentSizes z(c);
    if (!attends(c, layer))
      return recurrent_states(layer, z.lru_width, z.kernel - 1, "recurrent", {z.lru_width});
    const nn::HeadSizes heads = TextDecoderConfig(c).heads;
    return key_value(layer, heads.kv_heads, heads.head_dim);
  }
};

// A real-gated linear recurrent unit. A token at position 0 starts it anew.
struct Rglru {
  std::string path;
  std::int64_t layer, heads, width;
  Weight recurrent_param, input_gate_weight, input_gate_bias, recurrent_gate_weight, recurrent_gate_bias;

  Rglru(const Scope& s, std::int64_t at, const RecurrentSizes& z)
      : path(s.path()), layer(at), heads(z.heads), width(z.lru_width / z.heads) {
    recurrent_param = s.weight("recurrent_param", {z.lru_width});
    input_gate_weight = s.weight("input_gate_weight", {heads, width, width});
    input_gate_bias = s.weight("input_gate_bias", {heads, width});
    recurrent_gate_weight = s.weight("recurrent_gate_weight", {heads, width, width});
    recurrent_gate_bias = s.weight("recurrent_gate_bias", {heads, width});
  }

  Value gate(Value x, const Weight& weight, const Weight& bias) const {
    Graph& graph = x.graph();
    const Value apart = op::transpose(op::reshape(x, {x.dim(0), x.dim(1), heads, width}), 1, 2);
    const Value product = op::matmul(apart, graph.weight(weight));
    const Value sum = op::add(product, graph.weight(bias.reshape({heads, 1, width})));
    return op::sigmoid(op::reshape(op::transpose(sum, 1, 2), x.shape()));
  }

  // [B, S, W] -> the same
  Value operator()(Value x, nn::DecoderPass& pass) const {
    const ModulePath at(x, path);
    Graph& graph = x.graph();
    const Value input_gate = gate(x, input_gate_weight, input_gate_bias);
    const Value open = op::cast(gate(x, recurrent_gate_weight, recurrent_gate_bias), DType::f32);
    const Value speed = op::softplus(op::cast(graph.weight(recurrent_param), DType::f32));
    const Value log = op::mul(op::mul(open, speed), -8.0);
    const Value reset = op::unsqueeze(op::eq(pass.position_ids(), 0.0), -1);
    const Value one = op::scalar(graph, 1, DType::f32), zero = op::scalar(graph, 0, DType::f32);
    const Value rest = op::sqrt(op::sub(1.0, op::exp(op::mul(log, 2.0))));
    const Value multiplier = op::where(reset, one, rest);
    const Value gated = op::cast(op::mul(x, input_gate), DType::f32);
    const Value added = op::mul(gated, multiplier);
    const Value remains = op::where(reset, zero, op::exp(log));
    const op::Recurrence made =
        op::linear_recurrence(added, remains, nn::wide_past(pass, layer, "recurrent"));
    nn::keep_wide(pass, layer, "recurrent", made.state);
    return op::cast(made.output, graph.float_dtype());
  }
};

nn::Mixer recurrent_block(const Scope& s, std::int64_t layer, const RecurrentSizes& z,
                          const std::string& activation) {
  const nn::Linear linear_y(s / "linear_y", z.hidden_size, z.lru_width);
  const nn::Linear linear_x(s / "linear_x", z.hidden_size, z.lru_width);
  const nn::Linear linear_out(s / "linear_out", z.lru_width, z.hidden_size);
  const nn::CausalConv conv_1d(s / "conv_1d", z.lru_width, z.kernel, true, z.kernel - 1);
  const Rglru rg_lru(s / "rg_lru", layer, z);
  const nn::Activation act_fn(activation);
  return [=, path = s.path()](Value x, nn::DecoderPass& pass) {
    const ModulePath at(x, path);
    const Value gate = act_fn(linear_y(x));
    const Value recurrent = rg_lru(conv_1d(linear_x(x), pass, layer), pass);
    return linear_out(op::mul(recurrent, gate));
  };
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  TextDecoderConfig c(config);
  c.hidden_act = config.string("hidden_activation");
  c.intermediate_size /= 2;
  c.norm_parameters.offset = 1;
  c.add_masks_in_version_4(config);
  c.last_norm = "final_norm";
  c.final_softcap = config.real("logits_soft_cap");
  c.tie_word_embeddings = config.flag("tie_word_embeddings", true);
  // The original multiplies by a number in bfloat16.
  const double root = std::sqrt(static_cast<double>(c.hidden_size));
  c.embedding_scale = Weight::from_doubles(DType::bf16, {}, {&root, 1}).to_doubles()[0];
  config.harmless({"w_init_variance_scale", "final_w_init_variance_scale"});
  const RecurrentSizes sizes(config);
  // The original's cache is a ring of so many positions. Its prefill sees them all, even those before.
  const nn::Visibility visible{.window = config.integer("attention_window_size")};
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    const Scope at = s / "temporal_block";
    const auto mixer = [&]() -> nn::Mixer {
      if (!attends(config, i)) return recurrent_block(at, i, sizes, c.hidden_act);
      nn::CausalAttentionParts attention = c.attention(at, i, visible);
      attention.output = nn::Linear(at / "o_proj", c.heads.heads * c.heads.head_dim, c.hidden_size);
      return nn::CausalAttention(std::move(attention));
    };
    return nn::PreNormBlock{.before_attention = c.norm(s / "temporal_pre_norm"),
                            .attention = mixer(),
                            .before_mlp = c.norm(s / "channel_pre_norm"),
                            .mlp = c.mlp(s / "mlp_block", true)};
  });
}

}  // namespace

void register_recurrent_gemma(TasksManager& tasks) {
  tasks.register_model<RecurrentGemmaOnnxConfig>({.model_type = "recurrent_gemma",
                                                  .tasks = {"text-generation", "text-generation-with-past"},
                                                  .forward = forward,
                                                  .key_names = tied("model.embed_tokens", "lm_head")});
}

}  // namespace onnxport::models
