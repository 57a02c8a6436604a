// LiLT. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/lilt/modeling_lilt.py
// RoBERTa beside a narrow encoder of the places of its tokens. Both attend by the sum of their scores.
#include <cmath>

#include "models/common/definition.h"
#include "models/text_encoders/common/layout.h"
#include "models/text_encoders/common/refuse.h"
#include "models/text_encoders/common/roberta.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/nn/text_tasks.h"
#include "onnxport/text_encoder_config.h"

namespace onnxport::models {
namespace {

class LiltOnnxConfig : public BoxedTextOnnxConfig {
 public:
  using BoxedTextOnnxConfig::BoxedTextOnnxConfig;
  AxesByName inputs() const override { return text_inputs({"input_ids", "bbox", "attention_mask"}); }
};

struct Config : TextEncoderConfig {
  std::int64_t pad_token_id, max_2d_positions, shrink;

  explicit Config(const PretrainedConfig& c)
      : TextEncoderConfig(c),
        pad_token_id(c.integer("pad_token_id")),
        max_2d_positions(c.integer("max_2d_position_embeddings")),
        shrink(c.integer("channel_shrink_ratio")) {
    check_multiple(c, "hidden_size", hidden_size / num_attention_heads,
                   "num_attention_heads times channel_shrink_ratio", shrink);
    check_multiple(c, "hidden_size", hidden_size, "the 6 numbers of a box", 6);
    if (position_embedding_type != "absolute")
      throw ExportError(ErrorCode::unsupported,
                        fmt::format("{}: position_embedding_type is '{}', only absolute is known", c.origin(),
                                    position_embedding_type));
  }
  std::int64_t narrow() const { return hidden_size / shrink; }
};

struct LayoutEmbeddings {
  std::string path;
  BoxEmbeddings boxes;
  nn::Linear box_linear;
  nn::Embedding box_positions;
  nn::LayerNorm norm;

  LayoutEmbeddings(const Scope& s, const Config& c)
      : path(s.path()),
        boxes(s, {.rows = c.max_2d_positions,
                  .coordinate_width = c.hidden_size / 6,
                  .size_width = c.hidden_size / 6}),
        box_linear(s / "box_linear_embeddings", c.hidden_size, c.narrow()),
        box_positions(s / "box_position_embeddings", c.max_position_embeddings, c.narrow()),
        norm(s / "LayerNorm", c.narrow(), c.layer_norm_eps) {}

  Value operator()(Value bbox, Value position_ids) const {
    const ModulePath at(bbox, path);
    const Value places = box_linear(op::concat(boxes(bbox), 2));
    return norm(op::add(places, box_positions(position_ids)));
  }
};

// What a layer has for text, and again for layout. `prefix`: "" or "layout_".
struct Stream {
  nn::Linear query, key, value, attention_output;
  nn::LayerNorm attention_norm;
  nn::Mlp mlp;
  nn::LayerNorm output_norm;

  Stream(const Scope& s, const std::string& prefix, const Config& c, std::int64_t width, std::int64_t inner)
      : query(s / "attention.self" / (prefix + "query"), width, width),
        key(s / "attention.self" / (prefix + "key"), width, width),
        value(s / "attention.self" / (prefix + "value"), width, width),
        attention_output(s / "attention" / (prefix + "output") / "dense", width, width),
        attention_norm(s / "attention" / (prefix + "output") / "LayerNorm", width, c.layer_norm_eps),
        mlp(s.path(), nn::Linear(s / (prefix + "intermediate") / "dense", width, inner),
            nn::Linear(s / (prefix + "output") / "dense", inner, width), c.hidden_act),
        output_norm(s / (prefix + "output") / "LayerNorm", width, c.layer_norm_eps) {}

  Value finish(Value x, Value context) const {
    const Value attended = attention_norm(op::add(attention_output(context), x));
    return output_norm(op::add(mlp(attended), attended));
  }
};

struct Streams {
  Value text, layout;
};

struct Layer {
  std::string path;
  std::int64_t heads;
  Stream text, layout;

  Layer(const Scope& s, const Config& c)
      : path(s.path()),
        heads(c.num_attention_heads),
        text(s, "", c, c.hidden_size, c.intermediate_size),
        layout(s, "layout_", c, c.narrow(), c.intermediate_size / c.shrink) {}

  // Every head of the first beside the same head of the second.
  Value join(Value first, Value second) const {
    const auto split = [&](Value x) {
      return op::reshape(x, {x.dim(0), x.dim(1), heads, x.dim(2).constant().value() / heads});
    };
    const Value left = split(first);
    const Value right = split(second);
    return op::flatten(op::concat({left, right}, 3), 2, 3);
  }

  // 1 / sqrt(elements of a head) times x.
  Value scaled(Value x) const {
    const std::int64_t head_dim = x.dim(2).constant().value() / heads;
    return op::mul(x, 1 / std::sqrt(static_cast<double>(head_dim)));
  }

  Streams operator()(const Streams& in, const op::AttentionMask& mask) const {
    const ModulePath at(in.text, path);
    const Value text_query = scaled(text.query(in.text));
    const Value query = join(text_query, scaled(layout.query(in.layout)));
    const Value text_key = text.key(in.text);
    const Value key = join(text_key, layout.key(in.layout));
    const Value text_value = text.value(in.text);
    const Value value = join(text_value, layout.value(in.layout));
    const op::AttentionOperands operands = {.query = query, .key = key, .value = value, .mask = mask};
    const Value context = op::attention(operands, heads, heads, {.scale = 1.0}).output;
    const std::int64_t wide = in.text.dim(2).constant().value() / heads;
    const std::int64_t narrow = in.layout.dim(2).constant().value() / heads;
    const Value by_head = op::reshape(context, {context.dim(0), context.dim(1), heads, wide + narrow});
    const std::vector<Value> parts = op::split(by_head, 3, {wide, narrow});
    const Value text_out = text.finish(in.text, op::flatten(parts[0], 2, 3));
    return {text_out, layout.finish(in.layout, op::flatten(parts[1], 2, 3))};
  }
};

struct Lilt {
  std::int64_t pad_token_id;
  nn::TextEmbeddings embeddings;
  LayoutEmbeddings layout_embeddings;
  std::vector<Layer> layers;

  Lilt(const Scope& s, const Config& c)
      : pad_token_id(c.pad_token_id),
        embeddings(s / "embeddings", c.embeddings()),
        layout_embeddings(s / "layout_embeddings", c) {
    for (std::int64_t i = 0; i < c.num_hidden_layers; ++i)
      layers.emplace_back(s / "encoder" / "layer" / i, c);
  }

  Value operator()(const Inputs& in) const {
    const Value positions = nn::position_ids_from_input_ids(in["input_ids"], pad_token_id);
    Streams x;
    x.text = embeddings(in["input_ids"], {}, positions);
    x.layout = layout_embeddings(in["bbox"], positions);
    const op::AttentionMask mask = nn::padding_mask(in.get("attention_mask"));
    for (const Layer& layer : layers) x = layer(x, mask);
    return x.text;
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const Scope base = root.base_model("lilt");
  const Lilt lilt(base, c);
  return nn::build_text_encoder_task(component.task, inputs, root, roberta_heads(root, base, c, lilt, {}));
}

}  // namespace

void register_lilt(TasksManager& tasks) {
  tasks.register_model<LiltOnnxConfig>(
      {.model_type = "lilt",
       .tasks = {"feature-extraction", "question-answering", "text-classification", "token-classification"},
       .forward = forward,
       .ignorable_keys = {"*pooler.*"}});
}

}  // namespace onnxport::models
