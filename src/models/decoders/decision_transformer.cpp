// Decision Transformer. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/decision_transformer/modeling_decision_transformer.py
#include <algorithm>
#include <cmath>
#include <memory>

#include "models/decoders/common/gpt.h"

namespace onnxport::models {
namespace {

constexpr double kEps = 1e-5;            // of embed_ln: torch's default, no knob
constexpr std::int64_t kModalities = 3;  // of a step: return, state, action

struct Config : GptConfig {
  std::int64_t state_dim, act_dim, max_ep_len;
  bool action_tanh, older;
  GptScale scale;

  explicit Config(const PretrainedConfig& c)
      : GptConfig(c, {.width = "hidden_size"}),
        state_dim(c.integer("state_dim")),
        act_dim(c.integer("act_dim")),
        max_ep_len(c.integer("max_ep_len")),
        action_tanh(c.flag("action_tanh")),
        older(c.transformers_major() < 5),
        scale(c) {
    c.harmless({"reorder_and_upcast_attn"});  // the order of operations in half precision
  }
};

/// states, actions, returns_to_go: floats between -1 and 1; timesteps; attention_mask: ones, as floats. All
/// are [batch_size, sequence_length, …].
class DummyEpisodeInputGenerator : public DummyInputGenerator {
 public:
  explicit DummyEpisodeInputGenerator(const Config& c) : c_(c) {}
  bool supports_input(std::string_view name) const override {
    return name == "timesteps" || name == "attention_mask" || extent(name) != nullptr;
  }
  TensorType type(std::string_view name, const DummyContext& context,
                  const DummyShapes& shapes) const override {
    const DType dtype = name == "timesteps" ? context.int_dtype : context.float_dtype;
    TensorType type{dtype, {shapes.batch_size, shapes.sequence_length}};
    if (const std::int64_t* last = extent(name)) type.shape.emplace_back(*last);
    return type;
  }
  Tensor generate(std::string_view name, const DummyContext& context, const DummyShapes& shapes,
                  std::uint64_t seed) const override {
    const TensorType type = this->type(name, context, shapes);
    if (extent(name) != nullptr) return random_floats(seed, name, type);
    const std::vector<std::int64_t> shape = {shapes.batch_size, shapes.sequence_length};
    std::vector<double> values(static_cast<std::size_t>(shape[0] * shape[1]), 1.0);
    if (name == "timesteps") {
      for (std::size_t i = 0; i < values.size(); ++i)
        values[i] = static_cast<double>(static_cast<std::int64_t>(i) % shape[1] % c_.max_ep_len);
    }
    return Tensor::from_doubles(type.dtype, shape, values);
  }

 private:
  const std::int64_t* extent(std::string_view name) const {
    static constexpr std::int64_t kOne = 1;
    if (name == "states") return &c_.state_dim;
    if (name == "actions") return &c_.act_dim;
    return name == "returns_to_go" ? &kOne : nullptr;
  }
  Config c_;
};

class DecisionTransformerOnnxConfig : public OnnxConfig {
 public:
  using OnnxConfig::OnnxConfig;
  AxesByName inputs() const override {
    return steps({"states", "actions", "timesteps", "returns_to_go", "attention_mask"});
  }
  AxesByName outputs() const override {
    return steps({"state_preds", "action_preds", "return_preds", "last_hidden_state"});
  }
  Dim axis_length(std::string_view tensor, const std::string& symbol) const override {
    const Dim length = OnnxConfig::axis_length(tensor, symbol);
    return tensor == "last_hidden_state" && symbol == "sequence_length" ? length * kModalities : length;
  }
  NormalizedConfig normalized_config() const override { return {config(), {}}; }
  DummyInputGenerators dummy_input_generators() const override {
    return {std::make_shared<const DummyEpisodeInputGenerator>(Config(config().unaccounted()))};
  }
  std::optional<std::int64_t> longest_sequence() const override {
    return std::max<std::int64_t>(config().unaccounted().integer("n_positions") / kModalities, 1);
  }

 private:
  static AxesByName steps(std::initializer_list<const char*> names) {
    AxesByName axes;
    for (const char* name : names) axes.emplace_back(name, Axes{{0, "batch_size"}, {1, "sequence_length"}});
    return axes;
  }
};

nn::Block make_block(const Scope& s, std::int64_t layer, const Config& c) {
  nn::CausalAttentionParts attention = gpt_attention(s / "attn", layer, c);
  attention.options.scale = c.scale(std::sqrt(static_cast<double>(c.sizes().head_dim)), layer);
  if (c.older) {
    attention.mask = [](const nn::DecoderPass& pass) {
      return masked_twice(pass, lowest(pass.graph().float_dtype()));
    };
  }
  return nn::PreNormBlock{.before_attention = c.norm(s / "ln_1"),
                          .attention = nn::CausalAttention(std::move(attention)),
                          .before_mlp = c.norm(s / "ln_2"),
                          .mlp = gpt_mlp(s / "mlp", c)};
}

// Steps of three tokens: [B, S, 3 * …] -> [B, 3 S, …].
Value interleaved(std::vector<Value> parts) {
  for (Value& part : parts) part = op::unsqueeze(part, 2);
  return op::flatten(op::concat(std::move(parts), 2), 1, 2);
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope s = model.scope(), encoder = s / "encoder";
  const auto linear = [&](const char* key, std::int64_t in, std::int64_t out) {
    return nn::Linear(s / key, in, out);
  };
  const Value time = nn::Embedding(s / "embed_timestep", c.max_ep_len, c.n_embd)(inputs["timesteps"]);
  const auto embed = [&](const char* key, const char* input, std::int64_t extent) {
    return op::add(linear(key, extent, c.n_embd)(inputs[input]), time);
  };
  const Value returns = embed("embed_return", "returns_to_go", 1);
  const Value states = embed("embed_state", "states", c.state_dim);
  const Value actions = embed("embed_action", "actions", c.act_dim);
  const Value stacked =
      nn::LayerNorm(s / "embed_ln", c.n_embd, kEps)(interleaved({returns, states, actions}));
  const Value real = op::eq(inputs["attention_mask"], 1.0);
  const Inputs of_encoder({{"inputs_embeds", stacked}, {"attention_mask", interleaved({real, real, real})}});

  // All its positions are 0, because the time is in the tokens.
  const nn::Embedding wpe(encoder / "wpe", c.n_positions, c.n_embd);
  const nn::DecoderStack decoder(
      encoder, "h", c.n_layer, [&](const Scope& layer, std::int64_t i) { return make_block(layer, i, c); },
      [&](nn::DecoderPass& pass) { return op::add(stacked, wpe.first(pass.graph(), 1)); },
      c.norm(encoder / "ln_f"));
  nn::DecoderPass pass(of_encoder, component.interface.states);
  const Value hidden = decoder(pass);
  const Dim &batch = states.dim(0), &length = states.dim(1);
  const Value steps = op::reshape(hidden, {batch, length, kModalities, c.n_embd});
  const Value state = op::select(steps, 2, 1), action = op::select(steps, 2, 2);
  const Value predicted = linear("predict_action.0", c.n_embd, c.act_dim)(state);
  return {{"state_preds", linear("predict_state", c.n_embd, c.state_dim)(action)},
          {"action_preds", c.action_tanh ? op::tanh(predicted) : predicted},
          {"return_preds", linear("predict_return", c.n_embd, 1)(action)},
          {"last_hidden_state", hidden}};
}

}  // namespace

void register_decision_transformer(TasksManager& tasks) {
  tasks.register_model<DecisionTransformerOnnxConfig>(
      {.model_type = "decision_transformer",
       .tasks = {"feature-extraction", "reinforcement-learning"},
       .forward = forward,
       .ignorable_keys = {"encoder.wte.*", "*.attn.bias", "*.attn.masked_bias"}});
}

}  // namespace onnxport::models
