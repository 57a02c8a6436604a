// MarkupLM. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/markuplm/modeling_markuplm.py
// RoBERTa's positions and BERT's layers, with the path to each token in its document.
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

struct Config : TextEncoderConfig {
  std::int64_t pad_token_id, depth, tags, subscripts, unit_width;

  explicit Config(const PretrainedConfig& c)
      : TextEncoderConfig(c),
        pad_token_id(c.integer("pad_token_id")),
        depth(c.integer("max_depth")),
        tags(c.integer("max_xpath_tag_unit_embeddings")),
        subscripts(c.integer("max_xpath_subs_unit_embeddings")),
        unit_width(c.integer("xpath_unit_hidden_size")) {
    constexpr std::int64_t kDeepest = 1024;
    if (depth < 1 || depth > kDeepest)
      refuse(c, fmt::format("max_depth is {}, expected 1 to {}", depth, kDeepest));
    c.harmless({"tag_pad_id", "subs_pad_id"});  // of absent inputs
  }
  nn::TextEmbeddingsParameters bare_embeddings() const {
    nn::TextEmbeddingsParameters p = embeddings();
    p.norm = false;
    p.add_positions = true;
    return p;
  }
};

/// xpath_tags_seq and xpath_subs_seq: tags and subscripts on the path to a token, [batch_size,
/// sequence_length, max_depth].
class DummyPathInputGenerator : public DummyInputGenerator {
 public:
  explicit DummyPathInputGenerator(const Config& c) : c_(c) {}
  bool supports_input(std::string_view name) const override { return name.starts_with("xpath_"); }
  TensorType type(std::string_view, const DummyContext& context, const DummyShapes& shapes) const override {
    return {context.int_dtype, {shapes.batch_size, shapes.sequence_length, c_.depth}};
  }
  Tensor generate(std::string_view name, const DummyContext& context, const DummyShapes& shapes,
                  std::uint64_t seed) const override {
    const std::vector<std::int64_t> shape = {shapes.batch_size, shapes.sequence_length, c_.depth};
    const std::int64_t rows = std::max<std::int64_t>(name == "xpath_tags_seq" ? c_.tags : c_.subscripts, 1);
    std::vector<std::int64_t> units(static_cast<std::size_t>(shape[0] * shape[1] * shape[2]));
    for (std::size_t i = 0; i < units.size(); ++i)
      units[i] = static_cast<std::int64_t>((7 * i + seed) % static_cast<std::uint64_t>(rows));
    return Tensor::from_ints(context.int_dtype, shape, units);
  }

 private:
  Config c_;
};

class MarkupLMOnnxConfig : public TextEncoderOnnxConfig {
 public:
  using TextEncoderOnnxConfig::TextEncoderOnnxConfig;
  AxesByName inputs() const override {
    return text_inputs({"input_ids", "attention_mask", "token_type_ids", "xpath_subs_seq", "xpath_tags_seq"});
  }
  DummyInputGenerators dummy_input_generators() const override {
    DummyInputGenerators generators = TextEncoderOnnxConfig::dummy_input_generators();
    generators.push_back(std::make_shared<const DummyPathInputGenerator>(Config(config().unaccounted())));
    return generators;
  }
};

// A table for each depth, stacked: indices [B, S, depth] -> [B, S, depth * unit_width].
struct UnitEmbeddings {
  std::int64_t rows;
  Weight tables;

  UnitEmbeddings(const Scope& s, const Config& c, std::int64_t count) : rows(count) {
    std::vector<Weight> all;
    for (std::int64_t i = 0; i < c.depth; ++i) all.push_back((s / i).weight("weight", {rows, c.unit_width}));
    tables = Weight::concat(all, 0);
  }
  Value operator()(Value units) const {
    Graph& graph = units.graph();
    const Value first = op::mul(op::arange(graph, units.dim(2)), static_cast<double>(rows));
    const Value index = op::add(units, first);
    return op::flatten(op::embedding(graph.weight(tables), index), 2, 3);
  }
};

struct PathEmbeddings {
  std::string path;
  UnitEmbeddings tags, subscripts;
  nn::Linear inner, out;

  PathEmbeddings(const Scope& s, const Config& c)
      : path(s.path()),
        tags(s / "xpath_tag_sub_embeddings", c, c.tags),
        subscripts(s / "xpath_subs_sub_embeddings", c, c.subscripts),
        inner(s / "xpath_unitseq2_inner", c.unit_width * c.depth, 4 * c.hidden_size),
        out(s / "inner2emb", 4 * c.hidden_size, c.hidden_size) {
    s.ignore("xpath_unitseq2_embeddings");  // stored, but not used
  }
  Value operator()(Value tag_units, Value subscript_units) const {
    const ModulePath at(tag_units, path);
    const Value tag = tags(tag_units);
    return out(op::relu(inner(op::add(tag, subscripts(subscript_units)))));
  }
};

struct MarkupLM {
  std::int64_t pad_token_id;
  nn::TextEmbeddings embeddings;
  PathEmbeddings paths;
  nn::LayerNorm norm;
  nn::PostNormEncoder encoder;

  MarkupLM(const Scope& s, const Config& c)
      : pad_token_id(c.pad_token_id),
        embeddings(s / "embeddings", c.bare_embeddings()),
        paths(s / "embeddings" / "xpath_embeddings", c),
        norm(s / "embeddings" / "LayerNorm", c.hidden_size, c.layer_norm_eps),
        encoder(s / "encoder" / "layer", c.num_hidden_layers, c.layer()) {}

  Value operator()(const Inputs& in) const {
    const Value positions = nn::position_ids_from_input_ids(in["input_ids"], pad_token_id);
    const Value words = embeddings(in["input_ids"], in.get("token_type_ids"), positions);
    const Value embedded = norm(op::add(words, paths(in["xpath_tags_seq"], in["xpath_subs_seq"])));
    op::AttentionMask mask;
    const Value hidden = op::cast(op::sub(1.0, in["attention_mask"]), embedded.dtype());
    const Value penalty = op::mul(hidden, -10000.0);
    mask.bias = op::reshape(penalty, {penalty.dim(0), 1, 1, penalty.dim(1)});
    mask.no_keys = op::NoKeys::uniform;
    return encoder(embedded, mask);
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  return build_with_bert_heads<MarkupLM, Config>(inputs, model, component, "markuplm");
}

}  // namespace

void register_markuplm(TasksManager& tasks) {
  tasks.register_model<MarkupLMOnnxConfig>(
      {.model_type = "markuplm",
       .tasks = {"feature-extraction", "question-answering", "text-classification", "token-classification"},
       .forward = forward,
       .ignorable_keys = {"cls.*"}});
}

}  // namespace onnxport::models
