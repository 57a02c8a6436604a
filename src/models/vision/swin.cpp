// Swin Transformer. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/swin/modeling_swin.py
#include "models/vision/common/swin.h"

#include <fmt/format.h>

#include "models/common/definition.h"
#include "models/vision/common/backbone.h"
#include "onnxport/error.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/token_grid.h"
#include "onnxport/nn/window_attention.h"

namespace onnxport::models {
namespace {

constexpr double kEps = 1e-5;  // not configurable

struct Config {
  std::int64_t num_channels, embed_dim, window_size;
  std::vector<std::int64_t> patch_size, depths, num_heads;
  double mlp_ratio, layer_norm_eps;
  bool qkv_bias;
  std::string hidden_act, origin;

  explicit Config(const PretrainedConfig& c)
      : num_channels(c.integer("num_channels")),
        embed_dim(c.integer("embed_dim")),
        window_size(c.integer("window_size")),
        patch_size(c.integers("patch_size")),
        depths(c.integers("depths")),
        num_heads(c.integers("num_heads")),
        mlp_ratio(c.real("mlp_ratio")),
        layer_norm_eps(c.real("layer_norm_eps")),
        qkv_bias(c.flag("qkv_bias")),
        hidden_act(c.string("hidden_act")),
        origin(c.origin()) {
    // image_size matters only for absolute embeddings. The others follow from depths and embed_dim, or
    // concern training, backbones and the head for masked images.
    c.harmless({"image_size", "hidden_size", "num_layers", "num_hidden_layers", "stage_names", "out_features",
                "out_indices", "encoder_stride", "drop_path_rate", "hidden_dropout_prob",
                "attention_probs_dropout_prob", "initializer_range"});
    if (patch_size.size() == 1) patch_size.push_back(patch_size[0]);
    check(c);
  }

  std::int64_t stages() const { return static_cast<std::int64_t>(depths.size()); }
  std::int64_t width(std::int64_t stage) const { return embed_dim << stage; }
  std::int64_t heads(std::int64_t stage) const { return num_heads[static_cast<std::size_t>(stage)]; }
  /// Pixels per token of the last stage.
  std::int64_t reach(std::size_t axis) const { return patch_size[axis] << (stages() - 1); }

 private:
  void check(const PretrainedConfig& c) const {
    const auto bad = [&](const std::string& what) {
      throw ExportError(ErrorCode::bad_config, fmt::format("{}: {}", origin, what));
    };
    constexpr std::size_t kMostStages = 16;
    if (depths.empty() || depths.size() > kMostStages || num_heads.size() < depths.size()) {
      bad(fmt::format("depths has {} stages and num_heads {}, expected 1 to {} of each", depths.size(),
                      num_heads.size(), kMostStages));
    }
    if (patch_size.size() != 2 || patch_size[0] < 1 || patch_size[1] < 1 || window_size < 1)
      bad(fmt::format("patch_size [{}] and window_size {} must be positive", fmt::join(patch_size, ", "),
                      window_size));
    for (std::int64_t stage = 0; stage < stages(); ++stage) {
      if (embed_dim < 1 || heads(stage) < 1 || width(stage) % heads(stage) != 0) {
        bad(fmt::format("the {} channels of stage {} (embed_dim {}) are not a multiple of num_heads {}",
                        width(stage), stage, embed_dim, heads(stage)));
      }
    }
    // The original adds a table with one row more than there are tokens, which raises an error.
    if (c.flag("use_absolute_embeddings")) {
      throw ExportError(ErrorCode::unsupported,
                        fmt::format("{}: use_absolute_embeddings is true, which the original class cannot "
                                    "compute; expected false",
                                    origin));
    }
  }
};

struct Layer {
  std::string path;
  nn::LayerNorm layernorm_before;
  nn::WindowAttention attention;
  nn::LayerNorm layernorm_after;
  nn::Linear up, down;
  nn::Activation activation;

  Layer(const Scope& s, const Config& c, std::int64_t stage, std::int64_t width, std::int64_t inner)
      : path(s.path()),
        layernorm_before(s / "layernorm_before", width, c.layer_norm_eps),
        attention(
            s / "attention",
            {.hidden_size = width, .heads = c.heads(stage), .window = c.window_size, .qkv_bias = c.qkv_bias}),
        layernorm_after(s / "layernorm_after", width, c.layer_norm_eps),
        up(s / "intermediate" / "dense", width, inner),
        down(s / "output" / "dense", inner, width),
        activation(c.hidden_act) {}

  Value operator()(Value x, const nn::WindowPartition& windows) const {
    const ModulePath at(x, path);
    const Value attended = attention(layernorm_before(x), windows);
    const Value middle = op::add(x, attended);
    const Value fed = down(activation(up(layernorm_after(middle))));
    return op::add(middle, fed);
  }
};

enum class Windows : std::uint8_t {
  fitting,  // no shift unless the grid is larger than a window
  always,   // the same for all grids; as a backbone
};

// Every second layer of a stage shifts its windows by half a window.
Value run_stage(Value x, const Scope& s, const Config& c, std::int64_t stage, const nn::TokenGrid& grid,
                Windows windows) {
  const ModulePath at(x, s.path());
  Graph& graph = x.graph();
  const bool always = windows == Windows::always;
  const Dim larger = (grid.height - c.window_size).min(1) * (grid.width - c.window_size).min(1);
  const Dim shift = (always ? Dim(1) : larger) * (c.window_size / 2);
  const std::int64_t depth = c.depths[static_cast<std::size_t>(stage)];
  const std::int64_t width = c.width(stage);
  const auto inner = static_cast<std::int64_t>(c.mlp_ratio * static_cast<double>(width));
  const nn::WindowPartition straight(graph, grid, {.window = c.window_size, .smaller_grid = always});
  const nn::WindowPartition shifted(graph, grid,
                                    {.window = c.window_size, .shift = shift, .smaller_grid = always});
  for (std::int64_t i = 0; i < depth; ++i) {
    const Layer layer(s / "blocks" / i, c, stage, width, inner);
    x = layer(x, i % 2 == 0 ? straight : shifted);
  }
  return x;
}

// The stem, and each stage before its tokens are merged.
std::vector<SwinTokens> states(Value pixel_values, const Scope& s, const Config& c, Windows windows) {
  // Pads an image with zeros at the end, for sizes that patches do not divide. For other sizes, the kernel
  // never reaches the zeros.
  const std::int64_t height = c.patch_size[0], width = c.patch_size[1];
  const Scope embeddings = s / "embeddings";
  const nn::Conv2d projection(embeddings / "patch_embeddings" / "projection", c.num_channels, c.embed_dim,
                              {height, width}, true,
                              {.stride = {height, width}, .padding = {0, 0, height - 1, width - 1}});
  const ModulePath at_embeddings(pixel_values, embeddings.path());
  const Value patches = projection(pixel_values);
  nn::TokenGrid grid = nn::grid_of(patches);
  // This norm and those between stages ignore layer_norm_eps.
  Value x = nn::LayerNorm(embeddings / "norm", c.embed_dim, kEps)(nn::image_to_rows(patches));

  std::vector<SwinTokens> states = {{x, grid, c.embed_dim}};
  for (std::int64_t stage = 0; stage < c.stages(); ++stage) {
    const Scope at = s / "encoder" / "layers" / stage;
    x = run_stage(x, at, c, stage, grid, windows);
    states.push_back({x, grid, c.width(stage)});
    if (stage + 1 == c.stages()) break;
    x = nn::PatchMerging(at / "downsample", c.width(stage))(x, grid);
    grid = nn::PatchMerging::merged(grid);
  }
  return states;
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  const Scope root = model.scope();
  const SwinTokens tokens =
      swin_encoder(inputs["pixel_values"], root.base_model("swin"), config, SwinNorm::last);
  if (component.task == "feature-extraction") return {{"last_hidden_state", tokens.last_hidden_state()}};
  if (component.task == "image-classification") {
    const Value pooled = op::mean(tokens.last_hidden_state(), 1);
    return {{"logits", nn::Linear(root / "classifier", tokens.channels, config.num_labels())(pooled)}};
  }
  return {{"reconstruction", reconstruct_image(root, config, tokens)}};
}

}  // namespace

SwinTokens swin_encoder(Value pixel_values, const Scope& s, const PretrainedConfig& config, SwinNorm norm) {
  const Config c(config);
  SwinTokens last = states(pixel_values, s, c, Windows::fitting).back();
  if (norm == SwinNorm::last)
    last.rows = nn::LayerNorm(s / "layernorm", last.channels, c.layer_norm_eps)(last.rows);
  return last;
}

BackboneFeatures swin_features(Value pixel_values, const Scope& s, const PretrainedConfig& config,
                               const std::vector<std::int64_t>& stages,
                               const std::function<Scope(std::int64_t stage)>& norm) {
  const std::vector<SwinTokens> all = states(pixel_values, s, Config(config), Windows::always);
  s.ignore("layernorm");
  BackboneFeatures features;
  for (const std::int64_t stage : stages) {
    const SwinTokens& tokens = all[static_cast<std::size_t>(stage)];
    const Value normed = nn::LayerNorm(norm(stage), tokens.channels, kEps)(tokens.rows);
    features.stages.push_back(nn::rows_to_image(normed, tokens.grid));
  }
  return features;
}

std::int64_t swin_stages(const PretrainedConfig& config) { return Config(config).stages(); }

ImageSize swin_smallest_image(const PretrainedConfig& config) {
  const Config c(config);
  return {c.reach(0) * (c.window_size - 1) + 1, c.reach(1) * (c.window_size - 1) + 1};
}

namespace {

BackboneFeatures features(const Scope& s, const PretrainedConfig& config, Value pixel_values) {
  config.harmless({"stage_names"});
  const auto norm = [&](std::int64_t stage) {
    return s / "hidden_states_norms" / (stage == 0 ? "stem" : fmt::format("stage{}", stage));
  };
  // transformers 5 writes the model in place of the backbone, except for the norm that only the model has.
  const bool has_model = (s / "swin" / "embeddings").exists();
  if (!has_model) s.ignore("swin");
  return swin_features(pixel_values, has_model ? s.base_model("swin") : s, config,
                       backbone_stages(config, swin_stages(config)), norm);
}

}  // namespace

void register_swin(TasksManager& tasks) {
  tasks.register_model<SwinOnnxConfig>(
      {.model_type = "swin",
       .tasks = {"feature-extraction", "image-classification", "masked-im"},
       .forward = forward,
       .ignorable_keys = {"embeddings.mask_token", "swin.embeddings.mask_token"},  // no task masks patches
       .key_names = {.newer = {{"attention.self.query", "attention.q_proj"},
                               {"attention.self.key", "attention.k_proj"},
                               {"attention.self.value", "attention.v_proj"},
                               {"attention.self.relative_position_bias_table",
                                "attention.relative_position_bias.relative_position_bias_table"},
                               {"attention.output.dense", "attention.o_proj"},
                               {"intermediate.dense", "mlp.fc1"},
                               {"output.dense", "mlp.fc2"}}},
       .roles = {.backbone = BackboneRole{features}}});
}

}  // namespace onnxport::models
