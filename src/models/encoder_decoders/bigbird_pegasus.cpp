// BigBird-Pegasus: Pegasus whose encoder sees only some blocks of a long text. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/bigbird_pegasus/modeling_bigbird_pegasus.py
#include <fmt/format.h>

#include <optional>

#include "models/encoder_decoders/common/bart.h"
#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/block_sparse.h"
#include "onnxport/nn/seq2seq.h"

namespace onnxport::models {
namespace {

// The blocks of attention_type block_sparse.
std::optional<nn::BlockSparsity> sparsity(const PretrainedConfig& c) {
  const std::string type = c.string("attention_type");
  const nn::BlockSparsity p{.block = c.integer("block_size"),
                            .random_blocks = c.integer("num_random_blocks")};
  if (type == "original_full") return {};
  if (type != "block_sparse") {
    throw ExportError(ErrorCode::bad_config, fmt::format("{}: key 'attention_type' is '{}', expected "
                                                         "'block_sparse' or 'original_full'",
                                                         c.origin(), type));
  }
  return p;
}

// The attention of the encoder. Keys: self.query, self.key, self.value, output.
struct Attention {
  std::string path;
  std::int64_t heads;
  std::optional<nn::BlockSparsity> sparse;
  Value attention_mask;
  nn::Linear query, key, value, output;

  Attention(const Scope& s, const BartConfig& c, bool bias, std::optional<nn::BlockSparsity> blocks,
            Value padding)
      : path(s.path()),
        heads(c.encoder.heads),
        sparse(blocks),
        attention_mask(padding),
        query(s / "self" / "query", c.d_model, c.d_model, bias),
        key(s / "self" / "key", c.d_model, c.d_model, bias),
        value(s / "self" / "value", c.d_model, c.d_model, bias),
        output(s / "output", c.d_model, c.d_model, bias) {}
  Value operator()(Value x, const op::AttentionMask& full) const {
    const ModulePath at(x, path);
    const nn::BlockSight sight =
        sparse ? nn::block_sight(attention_mask, *sparse, x.dtype()) : nn::BlockSight{.mask = full};
    const Value q = query(x);
    const Value k = key(x);
    const Value v = value(x);
    const op::AttentionOperands operands{.query = q, .key = k, .value = v, .mask = sight.mask};
    const Value context = op::attention(operands, heads, heads).output;
    return output(sight.keep ? op::mul(context, sight.keep) : context);
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  BartConfig c(config);
  const auto blocks = sparsity(config);
  const bool bias = config.flag("use_bias");
  c.norm_first();
  c.final_norm = "layernorm_embedding";
  c.positions = learned_positions(c, 0);
  c.shift_right = start_first(c);
  // Transformers 5 no longer ties the head of a decoder alone.
  if (component.task.starts_with("text-generation") && config.transformers_major() >= 5) c.tied = false;
  if (!bias) c.decoder.bias = nn::QkvBias::none;
  c.encoder_layer = [&](const Scope& s, std::int64_t, Value attention_mask) {
    const Attention attention(s / "self_attn", c, bias, blocks, attention_mask);
    return nn::Seq2SeqEncoderLayer(s, c.encoder, attention);
  };
  return forward_bart(inputs, model, component, c);
}

}  // namespace

void register_bigbird_pegasus(TasksManager& tasks) {
  register_bart_like(tasks, {.model_type = "bigbird_pegasus",
                             .tasks = bart_tasks({"text-classification", "question-answering"}),
                             .forward = forward});
}

}  // namespace onnxport::models
