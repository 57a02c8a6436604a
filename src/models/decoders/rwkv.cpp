// RWKV 4. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/rwkv/modeling_rwkv.py
#include <array>
#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "models/common/definition.h"
#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/mamba.h"
#include "onnxport/recurrence.h"

namespace onnxport::models {
namespace {

// Each state holds one vector of every layer [B, hidden_size, layers]: the last input of the feed-forward,
// that of the attention, and the three sums of the attention.
enum State : std::size_t { feed_forward_input, attention_input, numerator, denominator, maximum, count };

struct Config {
  std::int64_t vocab_size, hidden_size, intermediate_size, layers, rescale_every;
  double eps;
  bool tied;

  explicit Config(const PretrainedConfig& c)
      : vocab_size(c.integer("vocab_size")),
        hidden_size(c.integer("hidden_size")),
        intermediate_size(c.maybe_integer("intermediate_size").value_or(4 * hidden_size)),
        layers(c.integer("num_hidden_layers")),
        rescale_every(c.integer("rescale_every")),
        eps(c.real("layer_norm_epsilon")),
        tied(c.flag("tie_word_embeddings")) {
    c.harmless({"context_length"});  // of the original's kernel; it knows no positions
    if (c.maybe_integer("attention_hidden_size").value_or(hidden_size) != hidden_size) {
      throw ExportError(ErrorCode::unsupported,
                        c.origin() + ": attention_hidden_size differs from hidden_size");
    }
  }
  // By which the original divides the weights of a layer's outputs.
  double divisor(std::int64_t layer) const {
    if (rescale_every <= 0) return 1;
    const std::int64_t halvings = layer / rescale_every;
    return std::pow(2, static_cast<double>(halvings));
  }
};

// The denominator is a sum of positive weights: near zero, or below, the mean that it divides means nothing.
class DummyDenominatorGenerator : public DummyPastKeyValuesGenerator {
 public:
  bool supports_input(std::string_view name) const override { return name == "past_state.3"; }
  Tensor generate(std::string_view name, const DummyContext& context, const DummyShapes& shapes,
                  std::uint64_t seed) const override {
    const Tensor made = DummyPastKeyValuesGenerator::generate(name, context, shapes, seed);
    std::vector<double> values = made.to_doubles();
    for (double& value : values) value += 1.5;
    return Tensor::from_doubles(made.dtype, made.shape, values);
  }
};

class RwkvOnnxConfig : public TextDecoderOnnxConfig {
 public:
  using TextDecoderOnnxConfig::TextDecoderOnnxConfig;
  DummyInputGenerators dummy_input_generators() const override {
    DummyInputGenerators all = TextDecoderOnnxConfig::dummy_input_generators();
    all.insert(all.begin(), std::make_shared<const DummyDenominatorGenerator>());
    return all;
  }
  std::vector<StateSpec> states() const override {
    const Config c(config().unaccounted());
    std::vector<StateSpec> all;
    for (std::int64_t i = 0; i < std::int64_t{State::count}; ++i)
      all.push_back(fixed_state(i, "state", {c.hidden_size, c.layers}));
    return all;
  }
};

// The states of one layer, before and after.
struct LayerStates {
  std::array<Value, State::count> past, present;
};

// The token before each one: [B, S, H]
Value time_shift(Value x, Value last) {
  const Value all = last ? op::concat({op::unsqueeze(last, 1), x}, 1) : op::pad(x, {0, 1, 0}, {0, 0, 0});
  return op::slice(all, 1, 0, x.dim(1));
}

Value last_of(Value x) { return op::squeeze(op::slice(x, 1, x.dim(1) - 1, x.dim(1)), 1); }

// x * mix + shifted * (1 - mix)
Value mixed(Value x, Value shifted, const Weight& mix) {
  const Value share = x.graph().weight(mix);
  const Value now = op::mul(x, share);
  return op::add(now, op::mul(shifted, op::sub(1.0, share)));
}

struct Attention {
  std::string path;
  Weight time_decay, time_first, time_mix_key, time_mix_value, time_mix_receptance;
  nn::Linear key, value, receptance, output;
  double divisor;

  Attention(const Scope& s, std::int64_t h, double by)
      : path(s.path()),
        time_decay(s.weight("time_decay", {h})),
        time_first(s.weight("time_first", {h})),
        time_mix_key(s.weight("time_mix_key", {1, 1, h})),
        time_mix_value(s.weight("time_mix_value", {1, 1, h})),
        time_mix_receptance(s.weight("time_mix_receptance", {1, 1, h})),
        key(s / "key", h, h, false),
        value(s / "value", h, h, false),
        receptance(s / "receptance", h, h, false),
        output(s / "output", h, h, false),
        divisor(by) {}

  Value operator()(Value x, LayerStates& states) const {
    const ModulePath at(x, path);
    Graph& graph = x.graph();
    const auto wide = [](Value v) { return v ? op::cast(v, DType::f32) : v; };
    const Value shifted = time_shift(x, states.past[attention_input]);
    const Value k = wide(key(mixed(x, shifted, time_mix_key)));
    const Value v = wide(value(mixed(x, shifted, time_mix_value)));
    const Value open = op::sigmoid(receptance(mixed(x, shifted, time_mix_receptance)));
    op::WkvState past;
    past.numerator = wide(states.past[numerator]);
    past.denominator = wide(states.past[denominator]);
    past.maximum = wide(states.past[maximum]);
    const Value decay = graph.weight_as_is(nn::decay_of(time_decay));
    const op::Wkv made = op::wkv(k, v, decay, wide(graph.weight(time_first)), past);
    states.present[attention_input] = last_of(x);
    states.present[numerator] = made.state.numerator;
    states.present[denominator] = made.state.denominator;
    states.present[maximum] = made.state.maximum;
    const Value mean = op::cast(made.output, graph.float_dtype());
    return op::div(output(op::mul(open, mean)), divisor);
  }
};

struct FeedForward {
  std::string path;
  Weight time_mix_key, time_mix_receptance;
  nn::Linear key, receptance, value;
  double divisor;

  FeedForward(const Scope& s, std::int64_t h, std::int64_t inner, double by)
      : path(s.path()),
        time_mix_key(s.weight("time_mix_key", {1, 1, h})),
        time_mix_receptance(s.weight("time_mix_receptance", {1, 1, h})),
        key(s / "key", h, inner, false),
        receptance(s / "receptance", h, h, false),
        value(s / "value", inner, h, false),
        divisor(by) {}

  Value operator()(Value x, LayerStates& states) const {
    const ModulePath at(x, path);
    const Value shifted = time_shift(x, states.past[feed_forward_input]);
    states.present[feed_forward_input] = last_of(x);
    const Value k = op::relu(key(mixed(x, shifted, time_mix_key)));
    const Value v = op::div(value(op::mul(k, k)), divisor);
    return op::mul(op::sigmoid(receptance(mixed(x, shifted, time_mix_receptance))), v);
  }
};

struct Block {
  nn::LayerNorm ln1, ln2;
  Attention attention;
  FeedForward feed_forward;

  Block(const Scope& s, std::int64_t layer, const Config& c)
      : ln1(s / "ln1", c.hidden_size, c.eps),
        ln2(s / "ln2", c.hidden_size, c.eps),
        attention(s / "attention", c.hidden_size, c.divisor(layer)),
        feed_forward(s / "feed_forward", c.hidden_size, c.intermediate_size, c.divisor(layer)) {}

  Value operator()(Value x, LayerStates& states) const {
    const Value attended = attention(ln1(x), states);
    x = op::add(x, attended);
    return op::add(x, feed_forward(ln2(x), states));
  }
};

struct Rwkv {
  Config c;
  nn::Embedding embeddings;
  nn::LayerNorm pre_ln, ln_out;
  std::vector<Block> blocks;

  Rwkv(const Scope& s, const Config& config)
      : c(config),
        embeddings(s / "embeddings", c.vocab_size, c.hidden_size),
        pre_ln(s / "blocks" / 0 / "pre_ln", c.hidden_size, c.eps),
        ln_out(s / "ln_out", c.hidden_size, 1e-5) {
    for (std::int64_t i = 0; i < c.layers; ++i) blocks.emplace_back(s / "blocks" / i, i, c);
  }

  Value operator()(nn::DecoderPass& pass) const {
    std::array<std::vector<Value>, State::count> presents;
    Value x = pre_ln(pass.embedded(embeddings));
    for (std::int64_t layer = 0; layer < c.layers; ++layer) {
      LayerStates states;
      for (std::size_t i = 0; i < State::count; ++i) {
        const Value past = pass.past(static_cast<std::int64_t>(i), "state");
        if (past) states.past[i] = op::select(past, 2, layer);
      }
      x = blocks[static_cast<std::size_t>(layer)](x, states);
      if (c.rescale_every > 0 && (layer + 1) % c.rescale_every == 0) x = op::div(x, 2);
      for (std::size_t i = 0; i < State::count; ++i)
        presents[i].push_back(op::unsqueeze(op::cast(states.present[i], x.graph().float_dtype()), 2));
    }
    for (std::size_t i = 0; i < State::count; ++i)
      pass.keep(static_cast<std::int64_t>(i), "state", op::concat(presents[i], 2));
    return ln_out(x);
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const Rwkv rwkv(root.base_model("rwkv"), c);
  const Weight table = c.tied ? rwkv.embeddings.weight() : Weight();
  return nn::build_text_decoder_task(
      component, inputs, root,
      {.decode = [&](nn::DecoderPass& pass) { return rwkv(pass); },
       .lm_head = nn::language_head(root / "head", table, c.vocab_size, c.hidden_size)});
}

}  // namespace

void register_rwkv(TasksManager& tasks) {
  tasks.register_model<RwkvOnnxConfig>({.model_type = "rwkv",
                                        .tasks = nn::text_decoder_tasks({}),
                                        .forward = forward,
                                        .key_names = tied("rwkv.embeddings", "head")});
}

}  // namespace onnxport::models
