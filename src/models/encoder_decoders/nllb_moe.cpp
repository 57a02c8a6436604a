// NLLB-MoE: M2M-100 with mixtures of experts in some layers. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/nllb_moe/modeling_nllb_moe.py
#include <fmt/format.h>

#include <algorithm>

#include "models/encoder_decoders/common/bart.h"
#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/experts.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/nn/seq2seq.h"

namespace onnxport::models {
namespace {

struct Routing {
  std::int64_t d_model, experts, capacity;
  double fraction;  // of all tokens: the capacity of an expert; 0: `capacity`
  double share;     // of the experts' results in the sum
  bool bias, normalize_first, by_priority, pads_count;

  explicit Routing(const PretrainedConfig& c)
      : d_model(c.integer("d_model")),
        experts(c.integer("num_experts")),
        capacity(c.integer("expert_capacity")),
        fraction(c.real("moe_eval_capacity_token_fraction")),
        share(1 - std::max(c.real("moe_token_dropout"), 0.0)),
        bias(c.flag("router_bias")),
        normalize_first(c.flag("normalize_router_prob_before_dropping")),
        by_priority(c.flag("batch_prioritized_routing")),
        pads_count(c.flag("router_ignore_padding_tokens")) {
    if (experts < 2) {
      throw ExportError(ErrorCode::bad_config,
                        fmt::format("{}: key 'num_experts' is {}, expected at least 2", c.origin(), experts));
    }
    const auto only = [&](const char* key, const char* known) {
      if (const std::string value = c.string(key); value != known) {
        throw ExportError(ErrorCode::unsupported,
                          fmt::format("{}: key '{}' is '{}', expected '{}'", c.origin(), key, value, known));
      }
    };
    only("router_dtype", "float32");
    only("second_expert_policy", "all");  // the others draw random numbers
    c.harmless({"router_z_loss_coef", "router_aux_loss_coef", "output_router_logits"});  // losses
  }
};

// ceil(fraction * tokens), int64 []
Value part_of(Value tokens, double fraction) {
  const Value exact = op::mul(op::cast(tokens, DType::f64), fraction);
  const Value floor = op::cast(exact, DType::i64);
  const Value more = op::gt(exact, op::cast(floor, DType::f64));
  return op::add(floor, op::cast(more, DType::i64));
}

// Each token passes its two best experts, as far as these have room for it.
class SparseMlp {
 public:
  // padding: [B, S] of 0 and 1, or absent
  SparseMlp(const Scope& s, const Routing& r, std::int64_t ffn_dim, const std::string& activation,
            Value attention_mask)
      : path_(s.path()),
        r_(r),
        classifier_(s / "router" / "classifier", r.d_model, r.experts, r.bias),
        experts_(nn::plain_expert_weights(s / "experts", {r.d_model, ffn_dim, r.experts},
                                          {.up = "fc1", .down = "fc2", .prefix = "expert_"}),
                 activation),
        attention_mask_(attention_mask) {}
  Value operator()(Value x) const {
    const ModulePath at(x, path_);
    const Value tokens = op::flatten(x, 0, 1);
    const Value made = experts_(tokens, op::cast(route(tokens), x.dtype()));
    return op::reshape(made, x.shape());
  }

 private:
  // float32 [N, E]: how much the result of each expert counts.
  Value route(Value tokens) const {
    Graph& graph = tokens.graph();
    const Value logits = nn::linear_in_float32(classifier_, tokens);
    const Value scores = op::softmax(logits, 1);
    const Value numbers = op::arange(graph, r_.experts);
    const Value first = op::eq(op::argmax(scores, 1, true), numbers);
    const Value others = op::masked_fill(logits, first, -1e30);
    const Value second = op::eq(op::argmax(others, 1, true), numbers);
    const Value best_two = op::cast(op::logical_or(first, second), DType::f32);
    const Value one = real(op::cast(first, DType::f32));
    const Value two = real(op::cast(second, DType::f32));
    const Value kept_one = op::mul(one, room(places(one, scores)));
    const Value all_ones = op::sum(one, 0, true);  // the second choices come behind them
    const Value behind = op::add(places(two, scores), all_ones);
    const Value kept_two = op::mul(two, room(behind));
    const Value kept = op::mul(scores, op::add(kept_one, kept_two));
    const Value counted = r_.normalize_first ? op::mul(scores, best_two) : kept;
    const Value total = op::maximum(op::sum(counted, 1, true), 1.1920928955078125e-07);
    return op::mul(op::div(kept, total), r_.share);
  }
  // [N, E] without the rows of padding
  Value real(Value chosen) const {
    if (!attention_mask_ || r_.pads_count) return chosen;
    const Value real = op::flatten(op::cast(attention_mask_, DType::f32), 0, 1);
    return op::mul(chosen, op::unsqueeze(real, 1));
  }
  // [N, E]: how many tokens an expert takes before this one, by their order or by the score of their best
  // expert.
  Value places(Value chosen, Value scores) const {
    if (!r_.by_priority) return op::sub(op::cumsum(chosen, 0), chosen);
    const Value best = op::amax(scores, 1, true);
    const Value of_others = op::transpose(best, 0, 1);
    const Value number = op::arange(chosen.graph(), chosen.dim(0));
    const Value earlier = op::lt(number, op::unsqueeze(number, 1));
    const Value tied = op::logical_and(op::eq(of_others, best), earlier);
    const Value before = op::logical_or(op::gt(of_others, best), tied);  // [N, N]
    return op::matmul(op::cast(before, DType::f32), chosen);
  }
  // 1 where a place is below the capacity of an expert.
  Value room(Value places) const {
    Graph& graph = places.graph();
    const Value most = r_.fraction > 0 ? part_of(op::size(graph, places.dim(0)), r_.fraction)
                                       : op::scalar(graph, static_cast<double>(r_.capacity), DType::i64);
    return op::cast(op::lt(places, op::cast(most, DType::f32)), DType::f32);
  }

  std::string path_;
  Routing r_;
  nn::Linear classifier_;
  nn::Experts experts_;
  Value attention_mask_;
};

// Every so many layers, one has experts.
nn::Seq2SeqLayerParameters layer(const Scope& s, nn::Seq2SeqLayerParameters p, const Routing& r, bool sparse,
                                 Value attention_mask) {
  const Scope ffn = s / "ffn";
  p.names = {.encoder_attention = "cross_attention", .feed_forward_norm = "ff_layer_norm"};
  if (sparse) {
    p.feed_forward = SparseMlp(ffn, r, p.ffn_dim, p.activation, attention_mask);
  } else {
    p.feed_forward = nn::Mlp(ffn.path(), nn::Linear(ffn / "fc1", p.hidden_size, p.ffn_dim),
                             nn::Linear(ffn / "fc2", p.ffn_dim, p.hidden_size), p.activation);
  }
  return p;
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  BartConfig c(config);
  const Routing routing(config);
  c.norm_first();
  c.logits_bias = false;
  c.positions = counted_positions(c);
  const std::int64_t encoder_step = config.integer("encoder_sparse_step");
  const std::int64_t decoder_step = config.integer("decoder_sparse_step");
  const auto is_sparse = [](std::int64_t step, std::int64_t number) {
    return step > 0 && (number + 1) % step == 0;
  };
  c.encoder_layer = [&](const Scope& s, std::int64_t number, Value attention_mask) {
    const bool sparse = is_sparse(encoder_step, number);
    return nn::Seq2SeqEncoderLayer(s, layer(s, c.encoder, routing, sparse, attention_mask));
  };
  // All tokens of the decoder are real.
  c.decoder_layer = [&](const Scope& s, std::int64_t number) {
    const bool sparse = is_sparse(decoder_step, number);
    return nn::Seq2SeqDecoderLayer(s, number, layer(s, c.decoder, routing, sparse, {}));
  };
  return forward_bart(inputs, model, component, c);
}

}  // namespace

void register_nllb_moe(TasksManager& tasks) {
  register_bart_like(tasks, {.model_type = "nllb-moe", .tasks = nn::text2text_tasks(), .forward = forward});
}

}  // namespace onnxport::models
