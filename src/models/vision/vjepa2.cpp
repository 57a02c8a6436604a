// V-JEPA 2. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/vjepa2/modeling_vjepa2.py
#include <fmt/format.h>

#include <array>
#include <cmath>

#include "models/vision/common/video.h"
#include "models/vision/common/vit.h"
#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/nn/pre_norm_encoder.h"
#include "onnxport/nn/rotated_encoder.h"
#include "onnxport/nn/video.h"

namespace onnxport::models {
namespace {

struct Config : ViTEncoderConfig {
  std::int64_t in_chans, crop_size, patch_size, tubelet_size, num_pooler_layers;

  explicit Config(const PretrainedConfig& c)
      : ViTEncoderConfig(c),
        in_chans(c.integer("in_chans")),
        crop_size(c.integer("crop_size")),
        patch_size(c.integer("patch_size")),
        tubelet_size(c.integer("tubelet_size")),
        num_pooler_layers(c.integer("num_pooler_layers")) {
    // Of the predictor, which no task runs. Positions do not depend on the number of frames.
    c.harmless({"pred_hidden_size", "pred_num_attention_heads", "pred_num_hidden_layers",
                "pred_num_mask_tokens", "pred_zero_init_mask_tokens", "pred_mlp_ratio", "frames_per_clip",
                "image_size"});
    const double inner = static_cast<double>(hidden_size) * c.real("mlp_ratio");
    const bool fits = inner >= 1 && inner <= 1 << 24;  // not a number does not
    if (!fits || patch_size < 1 || crop_size < patch_size || tubelet_size < 1 || tubelet_size > 1 << 16 ||
        head_dim() % 2 != 0 || head_dim() < 6) {
      throw ExportError(
          ErrorCode::bad_config,
          fmt::format("{}: crop_size is {}, patch_size {}, tubelet_size {}, mlp_ratio {} and "
                      "hidden_size / num_attention_heads {}; expected positive numbers, at "
                      "least one patch, and even heads of at least 6",
                      c.origin(), crop_size, patch_size, tubelet_size, c.real("mlp_ratio"), head_dim()));
    }
    intermediate_size = static_cast<std::int64_t>(inner);
  }

  std::int64_t head_dim() const { return hidden_size / num_attention_heads; }
  std::int64_t side() const { return crop_size / patch_size; }  ///< of an image, in patches

  nn::EncoderLayerParameters layer() const {
    nn::EncoderLayerParameters p = ViTEncoderConfig::layer();
    p.attention.query = "query";
    p.attention.key = "key";
    p.attention.value = "value";
    p.attention.output = "proj";
    p.attention_norm = "norm1";
    p.output_norm = "norm2";
    p.up = "mlp.fc1";
    p.down = "mlp.fc2";
    return p;
  }

  nn::EncoderLayerParameters pooler_layer() const {
    nn::EncoderLayerParameters p = layer();
    p.attention.bias = nn::QkvBias::all;
    p.attention.query = "q_proj";
    p.attention.key = "k_proj";
    p.attention.value = "v_proj";
    p.attention.output = "out_proj";
    p.attention_key = "self_attn";
    p.attention_norm = "layer_norm1";
    p.output_norm = "layer_norm2";
    p.intermediate_size = 4 * hidden_size;
    return p;
  }
};

class VJepa2OnnxConfig : public VideoOnnxConfig {
 public:
  using VideoOnnxConfig::VideoOnnxConfig;
  // The classifier was trained for one number of frames.
  AxesByName inputs() const override {
    if (task() == "feature-extraction")
      return {{"pixel_values_videos", {{0, "batch_size"}, {1, "num_frames"}}}};
    return {{"pixel_values_videos", {{0, "batch_size"}}}};
  }
  AxesByName outputs() const override {
    if (task() != "feature-extraction") return VideoOnnxConfig::outputs();
    return {{"last_hidden_state", {{0, "batch_size"}, {1, "sequence_length"}}}};
  }
  NormalizedConfig normalized_config() const override {
    return VideoOnnxConfig::normalized_config().with_args(
        {{"num_frames", "frames_per_clip"}, {"image_size", "crop_size"}, {"num_channels", "in_chans"}});
  }
};

// Thirds of each head turn by frame, row and column; what is left over stays. Elements 2 i and 2 i + 1 are a
// pair, but their angles are those of i and i + 1 of a list that comes twice, as in the original.
nn::Turn make_rotation(Graph& graph, const Config& c, const Dim& times) {
  const std::int64_t part = c.head_dim() / 3 / 2 * 2, rest = c.head_dim() - 3 * part, half = part / 2;
  std::vector<double> frequencies;
  for (std::int64_t i = 0; i < part; ++i)
    frequencies.push_back(std::pow(10000.0, -static_cast<double>(i % half) / static_cast<double>(half)));
  const Value turns = graph.weight_as_is(Weight::from_doubles(DType::f32, {1, part}, frequencies));
  const Dim side = c.side();
  const std::array<Dim, 3> extents = {times, side, side};
  std::vector<Value> angles;
  for (std::size_t axis = 0; axis < extents.size(); ++axis) {
    Shape shape = {1, 1, 1, part};
    shape[axis] = extents[axis];
    const Value place = op::unsqueeze(op::cast(op::arange(graph, extents[axis]), DType::f32), 1);
    const Value own = op::reshape(op::mul(place, turns), shape);
    angles.push_back(op::expand(own, {times, side, side, part}));
  }
  const Value all = op::reshape(op::concat(angles, 3), {1, times * side * side, 1, 3 * part});
  const Value padded = rest > 0 ? op::pad(all, {0, 0, 0, 0}, {0, 0, 0, rest}) : all;
  const Value cosine = op::cast(op::cos(padded), graph.float_dtype());
  const Value sine = op::cast(op::sin(padded), graph.float_dtype());
  return [cosine, sine, heads = c.num_attention_heads, head_dim = c.head_dim()](Value x) {
    const Shape& shape = x.shape();
    const Value apart = op::reshape(x, {shape[0], shape[1], heads, head_dim});
    const Value pairs = op::reshape(x, {shape[0], shape[1], heads * head_dim / 2, 2});
    const std::vector<Value> both = op::split(pairs, 3, {1, 1});
    const Value swapped = op::reshape(op::concat({op::neg(both[1]), both[0]}, 3), apart.shape());
    const Value kept = op::mul(apart, cosine);
    return op::reshape(op::add(kept, op::mul(swapped, sine)), shape);
  };
}

Value encode(const Scope& s, const Config& c, Value video) {
  const nn::VideoPatches patches(s / "embeddings" / "patch_embeddings" / "proj",
                                 {.channels = c.in_chans,
                                  .hidden_size = c.hidden_size,
                                  .frames = c.tubelet_size,
                                  .patch = {c.patch_size, c.patch_size}});
  Value x = patches(video);
  const nn::Turn rotation = make_rotation(x.graph(), c, video.dim(1).floor_div(c.tubelet_size));
  for (std::int64_t i = 0; i < c.num_hidden_layers; ++i)
    x = nn::rotated_layer(s / "layer" / i, c.layer(), x, rotation);
  return nn::LayerNorm(s / "layernorm", c.hidden_size, c.layer_norm_eps)(x);
}

// A learned query attends to all tokens: [B, S, H] -> [B, H].
Value pool(const Scope& s, const Config& c, Value tokens) {
  const nn::EncoderLayerParameters p = c.pooler_layer();
  const nn::PreNormEncoder encoder(s / "self_attention_layers", c.num_pooler_layers, p);
  const Scope layer = s / "cross_attention_layer", attention = layer / "cross_attn";
  const std::int64_t width = c.hidden_size, heads = c.num_attention_heads;
  const nn::LayerNorm norm1(layer / "layer_norm1", width, c.layer_norm_eps);
  const nn::LayerNorm norm2(layer / "layer_norm2", width, c.layer_norm_eps);
  const nn::Mlp mlp((layer / "mlp").path(), nn::Linear(layer / "mlp" / "fc1", width, p.intermediate_size),
                    nn::Linear(layer / "mlp" / "fc2", p.intermediate_size, width), c.hidden_act);
  const Weight learned = s.weight("query_tokens", {1, 1, width});
  const Value seen = norm1(encoder(tokens));
  const ModulePath at(seen, layer.path());
  const Value queries = op::expand(seen.graph().weight(learned), {seen.dim(0), 1, width});
  const Value query = nn::Linear(attention / "q_proj", width, width)(queries);
  const Value key = nn::Linear(attention / "k_proj", width, width)(seen);
  const Value value = nn::Linear(attention / "v_proj", width, width)(seen);
  const Value context = op::attention({.query = query, .key = key, .value = value}, heads, heads).output;
  return op::squeeze(nn::pre_norm_residual(op::add(queries, context), norm2, mlp), 1);
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const Value hidden = encode(root.base_model("vjepa2") / "encoder", c, inputs["pixel_values_videos"]);
  if (component.task == "feature-extraction") return {{"last_hidden_state", hidden}};
  const Value pooled = pool(root / "pooler", c, hidden);
  return {{"logits", nn::Linear(root / "classifier", c.hidden_size, c.num_labels)(pooled)}};
}

}  // namespace

void register_vjepa2(TasksManager& tasks) {
  tasks.register_model<VJepa2OnnxConfig>({.model_type = "vjepa2",
                                          .tasks = {"feature-extraction", "video-classification"},
                                          .forward = forward,
                                          .ignorable_keys = {"*predictor.*"}});
}

}  // namespace onnxport::models
