// BROS. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/bros/modeling_bros.py
// BERT in which each query looks at the distances between boxes.
#include <cmath>
#include <memory>

#include "models/common/definition.h"
#include "models/text_encoders/common/layout.h"
#include "models/text_encoders/common/post_norm_layer.h"
#include "models/text_encoders/common/refuse.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/nn/text_tasks.h"
#include "onnxport/text_encoder_config.h"

namespace onnxport::models {
namespace {

constexpr std::int64_t kCoordinates = 8;  // of the four corners

class BrosOnnxConfig : public TextEncoderOnnxConfig {
 public:
  using TextEncoderOnnxConfig::TextEncoderOnnxConfig;
  AxesByName inputs() const override {
    return text_inputs({"input_ids", "bbox", "attention_mask", "token_type_ids"});
  }
  DummyInputGenerators dummy_input_generators() const override {
    DummyInputGenerators generators = TextEncoderOnnxConfig::dummy_input_generators();
    generators.push_back(std::make_shared<const DummyBoxInputGenerator>(std::nullopt));
    return generators;
  }
};

struct Config : TextEncoderConfig {
  double bbox_scale;
  std::int64_t waves;  // elements for each coordinate

  explicit Config(const PretrainedConfig& c)
      : TextEncoderConfig(c), bbox_scale(c.real("bbox_scale")), waves(hidden_size / 4 / kCoordinates) {
    check_multiple(c, "hidden_size", hidden_size, "the waves of two coordinates of a box", 64);
    if (const std::int64_t given = c.integer("dim_bbox"); given != kCoordinates)
      refuse(c, fmt::format("dim_bbox is {}, expected {}", given, kCoordinates));
    if (position_embedding_type != "absolute")
      throw ExportError(ErrorCode::unsupported,
                        fmt::format("{}: position_embedding_type is '{}', only absolute is known", c.origin(),
                                    position_embedding_type));
    // The class computes these from other keys; relations are for another task.
    c.harmless({"dim_bbox_projection", "dim_bbox_sinusoid_emb_1d", "dim_bbox_sinusoid_emb_2d", "n_relations",
                "classifier_dropout_prob"});
  }
};

// Sines and cosines of the distances between boxes, in float32, because they turn fast: [B, S, S, head_dim].
struct BoxDistances {
  std::string path;
  double scale;
  std::int64_t waves;
  nn::Linear bbox_projection;

  BoxDistances(const Scope& s, const Config& c)
      : path(s.path()),
        scale(c.bbox_scale),
        waves(c.waves),
        bbox_projection(s / "bbox_projection", kCoordinates * c.waves, c.hidden_size / c.num_attention_heads,
                        false) {
    s.ignore("bbox_sinusoid_emb");
  }

  Value operator()(Value bbox) const {
    Graph& graph = bbox.graph();
    const ModulePath at(graph, path);
    std::vector<Value> corners;
    for (const std::int64_t edge : {0, 1, 2, 1, 2, 3, 0, 3})
      corners.push_back(op::slice(bbox, 2, edge, edge + 1));
    const Value places = op::mul(op::cast(op::concat(corners, 2), DType::f32), scale);
    const Value from = op::unsqueeze(places, 2);
    const Value distances = op::sub(op::unsqueeze(places, 1), from);
    std::vector<double> frequencies;
    for (std::int64_t i = 0; i < waves; i += 2)
      frequencies.push_back(1 / std::pow(10000.0, static_cast<double>(i) / static_cast<double>(waves)));
    const Value frequency = graph.weight_as_is(Weight::from_doubles(DType::f32, {waves / 2}, frequencies));
    const Value angles = op::mul(op::unsqueeze(distances, 4), frequency);
    const Value sines = op::sin(angles);
    const Value both = op::flatten(op::concat({sines, op::cos(angles)}, 4), 3, 4);
    return bbox_projection(op::cast(both, graph.float_dtype()));
  }
};

struct Attention {
  Projections project;
  std::int64_t heads;

  Value operator()(Value x, const op::AttentionMask& shared, Value distances) const {
    const ModulePath at(x, project.path);
    const Value query = project.query(x);
    const Value key = project.key(x);
    const Value value = project.value(x);
    const std::int64_t head_dim = x.dim(2).constant().value() / heads;
    const Value by_query = op::reshape(query, {x.dim(0), x.dim(1), heads, head_dim});
    const Value seen = op::matmul(by_query, op::permute(distances, {0, 1, 3, 2}));  // [B, query, heads, key]
    op::AttentionMask mask = shared;
    mask.bias = op::mul(op::permute(seen, {0, 2, 1, 3}), 1 / std::sqrt(static_cast<double>(head_dim)));
    const op::AttentionOperands operands = {.query = query, .key = key, .value = value, .mask = mask};
    return project.output(op::attention(operands, heads, heads).output);
  }
};

struct Bros {
  nn::TextEmbeddings embeddings;
  BoxDistances bbox_embeddings;
  std::vector<PostNormLayer<Attention>> layers;

  Bros(const Scope& s, const Config& c)
      : embeddings(s / "embeddings", c.embeddings()), bbox_embeddings(s / "bbox_embeddings", c) {
    for (std::int64_t i = 0; i < c.num_hidden_layers; ++i) {
      const Scope layer = s / "encoder" / "layer" / i;
      Projections projections(layer / "attention", c.hidden_size);
      layers.emplace_back(layer, c, Attention{std::move(projections), c.num_attention_heads});
    }
  }

  Value operator()(const Inputs& in) const {
    Value x = embeddings(in["input_ids"], in.get("token_type_ids"));
    const Value distances = bbox_embeddings(in["bbox"]);
    const op::AttentionMask mask = nn::padding_mask(in.get("attention_mask"));
    for (const auto& layer : layers) x = layer(x, mask, distances);
    return x;
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const Bros bros(root.base_model("bros"), c);
  return nn::build_text_encoder_task(
      component.task, inputs, root,
      {.encode = bros, .hidden_size = c.hidden_size, .num_labels = c.num_labels});
}

}  // namespace

void register_bros(TasksManager& tasks) {
  tasks.register_model<BrosOnnxConfig>({.model_type = "bros",
                                        .tasks = {"feature-extraction", "token-classification"},
                                        .forward = forward,
                                        .ignorable_keys = {"*pooler.*"}});
}

}  // namespace onnxport::models
