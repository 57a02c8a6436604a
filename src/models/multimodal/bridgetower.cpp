// BridgeTower: a RoBERTa and a CLIP image tower, whose last layers feed layers that look at both. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/bridgetower/modeling_bridgetower.py
#include <fmt/format.h>

#include <string>
#include <vector>

#include "models/multimodal/common/features/cross_layer.h"
#include "models/multimodal/common/towers/clip_encoders.h"
#include "models/text_encoders/common/roberta.h"
#include "models/vision/common/vit.h"
#include "onnxport/error.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/nn/packed_attention.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/text_encoder_config.h"

namespace onnxport::models {
namespace {

constexpr const char* kRetrieval = "image-text-retrieval";

class BridgeTowerOnnxConfig : public TextAndVisionOnnxConfig {
 public:
  using TextAndVisionOnnxConfig::TextAndVisionOnnxConfig;
  AxesByName inputs() const override {
    const Axes text = {{0, "batch_size"}, {1, "sequence_length"}};
    return {{"input_ids", text}, {"attention_mask", text}, {"pixel_values", {{0, "batch_size"}}}};
  }
  AxesByName outputs() const override {
    const Axes rows = {{0, "batch_size"}};
    if (task() == kRetrieval) return {{"logits", rows}};
    return {{"text_features", {{0, "batch_size"}, {1, "sequence_length"}}},
            {"image_features", rows},
            {"pooler_output", rows}};
  }
  NormalizedConfig normalized_config() const override {
    const PretrainedConfig c = config().unaccounted();
    return normalized_towers(tower_config(c, "text_config"), tower_config(c, "vision_config"));
  }
};

// ---- towers ----

EncoderStates encode_text(const Inputs& inputs, const Model& model, const Component&) {
  const PretrainedConfig& config = model.config();
  const TextEncoderConfig c(config);
  const Scope s = model.scope();
  const Value ids = inputs["input_ids"];
  const Value positions = nn::position_ids_from_input_ids(ids, config.integer("pad_token_id"));
  Value x = nn::TextEmbeddings(s / "embeddings", c.embeddings())(ids, {}, positions);
  const op::AttentionMask mask = nn::padding_mask(inputs.get("attention_mask"));
  std::vector<Value> states = {x};
  for (std::int64_t i = 0; i < c.num_hidden_layers; ++i) {
    x = nn::PostNormEncoderLayer(s / "encoder" / "layer" / i, c.layer())(x, mask);
    states.push_back(x);
  }
  return {x, {}, states};
}

// The class declares fewer settings than CLIP's, because they follow from the width.
ImageTowerConfig image_tower_config(const PretrainedConfig& c) {
  const std::int64_t width = c.integer("hidden_size");
  constexpr std::int64_t kHead = 64;
  check_multiple(c, "hidden_size", width, "the size of a head", kHead);
  return ImageTowerConfig(c.settled("num_attention_heads", std::to_string(width / kHead))
                              .settled("intermediate_size", std::to_string(4 * width))
                              .settled("hidden_act", "\"quick_gelu\""));
}

EncoderStates encode_image(const Inputs& inputs, const Model& model, const Component&) {
  const PretrainedConfig& config = model.config();
  const ImageTowerConfig c = image_tower_config(config);
  // Of training; norms that are apart for each layer are stored, but not used.
  config.harmless({"stop_gradient", "share_layernorm"});
  const std::int64_t count = c.num_hidden_layers - (config.flag("remove_last_layer") ? 1 : 0);
  const std::int64_t width = c.hidden_size;
  const Scope s = model.scope() / "visual";
  const auto norm = [&](const Scope& of) { return nn::LayerNorm(of, width, c.layer_norm_eps); };
  Value x = norm(s / "ln_pre")(clip_image_tokens(s / "embeddings", c, inputs["pixel_values"]));
  std::vector<Value> states = {x};
  for (std::int64_t i = 0; i < count; ++i) {
    const Scope layer = s / "transformer" / "resblocks" / i;
    const ModulePath at(x, layer.path());
    const Value normed = norm(layer / "ln_1")(x);
    const nn::PackedAttention attention(layer / "attn", width, c.num_attention_heads);
    x = op::add(x, attention(normed, normed, normed));
    const nn::Mlp mlp((layer / "mlp").path(), nn::Linear(layer / "mlp.c_fc", width, c.intermediate_size),
                      nn::Linear(layer / "mlp.c_proj", c.intermediate_size, width), c.hidden_act);
    const Value wide = mlp(norm(layer / "ln_2")(x));
    x = op::add(x, wide);
    states.push_back(x);
  }
  return {norm(s / "ln_post")(x), {}, states};
}

// ---- layers that look at both ----

// How a state of a tower enters the layers.
struct Bridge {
  Scope root;
  std::int64_t width;
  double eps;
  std::string kind;  ///< link_tower_type

  nn::LayerNorm norm(const Scope& s) const { return {s, width, eps}; }

  // `side`: text or image. The state in the width of the layers, with an embedding of its side.
  Value enter(const std::string& side, Value state) const {
    const std::int64_t from = *state.dim(2).constant(), row = side == "text" ? 0 : 1;
    const Value x = nn::Linear(root / ("cross_modal_" + side + "_transform"), from, width)(state);
    const ModulePath at(x, root.path());
    const Weight types = (root / "token_type_embeddings").weight("weight", {2, width});
    return op::add(x, x.graph().weight(types.slice(0, row, row + 1)));
  }
  // Adds it to the sum of the layers so far.
  Value link(const std::string& side, std::int64_t number, Value state, Value so_far) const {
    const Scope s = root / ("cross_modal_" + side + "_link_tower") / number;
    const ModulePath at(state, s.path());
    Graph& graph = state.graph();
    if (kind == "scaled_add") state = op::mul(state, graph.weight(s.weight("scaled_factor", {})));
    if (kind == "interpolate") {
      const Value beta = graph.weight(s.weight("beta", {}));
      state = op::mul(state, op::sub(1.0, beta));
      so_far = op::mul(so_far, beta);
    }
    return norm(s / "LayerNorm")(op::add(state, so_far));
  }
};

Bridge make_bridge(const Scope& root, const PretrainedConfig& c) {
  Bridge bridge{root, c.integer("hidden_size"), c.real("layer_norm_eps"), c.string("link_tower_type")};
  if (bridge.kind != "add" && bridge.kind != "scaled_add" && bridge.kind != "interpolate") {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: link_tower_type is '{}', expected add, scaled_add or interpolate",
                                  c.origin(), bridge.kind));
  }
  if (!c.flag("share_cross_modal_transformer_layers") || c.flag("share_link_tower_layers")) {
    throw ExportError(ErrorCode::unsupported,
                      fmt::format("{}: the original cannot run with share_link_tower_layers, nor without "
                                  "share_cross_modal_transformer_layers",
                                  c.origin()));
  }
  return bridge;
}

struct Features {
  Value text, image;
};

Features look_at_both(const TasksManager& tasks, const Inputs& inputs, const Model& model) {
  const PretrainedConfig& c = model.config();
  const Scope root = model.scope();
  const PretrainedConfig text_config = tower_config(c, "text_config");
  const PretrainedConfig vision_config = tower_config(c, "vision_config");
  const EncoderStates text =
      encode_tower(tasks, Role::text_model, "text_config", text_config, inputs, model, "text_model");
  const EncoderStates image =
      encode_tower(tasks, Role::vision_tower, "vision_config", vision_config, inputs, model, "vision_model");
  const Bridge bridge = make_bridge(root, c);
  const nn::EncoderLayerParameters layer = TextEncoderConfig(text_config).layer();
  const std::int64_t count = c.integer("num_hidden_layers"), deep = std::ssize(text.layers) - 1;
  if (count < 1 || count > deep || deep >= std::ssize(image.layers) ||
      layer.attention.hidden_size != bridge.width) {
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format("{}: {} layers of width {} on text states of {} layers and width {}, and image states of "
                    "{} layers: expected one width, and at least as many layers in the towers",
                    c.origin(), count, bridge.width, deep, layer.attention.hidden_size,
                    std::ssize(image.layers) - 1));
  }
  const Scope visual = root / "vision_model" / "visual";
  const nn::LayerNorm post(visual / "ln_post", *image.hidden.dim(2).constant(),
                           vision_config.real("layer_norm_eps"));
  const op::AttentionMask mask = nn::padding_mask(inputs["attention_mask"]);
  Features so_far;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto place = static_cast<std::size_t>(deep - count + 1 + i);
    const Value text_state = bridge.enter("text", text.layers.at(place));
    const Value image_state = bridge.enter("image", post(image.layers.at(place)));
    Features next;
    if (i == 0) {
      next = {bridge.norm(root / "cross_modal_text_layernorm")(text_state), {}};
      next.image = bridge.norm(root / "cross_modal_image_layernorm")(image_state);
    } else {
      next = {bridge.link("text", i - 1, text_state, so_far.text), {}};
      next.image = bridge.link("image", i - 1, image_state, so_far.image);
    }
    so_far.text = cross_layer(root / "cross_modal_text_layers" / i, layer, next.text, mask, {next.image, {}});
    so_far.image =
        cross_layer(root / "cross_modal_image_layers" / i, layer, next.image, {}, {next.text, mask});
  }
  return so_far;
}

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& whole,
                    const Component& component) {
  const PretrainedConfig& c = whole.config();
  // The layers have the settings of the text tower; the rest is of another head and of training.
  c.harmless({"hidden_act", "intermediate_size", "num_attention_heads", "contrastive_hidden_size",
              "logit_scale_init_value", "init_layernorm_from_vision_encoder", "tie_word_embeddings"});
  const Model model = inside_head(tasks, whole, "bridgetower");
  const Scope root = model.scope();
  const Features features = look_at_both(tasks, inputs, model);
  const std::int64_t width = c.integer("hidden_size");
  const Value text = nn::Pooler(root / "cross_modal_text_pooler" / "dense", width)(features.text);
  const Value image = nn::Pooler(root / "cross_modal_image_pooler" / "dense", width)(features.image);
  const Value both = op::concat({text, image}, 1);
  if (component.task == kRetrieval)
    return {{"logits", nn::Linear(whole.scope() / "itm_score.fc", 2 * width, 2)(both)}};
  return {{"text_features", features.text}, {"image_features", features.image}, {"pooler_output", both}};
}

}  // namespace

void register_bridgetower(TasksManager& tasks) {
  tasks.register_model<TextEncoderOnnxConfig>(
      {.model_type = "bridgetower_text_model", .roles = {.text_model = EncoderRole{encode_text}}});
  tasks.register_model<ViTOnnxConfig>(
      {.model_type = "bridgetower_vision_model", .roles = {.vision_tower = EncoderRole{encode_image}}});
  tasks.register_model<BridgeTowerOnnxConfig>(
      {.model_type = "bridgetower",
       .tasks = {"feature-extraction", kRetrieval},
       .forward = [&tasks](const Inputs& inputs, const Model& model,
                           const Component& component) { return forward(tasks, inputs, model, component); },
       .ignorable_keys = {"*text_model.pooler.*", "*visual.ln_separate.*", "*embeddings.position_ids",
                          "*embeddings.token_type_ids", "mlm_score.*", "itc_*", "logit_scale"}});
}

}  // namespace onnxport::models
