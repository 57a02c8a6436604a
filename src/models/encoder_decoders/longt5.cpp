// LongT5: T5 whose encoder attends to near tokens only, and maybe to summaries of all blocks. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/longt5/modeling_longt5.py
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "models/common/definition.h"
#include "models/encoder_decoders/common/t5.h"
#include "onnxport/error.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"

namespace onnxport::models {
namespace {

struct Config {
  T5Config t5;
  std::int64_t block, global_block;
  bool global;

  explicit Config(const PretrainedConfig& c)
      : t5(c),
        block(bounded(c, "local_radius", 0) + 1),
        global_block(bounded(c, "global_block_size", 1)),
        global(c.string("encoder_attention_type") == "transient-global") {
    const std::string type = c.string("encoder_attention_type");
    if (global || type == "local") return;
    throw ExportError(ErrorCode::bad_config, fmt::format("{}: key 'encoder_attention_type' is '{}', expected "
                                                         "'local' or 'transient-global'",
                                                         c.origin(), type));
  }
  std::string attention() const { return global ? "TransientGlobalSelfAttention" : "LocalSelfAttention"; }

 private:
  static std::int64_t bounded(const PretrainedConfig& c, const char* key, std::int64_t least) {
    constexpr std::int64_t kMost = 8192;
    const std::int64_t value = c.integer(key);
    if (least <= value && value < kMost) return value;
    throw ExportError(ErrorCode::bad_config, fmt::format("{}: key '{}' is {}, expected {} to {}", c.origin(),
                                                         key, value, least, kMost - 1));
  }
};

// A bias for each distance between a key and a query.
struct DistanceBias {
  Weight table;                       // [buckets, heads]
  std::vector<std::int64_t> buckets;  // of the distances -farthest, …, farthest
  std::int64_t farthest = 1;

  DistanceBias(const Scope& s, const nn::RelativeBiasParameters& p)
      : table(s.weight("weight", {p.rows, p.heads})) {
    const std::int64_t side = p.buckets / 2;
    const std::vector<std::int64_t> steps = nn::relative_bucket_thresholds(side, p.max_distance);
    constexpr std::int64_t kMost = 1 << 16;
    if (!steps.empty()) farthest = steps.back();
    if (farthest > kMost) {
      throw ExportError(
          ErrorCode::bad_config,
          fmt::format("relative positions of up to {}, expected at most {}", p.max_distance, kMost));
    }
    for (std::int64_t i = -farthest; i <= farthest; ++i) {
      const auto reached = std::upper_bound(steps.begin(), steps.end(), std::abs(i)) - steps.begin();
      buckets.push_back(static_cast<std::int64_t>(reached) + (i > 0 ? side : 0));
    }
  }
  // int [...] -> [..., heads]
  Value operator()(Value distance) const {
    Graph& graph = distance.graph();
    const Value known = graph.weight(Weight::from_ints({2 * farthest + 1}, buckets));
    const double most = static_cast<double>(farthest);
    const Value bounded = op::minimum(op::maximum(distance, -most), most);
    const Value bucket = op::embedding(known, op::add(bounded, most));
    return op::embedding(graph.weight(table), bucket);
  }
};

// The text in blocks of L tokens; zeros fill the last one.
struct Blocks {
  Dim batch, length, count;
  std::int64_t size;

  Blocks(const Shape& tokens, std::int64_t block)
      : batch(tokens[0]), length(tokens[1]), count((length + (block - 1)).floor_div(block)), size(block) {}
  Dim rows() const { return batch * count; }
  // x [B, S, C] -> [B * N, L, C]
  Value split(Value x) const { return op::reshape(padded(x), {rows(), size, x.dim(2)}); }
  // x [B, S, C] -> each block with those before and behind it: [B * N, 3 L, C]
  Value with_neighbours(Value x) const {
    const Value blocks = op::reshape(padded(x), {batch, count, size, x.dim(2)});
    const Value more = op::pad(blocks, {0, 1, 0, 0}, {0, 1, 0, 0});
    const Value before = op::slice(more, 1, 0, count), behind = op::slice(more, 1, 2, count + 2);
    return op::reshape(op::concat({before, blocks, behind}, 2), {rows(), 3 * size, x.dim(2)});
  }
  // [B * N, L, C] -> [B, S, C]
  Value join(Value x) const {
    return op::slice(op::reshape(x, {batch, count * size, x.dim(2)}), 1, 0, length);
  }

 private:
  Value padded(Value x) const { return op::pad(x, {0, 0, 0}, {0, count * size - length, 0}); }
};

// Larger blocks, whose sums all tokens see. Tokens behind the last whole block belong to that one. A short
// text has no block, and empty tensors are hard to reshape, so there is one block more: G + 1.
struct GlobalBlocks {
  Dim count;       // G
  Value real;      // int64 [B, S]
  Value of_token;  // int64 [B, S]: the number of its block, -1 for padding
  Value numbers;   // int64 [G + 1]
  Value exists;    // bool [B, G + 1]: whether a row is long enough for this block

  GlobalBlocks(Value attention_mask, std::int64_t size)
      : count(attention_mask.dim(1).floor_div(size)), real(op::cast(attention_mask, DType::i64)) {
    const Value place = op::arange(real.graph(), real.dim(1));
    const Value number = op::div(place, static_cast<double>(size));
    const Value next = op::div(op::add(place, 1.0), static_cast<double>(size));
    const Value ends = op::mul(real, op::sub(next, number));  // 1 at the last token of a block
    const Value last = op::sub(op::sum(ends, 1, true), 1.0);  // [B, 1]
    const Value padding = op::sub(real, 1.0);
    of_token = op::minimum(op::add(op::mul(real, number), padding), last);
    numbers = op::arange(real.graph(), count + 1);
    exists = op::le(numbers, op::amax(of_token, 1, true));
  }
  // x [B, S, C] -> the sum over the tokens of each block [B, G + 1, C]
  Value sums(Value x) const {
    const Value number = op::unsqueeze(numbers, 1);
    const Value inside = op::eq(op::unsqueeze(of_token, 1), number);  // [B, G + 1, S]
    return op::matmul(op::cast(inside, x.dtype()), x);
  }
  // Whether a token sees a block, as in the original: padding sees blocks that do not exist. bool [B, S, G +
  // 1]
  Value visible() const {
    const Value real_blocks = op::unsqueeze(op::cast(exists, DType::i64), 1);
    return op::eq(op::unsqueeze(real, 2), real_blocks);
  }
  // [B, S, G + 1]
  Value distances() const { return op::sub(numbers, op::unsqueeze(of_token, 2)); }
};

// The keys that the tokens of a block see, and the bias of their distances, shared by all layers.
class SharedMask {
 public:
  SharedMask(const Scope& first, const Config& c)
      : c_(c), near_(first / "relative_attention_bias", c.t5.relative_bias(false)) {
    if (c.global) far_.emplace(first / "global_relative_attention_bias", c.t5.relative_bias(false));
  }
  op::AttentionMask operator()(nn::DecoderPass& pass) const {
    const Value given = pass.attention_mask();
    Graph& graph = given.graph();
    const DType dtype = c_.t5.score_dtype.value_or(graph.float_dtype());
    const Blocks blocks(given.shape(), c_.block);
    const Value real = op::unsqueeze(op::cast(given, dtype), 2);
    const Value queries = blocks.split(real);
    const Value keys = op::transpose(blocks.with_neighbours(real), 1, 2);
    const Value both = op::gt(op::mul(queries, keys), 0.0);
    const Value places = op::unsqueeze(op::arange(graph, c_.block, c_.block), 1);
    const Value distance = op::sub(op::arange(graph, 3 * c_.block), places);  // [L, 3 L]
    const Value inside = op::lt(op::abs(distance), static_cast<double>(c_.block));
    op::AttentionMask mask{.visible = op::logical_and(both, inside), .no_keys = op::NoKeys::uniform};
    mask.bias = op::unsqueeze(op::permute(op::cast(near_(distance), dtype), {2, 0, 1}), 0);
    if (far_) add_global_blocks(mask, GlobalBlocks(given, c_.global_block), blocks);
    mask.visible = op::unsqueeze(mask.visible, 1);
    return mask;
  }

 private:
  void add_global_blocks(op::AttentionMask& mask, const GlobalBlocks& global, const Blocks& blocks) const {
    const DType dtype = mask.bias.dtype();
    const Value seen = op::gt(blocks.split(op::cast(global.visible(), dtype)), 0.0);  // [B * N, L, G + 1]
    mask.visible = op::concat({mask.visible, op::slice(seen, 2, 0, global.count)}, 2);
    const Value bias = op::cast((*far_)(global.distances()), dtype);  // [B, S, G + 1, H]
    const Value split = blocks.split(op::flatten(bias, 2, 3));
    const Dim heads = c_.t5.heads, length = c_.block;
    const Value apart = op::reshape(split, {blocks.rows(), length, global.count + 1, heads});
    const Value far = op::permute(op::slice(apart, 2, 0, global.count), {0, 3, 1, 2});
    const Value near = op::expand(mask.bias, {blocks.rows(), heads, length, length * 3});
    mask.bias = op::concat({near, far}, 3);
  }

  Config c_;
  DistanceBias near_;
  std::optional<DistanceBias> far_;
};

class Attention {
 public:
  Attention(const Scope& s, const Config& c)
      : path_(s.path()),
        c_(c),
        q_(linear(s / "q")),
        k_(linear(s / "k")),
        v_(linear(s / "v")),
        o_(s / "o", c.t5.heads * c.t5.d_kv, c.t5.d_model, false) {
    if (c.global) global_norm_.emplace(c.t5.norm(s / "global_input_layer_norm"));
  }
  Value operator()(Value x, nn::DecoderPass& pass, const op::AttentionMask& mask) const {
    const ModulePath at(x, path_);
    const Blocks blocks(x.shape(), c_.block);
    Value summary;
    if (global_norm_) summary = (*global_norm_)(GlobalBlocks(pass.attention_mask(), c_.global_block).sums(x));
    const Value query = blocks.split(widened(q_(x)));
    const Value key = keys(k_, x, summary, blocks);
    const Value value = keys(v_, x, summary, blocks);
    const op::AttentionOperands operands{.query = query, .key = key, .value = value, .mask = mask};
    const Value seen = op::attention(operands, c_.t5.heads, c_.t5.heads, {.scale = 1.0}).output;
    return o_(op::cast(blocks.join(seen), x.dtype()));
  }

 private:
  nn::Linear linear(const Scope& s) const { return {s, c_.t5.d_model, c_.t5.heads * c_.t5.d_kv, false}; }
  Value widened(Value x) const { return op::cast(x, c_.t5.score_dtype.value_or(x.dtype())); }
  // [B * N, 3 L + G, H * D]: what the queries of a block see.
  Value keys(const nn::Linear& linear, Value x, Value summary, const Blocks& blocks) const {
    Value near = blocks.with_neighbours(widened(linear(x)));
    if (!summary) return near;
    const Value far = op::unsqueeze(widened(linear(summary)), 1);
    const Value copies = op::expand(far, {blocks.batch, blocks.count, far.dim(2), far.dim(3)});
    const Value rows = op::flatten(copies, 0, 1);
    return op::concat({near, op::slice(rows, 1, 0, rows.dim(1) - 1)}, 1);
  }

  std::string path_;
  Config c_;
  nn::Linear q_, k_, v_, o_;
  std::optional<nn::RmsNorm> global_norm_;
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const auto self_attention = [&](const Scope& half, const T5Config& t5, bool decoder) -> T5SelfAttention {
    if (decoder) return t5_self_attention(half, t5, decoder);
    Config own = c;
    own.t5 = t5;
    return {.mask = SharedMask(half / "block" / 0 / "layer" / 0 / c.attention(), own),
            .layer = [own](const Scope& s, std::int64_t) { return Attention(s / own.attention(), own); }};
  };
  return forward_t5_like(inputs, model, component, c.t5, {.self_attention = self_attention});
}

}  // namespace

void register_longt5(TasksManager& tasks) {
  register_t5_like(tasks, {.model_type = "longt5", .forward = forward});
}

}  // namespace onnxport::models
