// OneFormer. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/oneformer/modeling_oneformer.py
#include <fmt/format.h>

#include "models/vision/common/image_positions.h"
#include "models/vision/common/mask_queries.h"
#include "models/vision/common/masked_decoder.h"
#include "onnxport/dummy_inputs.h"
#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/nn/packed_attention.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

constexpr const char* kSwin = "{}";  // the settings are those of the class

struct Config {
  PixelDecoderConfig pixels;
  MaskedLayers layers;
  std::int64_t num_queries, task_seq_len, query_layers;
  bool use_task_norm;

  explicit Config(const PretrainedConfig& c)
      : pixels(c, "conv_dim", "mask_dim", "strides"),
        layers{.width = c.integer("hidden_dim"),
               .inner = c.integer("dim_feedforward"),
               .heads = pixels.heads,
               // The first masks are made without a layer.
               .count = c.integer("decoder_layers") - 1,
               .activation = "relu",
               .norms_before = c.flag("pre_norm"),
               .eps = c.real("layer_norm_eps"),
               .cross = "cross_attn.multihead_attn",
               .cross_norm = "cross_attn.norm",
               .self = "self_attn.self_attn",
               .self_norm = "self_attn.norm",
               .up = "ffn.linear1",
               .down = "ffn.linear2",
               .norm = "ffn.norm"},
        num_queries(c.integer("num_queries")),
        task_seq_len(c.integer("task_seq_len")),
        query_layers(c.integer("query_dec_layers")),
        use_task_norm(c.flag("use_task_norm")) {
    pixels.eps = layers.eps;
    // Of training, for which there is an encoder of texts; num_hidden_layers is decoder_layers, and nothing
    // looks at norm.
    c.harmless({"ignore_value",
                "no_object_weight",
                "class_weight",
                "mask_weight",
                "dice_weight",
                "contrastive_weight",
                "contrastive_temperature",
                "train_num_points",
                "oversample_ratio",
                "importance_sample_ratio",
                "init_std",
                "init_xavier_std",
                "is_training",
                "use_auxiliary_loss",
                "output_auxiliary_logits",
                "text_encoder_width",
                "text_encoder_context_length",
                "text_encoder_num_layers",
                "text_encoder_vocab_size",
                "text_encoder_proj_layers",
                "text_encoder_n_ctx",
                "norm",
                "dropout",
                "num_hidden_layers"});
    const bool widths = layers.width == pixels.width && pixels.mask_width == pixels.width;
    // The original has convolutions between other widths, but does not store them.
    if (!widths || c.flag("enforce_input_proj") || layers.count < 1 || num_queries < 2 || task_seq_len < 1) {
      throw ExportError(
          ErrorCode::bad_config,
          fmt::format("{}: hidden_dim {}, conv_dim {} and mask_dim {} must be equal, enforce_input_proj "
                      "false, decoder_layers {} and num_queries {} at least 2, task_seq_len {} at least 1",
                      c.origin(), layers.width, pixels.width, pixels.mask_width, layers.count + 1,
                      num_queries, task_seq_len));
    }
  }
};

/// task_inputs: the tokens of a text that names the task, [batch_size, task_seq_len].
class DummyTaskInputGenerator : public DummyInputGenerator {
 public:
  explicit DummyTaskInputGenerator(std::int64_t length) : length_(length) {}
  bool supports_input(std::string_view name) const override { return name == "task_inputs"; }
  TensorType type(std::string_view /*name*/, const DummyContext& context,
                  const DummyShapes& shapes) const override {
    return {context.int_dtype, {shapes.batch_size, length_}};
  }
  Tensor generate(std::string_view name, const DummyContext& context, const DummyShapes& shapes,
                  std::uint64_t seed) const override {
    const TensorType type = this->type(name, context, shapes);
    const std::vector<std::int64_t> shape = static_shape(type.shape).value();
    std::vector<std::int64_t> values;
    for (std::int64_t i = 0; i < shape[0] * shape[1]; ++i)
      values.push_back((i + static_cast<std::int64_t>(seed)) % 8);
    return Tensor::from_ints(type.dtype, shape, values);
  }

 private:
  std::int64_t length_;
};

class OneFormerOnnxConfig : public MaskedOnnxConfig {
 public:
  using MaskedOnnxConfig::MaskedOnnxConfig;
  AxesByName inputs() const override {
    AxesByName names = MaskedOnnxConfig::inputs();
    names.push_back({"task_inputs", {{0, "batch_size"}}});
    return names;
  }
  DummyInputGenerators dummy_input_generators() const override {
    DummyInputGenerators generators = MaskedOnnxConfig::dummy_input_generators();
    generators.push_back(
        std::make_shared<const DummyTaskInputGenerator>(Config(config().unaccounted()).task_seq_len));
    return generators;
  }
};

// The task as a token, from its text: task_inputs [B, task_seq_len] -> [B, 1, width].
Value task_token(const Scope& s, const Config& c, Value task_inputs) {
  const ModulePath at(task_inputs, s.path());
  const std::int64_t width = c.layers.width;
  const Value numbers = op::cast(task_inputs, task_inputs.graph().float_dtype());
  const Value wide = op::relu(nn::Linear(s / 0 / 0, c.task_seq_len, width)(numbers));
  return op::unsqueeze(nn::Linear(s / 1 / 0, width, width)(wide), 1);
}

// The first states of the queries: they look at each other and at the pixels. `asking` [1, Q, width].
Value first_queries(const Scope& s, const Config& c, Value queries, Value asking, Value pixels) {
  const MaskedLayers& p = c.layers;
  const Scope decoder = s / "query_transformer" / "decoder";
  const ModulePath at(pixels, decoder.path());
  const nn::Conv2d projection(s / "query_input_projection", c.pixels.width, p.width, {1, 1});
  // What they look at are the positions of the pixels; the pixels themselves are added to the keys.
  const Value seen = ImagePositions(s, ImagePositionsKind::sine, p.width)(pixels);
  const Value keys = op::add(nn::image_to_tokens(projection(pixels)), seen);
  const Value values = op::expand(seen, keys.shape());
  Value x = op::expand(queries, {pixels.dim(0), asking.dim(1), p.width});
  for (std::int64_t i = 0; i < c.query_layers; ++i) {
    const Scope layer = decoder / "layers" / i;
    const ModulePath at_layer(x, layer.path());
    const auto residual = [&](const char* name, const std::function<Value(Value)>& part) {
      const nn::LayerNorm norm(layer / name, p.width, p.eps);
      x = p.norms_before ? op::add(x, part(norm(x))) : norm(op::add(x, part(x)));
    };
    residual("norm1", [&](Value y) {
      const Value own = op::add(y, asking);
      return nn::PackedAttention(layer / "self_attn", p.width, p.heads)(own, own, y);
    });
    residual("norm2", [&](Value y) {
      return nn::PackedAttention(layer / "multihead_attn", p.width, p.heads)(op::add(y, asking), keys,
                                                                             values);
    });
    residual("norm3", nn::Mlp(layer.path(), {layer / "linear1", p.width, p.inner},
                              {layer / "linear2", p.inner, p.width}, "relu"));
  }
  return nn::LayerNorm(decoder / "norm", p.width, p.eps)(x);
}

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                    const Component& /*component*/) {
  const PretrainedConfig& config = model.config();
  const Config c(config);
  const Scope base = model.scope().base_model("model"), level = base / "pixel_level_module";
  const std::vector<Value> features =
      segmenter_backbone(tasks, level / "encoder", config, kSwin, "swin", inputs["pixel_values"]);
  const DecodedPixels image = decode_pixels(level / "decoder", c.pixels, features);

  const Scope s = base / "transformer_module", decoder = s / "decoder";
  const std::int64_t width = c.layers.width;
  Graph& graph = image.pixels.graph();
  const nn::LayerNorm norm(decoder / "decoder_norm", width, c.layers.eps);
  Value task = task_token(base / "task_encoder" / "task_mlp" / "layers", c, inputs["task_inputs"]);
  if (c.use_task_norm) task = norm(task);
  const Weight all = (s / "queries_embedder").weight("weight", {c.num_queries, width});
  const Weight objects = all.slice(0, 0, c.num_queries - 1).reshape({1, c.num_queries - 1, width});
  const double zero = 0;
  const Value start =
      c.use_task_norm ? task : graph.weight(Weight::from_doubles(DType::f32, {1, 1, 1}, {&zero, 1}));
  const Value asking = graph.weight(objects);
  const Value first = first_queries(decoder, c, start, asking, image.pixels);
  const Value queries = op::concat({first, task}, 1);
  const auto masks = [&](Value x) {
    return masks_of(mask_embedding(decoder / "mask_embed" / "layers", width, c.pixels.mask_width, norm(x)),
                    image.pixels);
  };
  const Value positions = graph.weight(all.reshape({1, c.num_queries, width}));
  const Value x = c.layers(s, image.levels, queries, positions, masks);
  const Value classes = query_classes(decoder / "class_embed", config, width, norm(x));
  return {{"class_queries_logits", classes}, {"masks_queries_logits", masks(x)}};
}

}  // namespace

void register_oneformer(TasksManager& tasks) {
  tasks.register_model<OneFormerOnnxConfig>(
      {.model_type = "oneformer",
       .tasks = {"image-segmentation"},
       .forward = [&tasks](const Inputs& inputs, const Model& model,
                           const Component& component) { return forward(tasks, inputs, model, component); },
       // The encoder of texts, for losses.
       .ignorable_keys = {"criterion.*", "model.text_mapper.*", "text_mapper.*"}});
}

}  // namespace onnxport::models
