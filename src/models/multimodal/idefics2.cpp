// Idefics 2: images with padding, resampled to a fixed number of tokens, in front of a Mistral. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/idefics2/modeling_idefics2.py
#include "models/multimodal/common/patches/padded_images.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/mlp.h"

namespace onnxport::models {
namespace {

constexpr const char* kTextType = "mistral";

class Idefics2OnnxConfig : public PaddedImagesOnnxConfig {
 public:
  using PaddedImagesOnnxConfig::PaddedImagesOnnxConfig;

 protected:
  std::string text_type() const override { return kTextType; }
  AxesByName encoder_outputs() const override { return {{"image_features", {{0, "num_image_tokens"}}}}; }
};

struct PerceiverConfig {
  std::int64_t hidden_size, latents, depth, heads, kv_heads, head_dim;
  std::string hidden_act;
  double eps;

  explicit PerceiverConfig(const PretrainedConfig& c)
      : hidden_size(c.integer("hidden_size")),
        latents(c.integer("resampler_n_latents")),
        depth(divisor(c, "resampler_depth")),
        heads(c.integer("resampler_n_heads")),
        kv_heads(c.integer("num_key_value_heads")),
        head_dim(c.integer("resampler_head_dim")),
        hidden_act(c.string("hidden_act")),
        eps(c.real("rms_norm_eps")) {
    check_multiple(c, "resampler_n_heads", heads, "num_key_value_heads", kv_heads);
  }
};

// down(activation(gate(x)) * up(x)) from the width of the tower to that of the language model.
Value widen(const Scope& s, const PretrainedConfig& text, Value x) {
  const ModulePath at(x, s.path());
  const std::int64_t in = *x.dim(2).constant(), inner = text.integer("intermediate_size");
  const nn::Linear gate(s / "gate_proj", in, inner, false), up(s / "up_proj", in, inner, false),
      down(s / "down_proj", inner, text.integer("hidden_size"), false);
  const Value opened = nn::Activation(text.string("hidden_act"))(gate(x));
  return down(op::mul(opened, up(x)));
}

// Latents [N, L, H] attend to the patches and to themselves.
Value attend(const Scope& s, const PerceiverConfig& c, Value latents, Value context,
             const op::AttentionMask& mask) {
  const ModulePath at(latents, s.path());
  const auto linear = [&](const char* key, std::int64_t in, std::int64_t out) {
    return nn::Linear(s / key, in, out, false);
  };
  const std::int64_t width = c.heads * c.head_dim, kv_width = c.kv_heads * c.head_dim;
  const Value all = op::concat({context, latents}, 1);
  const Value query = linear("q_proj", c.hidden_size, width)(latents);
  const Value key = linear("k_proj", c.hidden_size, kv_width)(all);
  const Value value = linear("v_proj", c.hidden_size, kv_width)(all);
  const op::AttentionOperands operands{.query = query, .key = key, .value = value, .mask = mask};
  const Value attended = op::attention(operands, c.heads, c.kv_heads).output;
  return linear("o_proj", width, c.hidden_size)(attended);
}

// [N, S, H] -> [N, latents, H]
Value resample(const Scope& s, const PerceiverConfig& c, Value context, Value visible) {
  const ModulePath at(context, s.path());
  Graph& graph = context.graph();
  const Dim& images = context.dim(0);
  const Value latents = graph.weight(s.weight("latents", {c.latents, c.hidden_size}));
  const double one[] = {1};
  const Value real = graph.weight_as_is(Weight::from_doubles(DType::f32, {1, 1}, one));
  const Value always = op::gt(op::expand(real, {images, c.latents}), 0.0);
  const op::AttentionMask mask = nn::padding_mask(op::concat({visible, always}, 1));
  Value x = op::expand(op::unsqueeze(latents, 0), {images, c.latents, c.hidden_size});
  for (std::int64_t i = 0; i < c.depth; ++i) {
    const Scope layer = s / "layers" / i;
    const ModulePath inside(x, layer.path());
    const auto norm = [&](const char* key) {
      return nn::RmsNorm(layer / key, c.hidden_size, {.eps = c.eps});
    };
    const Value normed = norm("input_latents_norm")(x);
    const Value patches = norm("input_context_norm")(context);
    x = op::add(x, attend(layer / "self_attn", c, normed, patches, mask));
    const nn::GatedMlp mlp(
        layer / "mlp",
        {.hidden_size = c.hidden_size, .intermediate_size = 4 * c.hidden_size, .activation = c.hidden_act});
    x = op::add(x, mlp(norm("post_attention_layernorm")(x)));
  }
  return nn::RmsNorm(s / "norm", c.hidden_size, {.eps = c.eps})(x);
}

Value encode(const Inputs& inputs, const Model& model) {
  const PretrainedConfig& c = model.config();
  const ImageTowerConfig tower = padded_images_tower(c);
  const PerceiverConfig perceiver(c.sub("perceiver_config").as("idefics2_perceiver"));
  const PretrainedConfig text = c.unaccounted().sub("text_config", kTextType);
  const Scope s = model.scope() / "model", connector = s / "connector";
  const PaddedPatches patches =
      encode_padded_images(s / "vision_model", tower, inputs, RealPatch::every_pixel);
  const Value wide = widen(connector / "modality_projection", text, patches.hidden);
  const Value latents = resample(connector / "perceiver_resampler", perceiver, wide, patches.visible);
  return op::reshape(latents, {latents.dim(0) * perceiver.latents, perceiver.hidden_size});
}

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                    const Component& component) {
  return forward_padded_images(tasks, inputs, model, component, kTextType,
                               [&](const Inputs& in) { return encode(in, model); });
}

}  // namespace

void register_idefics2(TasksManager& tasks) {
  register_multimodal_decoder<Idefics2OnnxConfig>(
      tasks,
      {.model_type = "idefics2", .forward = bound(tasks, forward), .key_names = padded_images_key_names()});
}

}  // namespace onnxport::models
