// Apertus. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/apertus/modeling_apertus.py
#include <cmath>
#include <string>
#include <vector>

#include "models/common/definition.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/blocks.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

double in_bfloat16(double value) {
  return Weight::from_doubles(DType::bf16, {}, {&value, 1}).to_doubles().front();
}

// A quadratic for positive numbers and an exponential for the others, with learned factors (Huang and Schlag
// 2024). In version 4, these are in bfloat16, whatever the dtype of the model, and so is what it computes
// from them. They do not depend on the input, so they are computed now.
struct Xielu {
  std::string path;
  double positive, negative, linear, below;

  Xielu(const Scope& s, bool in_halves) : path(s.path()) {
    const auto rounded = [&](double x) { return in_halves ? in_bfloat16(x) : x; };
    const auto number = [&](const char* key, const std::vector<std::int64_t>& shape) {
      return rounded(s.weight(key, shape).to_doubles().front());
    };
    const auto softplus = [&](double x) { return rounded(std::log1p(std::exp(x))); };
    linear = number("beta", {});
    below = number("eps", {});
    positive = softplus(number("alpha_p", {1}));
    negative = rounded(linear + softplus(number("alpha_n", {1})));
  }

  Value operator()(Value x) const {
    const ModulePath at(x, path);
    const Value square = op::mul(op::mul(x, x), positive);
    const Value low = op::exp(op::minimum(x, below));
    const Value curve = op::mul(op::sub(op::sub(low, 1.0), x), negative);
    const Value is_positive = op::gt(x, 0.0);
    const Value bent = op::where(is_positive, square, curve);
    return op::add(bent, op::mul(x, linear));
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const TextDecoderConfig c(model.config());
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    const Scope mlp = s / "mlp";
    nn::PreNormBlock block{.before_attention = c.norm(s / "attention_layernorm"),
                           .attention = nn::CausalAttention(c.normed_attention(s / "self_attn", i)),
                           .before_mlp = c.norm(s / "feedforward_layernorm"),
                           .mlp = {}};
    if (c.hidden_act == "xielu") {
      block.mlp = nn::Mlp(mlp.path(), nn::Linear(mlp / "up_proj", c.hidden_size, c.intermediate_size, false),
                          nn::Linear(mlp / "down_proj", c.intermediate_size, c.hidden_size, false),
                          Xielu(mlp / "act_fn", model.config().transformers_major() < 5));
    } else {
      block.mlp = c.plain_mlp(mlp, false);
    }
    return block;
  });
}

}  // namespace

void register_apertus(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "apertus",
       .tasks = nn::text_decoder_tasks({}),
       .forward = forward,
       .key_names = tied("model.embed_tokens", "lm_head")});
}

}  // namespace onnxport::models
