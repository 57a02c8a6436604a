// Switch Transformers: T5 with a mixture of experts in some layers. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/switch_transformers/modeling_switch_transformers.py
#include <fmt/format.h>

#include "models/common/definition.h"
#include "models/encoder_decoders/common/t5.h"
#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/experts.h"

namespace onnxport::models {
namespace {

struct Config {
  T5Config t5;
  std::int64_t experts, capacity;
  std::int64_t encoder_step, decoder_step;  // every so many layers, one has experts; 0: none
  bool router_bias;

  explicit Config(const PretrainedConfig& c)
      : t5(c),
        experts(c.integer("num_experts")),
        capacity(c.integer("expert_capacity")),
        encoder_step(step(c, "encoder", t5.layers)),
        decoder_step(step(c, "decoder", t5.decoder_layers)),
        router_bias(c.flag("router_bias")) {
    t5.gated = false;           // the original has no gated layers
    t5.scale_hidden = t5.tied;  // in both versions, unlike T5
    if (experts < 1) {
      throw ExportError(ErrorCode::bad_config,
                        fmt::format("{}: key 'num_experts' is {}, expected at least 1", c.origin(), experts));
    }
    if (const std::string dtype = c.string("router_dtype"); dtype != "float32") {
      throw ExportError(ErrorCode::unsupported,
                        fmt::format("{}: key 'router_dtype' is '{}', expected 'float32'", c.origin(), dtype));
    }
    // Noise and losses of training. The original ignores the last one.
    c.harmless({"router_jitter_noise", "router_z_loss_coef", "router_aux_loss_coef", "add_router_probs",
                "router_ignore_padding_tokens"});
  }
  bool is_sparse(std::int64_t layer, bool decoder) const {
    const std::int64_t every = decoder ? decoder_step : encoder_step;
    return every == 1 || (every > 0 && layer % every == 1);
  }

 private:
  // The class derives the step from the number of such layers, but that of the file wins.
  static std::int64_t step(const PretrainedConfig& c, const std::string& side, std::int64_t layers) {
    const std::int64_t sparse = c.integer(fmt::format("num_sparse_{}_layers", side));
    return c.integer(side + "_sparse_step", sparse > 0 ? layers / sparse : layers);
  }
};

// Each token passes its best expert, if fewer than `capacity` tokens before it in its row have the same.
class SparseMlp {
 public:
  SparseMlp(const Scope& s, const Config& c)
      : path_(s.path()),
        capacity_(static_cast<double>(c.capacity)),
        classifier_(s / "router" / "classifier", c.t5.d_model, c.experts, c.router_bias),
        experts_(nn::plain_expert_weights(s / "experts", {c.t5.d_model, c.t5.d_ff, c.experts},
                                          {.up = "wi", .down = "wo", .prefix = "expert_"}),
                 c.t5.activation) {}
  Value operator()(Value x) const {
    const ModulePath at(x, path_);
    const Dim experts = classifier_.weight().shape()[0];
    const Value scores = op::softmax(nn::linear_in_float32(classifier_, x), 2);
    const Value best = op::argmax(scores, 2, true);  // [B, S, 1]
    const Value chosen = op::eq(best, op::arange(x.graph(), experts));
    const Value place = op::cumsum(op::cast(chosen, DType::i64), 1);
    const Value fits = op::le(place, op::scalar(x.graph(), capacity_, DType::i64));
    const Value kept = op::cast(op::logical_and(chosen, fits), DType::f32);
    const Value routing = op::cast(op::mul(scores, kept), x.dtype());
    const Value rows = op::flatten(routing, 0, 1);
    const Value made = experts_(op::flatten(x, 0, 1), rows);
    return op::reshape(made, x.shape());
  }

 private:
  std::string path_;
  double capacity_;
  nn::Linear classifier_;
  nn::Experts experts_;
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const auto feed_forward = [&](const Scope& s, const T5Config& t5, std::int64_t layer,
                                bool decoder) -> T5FeedForward {
    if (c.is_sparse(layer, decoder)) return SparseMlp(s / "mlp", c);
    return t5_feed_forward(s / "mlp", t5);
  };
  return forward_t5_like(inputs, model, component, c.t5, {.feed_forward = feed_forward});
}

}  // namespace

void register_switch_transformers(TasksManager& tasks) {
  register_t5_like(tasks, {.model_type = "switch_transformers", .forward = forward});
}

}  // namespace onnxport::models
