// Qwen2.5-VL: a tower whose layers see windows, or the whole frame. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/qwen2_5_vl/modeling_qwen2_5_vl.py
#include <algorithm>

#include "models/multimodal/common/decoders/qwen_vl.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/mlp.h"

namespace onnxport::models {
namespace {

constexpr nn::NormParameters kNorm{.eps = 1e-6};

struct Config : PatchTowerConfig {
  std::int64_t inner, window;
  std::string hidden_act;
  std::vector<std::int64_t> whole_layers = {7, 15, 23, 31};

  explicit Config(const PretrainedConfig& c)
      : PatchTowerConfig(c, c.integer("hidden_size", 3584)),
        inner(c.integer("intermediate_size", 3420)),
        window(c.integer("window_size", 112) / side / patch),
        hidden_act(c.string("hidden_act", "silu")) {
    if (c.has("fullatt_block_indexes")) whole_layers = c.integers("fullatt_block_indexes");
    // Of videos, of training, and no keys of the class.
    c.harmless({"tokens_per_second", "initializer_range", "in_chans", "spatial_patch_size"});
  }

  bool sees_all(std::int64_t layer) const {
    return std::find(whole_layers.begin(), whole_layers.end(), layer) != whole_layers.end();
  }
};

// Squares of patches in the same window of window * window squares: bool [N, N]. The original sorts patches
// by windows and back, which changes no result.
Value same_window(const Config& c, const PatchPlaces& places, Value frame) {
  const ModulePath at(frame, "attention_mask");
  const auto step = static_cast<double>(c.window * c.side);
  Value same = frame;
  for (const Value& place : {places.row, places.column}) {
    const Value number = op::div(place, step);
    const Value query = op::unsqueeze(number, 1);
    same = op::logical_and(same, op::eq(query, op::unsqueeze(number, 0)));
  }
  return same;
}

Value block(const Scope& s, const Config& c, Value x, const PatchAttention& attend, Value visible) {
  const ModulePath at(x, s.path());
  const nn::RmsNorm before_attention(s / "norm1", c.hidden_size, kNorm),
      before_mlp(s / "norm2", c.hidden_size, kNorm);
  x = op::add(x, attend(s / "attn", before_attention(x), visible));
  const nn::GatedMlp mlp(
      s / "mlp",
      {.hidden_size = c.hidden_size, .intermediate_size = c.inner, .activation = c.hidden_act, .bias = true});
  return op::add(x, mlp(before_mlp(x)));
}

Value encode(const Inputs& inputs, const Model& model) {
  const PretrainedConfig config = model.config().sub("vision_config");
  const Config c(config);
  divisor(config.settled("window_size", std::to_string(c.window)), "window_size");
  const Scope s = model.scope() / "visual";
  const Value patches = inputs["pixel_values"];
  const PatchPlaces places = patch_places(inputs["image_grid_thw"], patches.dim(0), c.side);
  const Value frame = same_frame(places), window = same_window(c, places, frame);
  const PatchAttention attend(c, places, frame);
  Value x = embed_patch_rows(s / "patch_embed" / "proj", c, patches, false);
  for (std::int64_t i = 0; i < c.depth; ++i)
    x = block(s / "blocks" / i, c, x, attend, c.sees_all(i) ? frame : window);
  const Scope m = s / "merger";
  const Value normed = nn::RmsNorm(m / "ln_q", c.hidden_size, kNorm)(x);
  return merge_patches(m / "mlp", {"0", "2"}, c, normed, config.integer("out_hidden_size", 3584));
}

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                    const Component& component) {
  return forward_qwen_vl(tasks, inputs, model, component, encode);
}

// The language model alone, as the text encoder of Qwen-Image: positions count the real tokens, on all axes,
// and padding has 1, like the original.
EncoderStates encode_text(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                          const Component& component) {
  const PretrainedConfig& c = model.config();
  leave_media_token_ids(c);
  c.harmless({"vision_config"});
  if (c.given("text_config")) {  // some files repeat its keys at their top
    c.harmless({"vocab_size",          "hidden_size",         "intermediate_size", "num_hidden_layers",
                "num_attention_heads", "num_key_value_heads", "hidden_act",        "max_position_embeddings",
                "initializer_range",   "rms_norm_eps",        "use_cache",         "rope_theta",
                "rope_scaling",        "rope_parameters",     "attention_dropout", "use_sliding_window",
                "sliding_window",      "max_window_layers",   "layer_types",       "tie_word_embeddings",
                "bos_token_id",        "eos_token_id",        "pad_token_id"});
  }
  for (const char* other : {"visual", "lm_head"}) model.scope().ignore(other);
  const PretrainedConfig text = qwen_vl_text_config(c, c.model_type() + "_text");
  const auto type = tasks.get_part(text, "text_config", Role::language_model);
  const Value mask = op::cast(inputs["attention_mask"], DType::i64);
  const Value counted = op::sub(op::cumsum(mask, 1), 1.0);
  const Value positions = op::add(op::mul(mask, op::sub(counted, 1.0)), 1.0);
  const Shape& shape = mask.shape();
  const Inputs own({{"input_ids", inputs["input_ids"]},
                    {"attention_mask", inputs["attention_mask"]},
                    {"position_ids", op::expand(op::unsqueeze(positions, 0), {3, shape[0], shape[1]})}});
  Component language = component;
  language.part.clear();
  const Model part = model.part(text, "", type, language.task);
  return {type->roles.language_model->decode(own, part, language).at(0).second};
}

}  // namespace

void register_qwen2_5_vl(TasksManager& tasks) {
  register_multimodal_decoder<QwenVlOnnxConfig>(
      tasks, {.model_type = "qwen2_5_vl",
              .forward = bound(tasks, forward),
              .key_names = qwen_vl_key_names(),
              .roles = {.text_model = EncoderRole{
                            [&tasks](const Inputs& inputs, const Model& model, const Component& component) {
                              return encode_text(tasks, inputs, model, component);
                            }}}});
}

}  // namespace onnxport::models
