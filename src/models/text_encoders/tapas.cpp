// TAPAS. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/tapas/modeling_tapas.py
// BERT for tables: token types tell segment, column, row and more, and positions begin again in each cell.
#include <algorithm>
#include <memory>

#include "models/common/definition.h"
#include "models/text_encoders/common/bert.h"
#include "models/text_encoders/common/refuse.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/nn/text_tasks.h"
#include "onnxport/text_encoder_config.h"

namespace onnxport::models {
namespace {

constexpr std::int64_t kColumn = 1, kRow = 2;  // among the token types

struct Config : TextEncoderConfig {
  std::vector<std::int64_t> types;  // rows of each table
  bool positions_in_cell;

  explicit Config(const PretrainedConfig& c)
      : TextEncoderConfig(c),
        types(c.integers("type_vocab_sizes")),
        positions_in_cell(c.flag("reset_position_index_per_cell")) {
    if (types.size() <= static_cast<std::size_t>(kRow))
      refuse(c, fmt::format("type_vocab_sizes has {} numbers, expected at least {}", types.size(), kRow + 1));
    for (const std::int64_t rows : types) {
      if (rows < 1) refuse(c, fmt::format("type_vocab_sizes has {}, expected positive numbers", rows));
    }
    type_vocab_size = 0;  // all tables are our own
    // How questions are answered, which is another task, and losses.
    c.harmless({"positive_label_weight",
                "num_aggregation_labels",
                "aggregation_loss_weight",
                "use_answer_as_supervision",
                "answer_loss_importance",
                "use_normalized_answer_loss",
                "huber_loss_delta",
                "temperature",
                "aggregation_temperature",
                "use_gumbel_for_cells",
                "use_gumbel_for_aggregation",
                "average_approximation_function",
                "cell_selection_preference",
                "answer_loss_cutoff",
                "max_num_rows",
                "max_num_columns",
                "average_logits_per_cell",
                "select_one_column",
                "allow_empty_column_selection",
                "init_cell_selection_weights_to_zero",
                "disable_per_token_loss",
                "aggregation_labels",
                "no_aggregation_label_index"});
  }
  nn::TextEmbeddingsParameters bare_embeddings() const {
    nn::TextEmbeddingsParameters p = embeddings();
    p.norm = false;
    p.add_positions = true;
    return p;
  }
};

/// token_type_ids [batch_size, sequence_length, number of types].
class DummyCellInputGenerator : public DummyInputGenerator {
 public:
  explicit DummyCellInputGenerator(std::vector<std::int64_t> types) : types_(std::move(types)) {}
  bool supports_input(std::string_view name) const override { return name == "token_type_ids"; }
  TensorType type(std::string_view, const DummyContext& context, const DummyShapes& shapes) const override {
    return {context.int_dtype,
            {shapes.batch_size, shapes.sequence_length, static_cast<std::int64_t>(types_.size())}};
  }
  Tensor generate(std::string_view, const DummyContext& context, const DummyShapes& shapes,
                  std::uint64_t seed) const override {
    std::vector<std::int64_t> values;
    for (std::int64_t token = 0; token < shapes.batch_size * shapes.sequence_length; ++token) {
      for (const std::int64_t rows : types_)  // a few tokens for each cell
        values.push_back((token / 3 + static_cast<std::int64_t>(seed % 16)) %
                         std::max<std::int64_t>(rows, 1));
    }
    return Tensor::from_ints(
        context.int_dtype,
        {shapes.batch_size, shapes.sequence_length, static_cast<std::int64_t>(types_.size())}, values);
  }

 private:
  std::vector<std::int64_t> types_;
};

class TapasOnnxConfig : public TypedTextOnnxConfig {
 public:
  using TypedTextOnnxConfig::TypedTextOnnxConfig;
  DummyInputGenerators dummy_input_generators() const override {
    DummyInputGenerators generators = TypedTextOnnxConfig::dummy_input_generators();
    generators.insert(generators.begin(), std::make_shared<const DummyCellInputGenerator>(
                                              config().unaccounted().integers("type_vocab_sizes")));
    return generators;
  }
};

struct Tapas {
  Config config;
  nn::TextEmbeddings embeddings;
  std::vector<nn::Embedding> types;
  nn::LayerNorm norm;
  nn::PostNormEncoder encoder;

  Tapas(const Scope& s, const Config& c)
      : config(c),
        embeddings(s / "embeddings", c.bare_embeddings()),
        norm(s / "embeddings" / "LayerNorm", c.hidden_size, c.layer_norm_eps),
        encoder(s / "encoder" / "layer", c.num_hidden_layers, c.layer()) {
    for (std::size_t i = 0; i < c.types.size(); ++i)
      types.emplace_back(s / "embeddings" / fmt::format("token_type_embeddings_{}", i), c.types[i],
                         c.hidden_size);
  }

  // Of each token, counted from the first one with the same column and row: int64 [B, S].
  Value cell_positions(Value token_type_ids) const {
    Graph& graph = token_type_ids.graph();
    const ModulePath at(graph, "cell_positions");
    const Value column = op::select(token_type_ids, 2, kColumn);
    const Value columns_before = op::mul(column, static_cast<double>(config.types[kRow]));
    const Value cell = op::add(op::select(token_type_ids, 2, kRow), columns_before);
    const Value other = op::unsqueeze(cell, 1);
    const Value same = op::eq(op::unsqueeze(cell, 2), other);
    const Value first = op::argmax(op::cast(same, DType::i64), 2);
    const Value within = op::sub(op::arange(graph, cell.dim(1)), first);
    return op::minimum(within, static_cast<double>(config.max_position_embeddings - 1));
  }

  Value operator()(const Inputs& in) const {
    const Value ids = in["input_ids"];
    const Value token_type_ids = in["token_type_ids"];
    Value x =
        config.positions_in_cell ? embeddings(ids, {}, cell_positions(token_type_ids)) : embeddings(ids);
    for (std::size_t i = 0; i < types.size(); ++i)
      x = op::add(x, types[i](op::select(token_type_ids, 2, static_cast<std::int64_t>(i))));
    const Value embedded = norm(x);
    const op::AttentionMask mask = nn::padding_mask(in.get("attention_mask"));
    return encoder(embedded, mask);
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  return build_with_bert_heads<Tapas, Config>(inputs, model, component, "tapas");
}

}  // namespace

void register_tapas(TasksManager& tasks) {
  tasks.register_model<TapasOnnxConfig>(
      {.model_type = "tapas",
       .tasks = {"feature-extraction", "fill-mask", "text-classification"},
       .forward = forward,
       .ignorable_keys = {"output_weights", "output_bias", "column_output_weights", "column_output_bias",
                          "aggregation_classifier.*", "cls.seq_relationship.*"},
       .key_names = tied("tapas.embeddings.word_embeddings", "cls.predictions.decoder")});
}

}  // namespace onnxport::models
