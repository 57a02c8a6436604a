#include "models/decoders/common/kimi.h"

#include <limits>
#include <utility>

#include "models/common/definition.h"
#include "models/decoders/common/deepseek.h"
#include "models/decoders/common/experts.h"

namespace onnxport::models {

std::vector<StateSpec> KimiHybridOnnxConfig::layer_states(std::int64_t layer) const {
  const PretrainedConfig c = config().unaccounted();
  if (!attends(c, layer)) return delta_states(layer, sizes(c));
  return key_value(layer, 1, c.integer("kv_lora_rank"), c.integer("qk_rope_head_dim"));
}

nn::DeltaSizes kimi_delta_sizes(const PretrainedConfig& config, std::int64_t heads, std::int64_t head_dim,
                                std::int64_t kernel) {
  return {.hidden_size = config.integer("hidden_size"),
          .key_heads = heads,
          .value_heads = heads,
          .key_dim = head_dim,
          .value_dim = head_dim,
          .kernel = kernel};
}

nn::Mixer kimi_delta_attention(const Scope& s, std::int64_t layer, const TextDecoderConfig& c,
                               const nn::DeltaSizes& sizes, std::function<Value(Value)> decay,
                               std::function<Value(Value)> gate) {
  const nn::Linear query(s / "q_proj", sizes.hidden_size, sizes.keys(), false),
      key(s / "k_proj", sizes.hidden_size, sizes.keys(), false),
      value(s / "v_proj", sizes.hidden_size, sizes.values(), false),
      beta(s / "b_proj", sizes.hidden_size, sizes.value_heads, false);
  auto project = [=, decay = std::move(decay), gate = std::move(gate)](Value x) -> nn::DeltaInputs {
    const Value q = query(x), k = key(x), v = value(x), remains = decay(x), opened = gate(x);
    return {.mixed = op::concat({q, k, v}, -1),
            .gate = opened,
            .beta = nn::delta_beta(beta(x)),
            .decay = remains};
  };
  return nn::GatedDeltaNet(
      {.path = s.path(),
       .layer = layer,
       .sizes = sizes,
       .project = std::move(project),
       .conv1d = qkv_conv(s, sizes),
       .norm = nn::GatedRmsNorm(s / "o_norm", sizes.value_dim,
                                {.eps = c.norm_parameters.eps, .gate_first = false, .activation = "sigmoid"}),
       .out_proj = nn::Linear(s / "o_proj", sizes.values(), sizes.hidden_size, false),
       .activation = c.hidden_act});
}

nn::FeedForward kimi_mixture(const Scope& s, const PretrainedConfig& config, const TextDecoderConfig& c,
                             const nn::ExpertNames& names) {
  const std::int64_t width = config.integer("moe_intermediate_size");
  const nn::ExpertSizes sizes{c.hidden_size, width, config.integer("num_local_experts")};
  const Weight bias = (s / "gate").weight("e_score_correction_bias", {sizes.experts});
  const nn::Routing routing = deepseek_routing(config, bias, std::numeric_limits<float>::lowest());
  return nn::sum_of(nn::SparseMixture(s, sizes, routing, c.hidden_act, names),
                    mlp_of_width(c, s / "shared_experts", width * config.integer("n_shared_experts")));
}

}  // namespace onnxport::models
