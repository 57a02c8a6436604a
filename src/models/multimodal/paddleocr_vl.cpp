// PaddleOCR-VL: a tower over patches of images of any size, row by row, whose squares a projector merges.
// Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/paddleocr_vl/modeling_paddleocr_vl.py
#include "models/multimodal/common/decoders/qwen_vl.h"
#include "models/multimodal/common/patches/sampled_positions.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/causal_attention.h"

namespace onnxport::models {
namespace {

constexpr const char* kTextType = "paddleocr_vl_text";

// The names that the other towers of this kind have.
PretrainedConfig with_usual_keys(PretrainedConfig c) {
  for (const auto& [usual, key] : {std::pair("depth", "num_hidden_layers"),
                                   {"num_heads", "num_attention_heads"},
                                   {"in_channels", "num_channels"}})
    c = c.settled(usual, std::to_string(c.integer(key)));
  return c.settled("temporal_patch_size", "1");
}

struct Config : PatchTowerConfig {
  std::int64_t inner, table;  ///< table: places on a side of the table of positions
  double eps;
  std::string hidden_act;

  explicit Config(const PretrainedConfig& c)
      : PatchTowerConfig(with_usual_keys(c), c.integer("hidden_size")),
        inner(c.integer("intermediate_size")),
        table(places_on_side(c, c.integer("image_size"))),
        eps(c.real("layer_norm_eps")),
        hidden_act(c.string("hidden_act")) {
    c.harmless({"attention_dropout"});
  }

  nn::LayerNorm norm(const Scope& s) const { return {s, hidden_size, eps}; }
};

// Early files name the whole as the class of the tower.
Config tower_of(const PretrainedConfig& whole) {
  return Config(whole.sub("vision_config").as("paddleocr_vl_vision"));
}

// Where the patches of squares that follow each other lie among those that follow each other in rows: int64
// [N].
Value in_rows(const PatchPlaces& places, Value grid) {
  const Value columns = op::embedding(op::select(grid, 1, 2), places.image);
  const Value patch = op::arange(grid.graph(), places.row.dim(0));
  const Value frame_start = op::sub(patch, places.local);
  const Value row_start = op::mul(places.row, columns);
  return op::add(op::add(frame_start, row_start), places.column);
}

// Patches [N, C, p, p] -> [N, H]
Value embed(const Scope& s, const Config& c, Value patches, Value order) {
  const ModulePath at(patches, s.path());
  const Weight weight = s.weight("weight", {c.hidden_size, c.channels, c.patch, c.patch});
  const Value rows = op::flatten(patches, 1, 3);
  const Value sorted = op::embedding(rows, order);
  return nn::Linear(s.path(), weight.reshape({c.hidden_size, c.patch_elements()}),
                    s.weight("bias", {c.hidden_size}))(sorted);
}

Value block(const Scope& s, const Config& c, Value x, const PatchAttention& attention, Value visible) {
  const ModulePath at(x, s.path());
  const nn::LayerNorm before_attention = c.norm(s / "layer_norm1"), before_mlp = c.norm(s / "layer_norm2");
  const Scope a = s / "self_attn", m = s / "mlp";
  const nn::HeadSizes sizes{c.hidden_size, c.heads, c.heads, c.head_dim()};
  const auto project = nn::QkvProjection::separate(a, sizes, true);
  const nn::Linear out(a / "out_proj", c.hidden_size, c.hidden_size), up(m / "fc1", c.hidden_size, c.inner),
      down(m / "fc2", c.inner, c.hidden_size);
  const Value normed = op::unsqueeze(before_attention(x), 0);
  const Value heads = op::squeeze(attention.attended(project(normed), visible), 0);
  x = op::add(x, out(heads));
  const Value wide = up(before_mlp(x));
  return op::add(x, down(nn::Activation(c.hidden_act)(wide)));
}

Value encode(const Inputs& inputs, const Model& model) {
  const Config c = tower_of(model.config());
  const Scope s = model.scope() / "visual" / "vision_model", e = s / "embeddings";
  const Value patches = inputs["pixel_values"], grid = inputs["image_grid_thw"];
  const PatchPlaces places = patch_places(grid, patches.dim(0), c.side);
  const Value visible = same_frame(places);
  const PatchAttention attention(c, places, visible);
  Value x = embed(e / "patch_embedding", c, patches, in_rows(places, grid));
  {
    const Scope p = e / "position_embedding";
    const ModulePath at(x, p.path());
    const Weight table = p.weight("weight", {c.table * c.table, c.hidden_size});
    x = op::add(x, sampled_positions(table, c.table, places, grid, Sampling::linear));
  }
  for (std::int64_t i = 0; i < c.depth; ++i)
    x = block(s / "encoder" / "layers" / i, c, x, attention, visible);
  x = c.norm(s / "post_layernorm")(x);
  const Scope m = model.scope() / "mlp_AR";
  const Value normed = nn::LayerNorm(m / "pre_norm", c.hidden_size, 1e-5)(x);
  const PretrainedConfig text = qwen_vl_text_config(model.config().unaccounted(), kTextType);
  return merge_patches(m, {"linear_1", "linear_2"}, c, normed, text.integer("hidden_size"));
}

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                    const Component& component) {
  return forward_qwen_vl(tasks, inputs, model, component, encode);
}

class PaddleOcrVlOnnxConfig : public QwenVlOnnxConfig {
 public:
  using QwenVlOnnxConfig::QwenVlOnnxConfig;

 protected:
  PatchTowerConfig tower_config() const override { return tower_of(config().unaccounted()); }
  DummyInputGenerators encoder_dummies() const override {
    const PatchTowerConfig c = tower_config();
    return {std::make_shared<const DummyPatchGenerator>(c.side, std::vector{c.channels, c.patch, c.patch})};
  }
};

KeyNames key_names() {
  KeyNames names = tied("model.embed_tokens", "lm_head");
  names.newer = {{"model.embed_tokens", "model.language_model.embed_tokens"},
                 {"model.layers", "model.language_model.layers"},
                 {"model.norm", "model.language_model.norm"},
                 {"visual.", "model.visual."},
                 {"mlp_AR", "model.projector"}};
  return names;
}

}  // namespace

void register_paddleocr_vl(TasksManager& tasks) {
  register_multimodal_decoder<PaddleOcrVlOnnxConfig>(
      tasks,
      {.model_type = "paddleocr_vl",
       .forward = bound(tasks, forward),
       .ignorable_keys = {"*vision_model.embeddings.packing_position_embedding.*", "*vision_model.head.*"},
       .key_names = key_names()});
}

}  // namespace onnxport::models
