// The U-shaped network that predicts the noise in the latents of an image, given a step and a text. Original:
// https://github.com/huggingface/diffusers/blob/v0.42.1/src/diffusers/models/unets/unet_2d_condition.py
#include <fmt/format.h>

#include "models/diffusion/common/component_config.h"
#include "onnxport/error.h"
#include "onnxport/nn/timestep.h"
#include "onnxport/nn/unet.h"

namespace onnxport::models {
namespace {

constexpr const char* kDefaults = R"({
  "sample_size": null, "in_channels": 4, "out_channels": 4, "center_input_sample": false,
  "flip_sin_to_cos": true, "freq_shift": 0,
  "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
  "mid_block_type": "UNetMidBlock2DCrossAttn",
  "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
  "only_cross_attention": false, "block_out_channels": [320, 640, 1280, 1280], "layers_per_block": 2,
  "downsample_padding": 1, "mid_block_scale_factor": 1, "dropout": 0.0, "act_fn": "silu",
  "norm_num_groups": 32, "norm_eps": 1e-05, "cross_attention_dim": 1280, "transformer_layers_per_block": 1,
  "reverse_transformer_layers_per_block": null, "encoder_hid_dim": null, "encoder_hid_dim_type": null,
  "attention_head_dim": 8, "num_attention_heads": null, "dual_cross_attention": false,
  "use_linear_projection": false, "class_embed_type": null, "addition_embed_type": null,
  "addition_time_embed_dim": null, "num_class_embeds": null, "upcast_attention": false,
  "resnet_time_scale_shift": "default", "resnet_skip_time_act": false, "resnet_out_scale_factor": 1.0,
  "time_embedding_type": "positional", "time_embedding_dim": null, "time_embedding_act_fn": null,
  "timestep_post_act": null, "time_cond_proj_dim": null, "conv_in_kernel": 3, "conv_out_kernel": 3,
  "projection_class_embeddings_input_dim": null, "attention_type": "default",
  "class_embeddings_concat": false, "mid_block_only_cross_attention": null, "cross_attention_norm": null,
  "addition_embed_type_num_heads": 64})";

// The numbers that describe the sizes of an image, beside the text: how many, and the width of each.
struct SizeConditions {
  std::int64_t count = 0, width = 0, text = 0;

  // `projected`: the width of all of them and of the vector of the text.
  SizeConditions(const PretrainedConfig& c, std::int64_t projected)
      : count(c.flag("requires_aesthetics_score", false) ? 5 : 6),
        width(divisor(c, "addition_time_embed_dim")),
        text(projected - count * width) {
    if (text >= 1) return;
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format("{}: projection_class_embeddings_input_dim is {}, expected more than {} times "
                    "addition_time_embed_dim, which is {}",
                    c.origin(), projected, count, width));
  }
};

std::optional<SizeConditions> size_conditions(const PretrainedConfig& c) {
  const auto kind = c.maybe_string("addition_embed_type");
  if (!kind) return {};
  if (*kind == "text_time") return SizeConditions(c, divisor(c, "projection_class_embeddings_input_dim"));
  throw ExportError(
      ErrorCode::unsupported,
      fmt::format("{}: addition_embed_type '{}', supported are text_time and none", c.origin(), *kind));
}

struct Config {
  std::int64_t in_channels, out_channels, groups, conv_in, conv_out, downsample_padding, time_width;
  std::vector<std::int64_t> widths, layers, heads, contexts, transformer_layers;
  std::vector<std::string> down, up;
  std::optional<std::string> middle;
  std::string activation;
  double eps, middle_divisor;
  bool linear, float32_scores, scale_shift, centered;
  nn::StepSinusoids sinusoids;
  std::int64_t time_condition;
  std::optional<SizeConditions> sizes;

  explicit Config(const PretrainedConfig& c)
      : in_channels(divisor(c, "in_channels")),
        out_channels(divisor(c, "out_channels")),
        groups(divisor(c, "norm_num_groups")),
        conv_in(kernel(c, "conv_in_kernel")),
        conv_out(kernel(c, "conv_out_kernel")),
        downsample_padding(c.integer("downsample_padding")),
        widths(c.integers("block_out_channels")),
        layers(per_block(c, "layers_per_block")),
        heads(per_block(c, "attention_head_dim")),  // the original's name for the number of heads
        contexts(per_block(c, "cross_attention_dim")),
        transformer_layers(per_block(c, "transformer_layers_per_block")),
        down(kinds(c, "down_block_types", "DownBlock2D", "CrossAttnDownBlock2D")),
        up(kinds(c, "up_block_types", "UpBlock2D", "CrossAttnUpBlock2D")),
        middle(c.maybe_string("mid_block_type")),
        activation(c.string("act_fn")),
        eps(c.real("norm_eps")),
        middle_divisor(c.real("mid_block_scale_factor")),
        linear(c.flag("use_linear_projection")),
        float32_scores(c.flag("upcast_attention")),
        scale_shift(one_of(c, "resnet_time_scale_shift", "default", "scale_shift") == "scale_shift"),
        centered(c.flag("center_input_sample")),
        sinusoids{widths.front(), c.flag("flip_sin_to_cos"), c.real("freq_shift")},
        time_condition(c.maybe_integer("time_cond_proj_dim").value_or(0)),
        sizes(size_conditions(c)) {
    time_width = c.maybe_integer("time_embedding_dim").value_or(4 * widths.front());
    one_of(c, "time_embedding_type", "positional", "positional");
    if (middle && *middle != "UNetMidBlock2DCrossAttn") {
      throw ExportError(ErrorCode::unsupported,
                        fmt::format("{}: mid_block_type '{}', supported are UNetMidBlock2DCrossAttn and none",
                                    c.origin(), *middle));
    }
    for (std::size_t i = 0; i < widths.size(); ++i) {
      check_multiple(c, "block_out_channels", widths[i], "norm_num_groups", groups);
      check_multiple(c, "block_out_channels", widths[i], "attention_head_dim", heads[i]);
    }
    c.harmless({"sample_size", "dropout"});
  }

  nn::ResnetBlock2dParameters block(std::int64_t in, std::int64_t out) const {
    return {.in = in,
            .out = out,
            .time = time_width,
            .groups = groups,
            .eps = eps,
            .activation = activation,
            .scale_shift = scale_shift};
  }
  nn::SpatialTransformerParameters transformer(std::size_t i) const {
    return {.channels = widths[i],
            .layers = transformer_layers[i],
            .heads = heads[i],
            .context = contexts[i],
            .groups = groups,
            .linear = linear,
            .float32_scores = float32_scores};
  }

 private:
  static std::int64_t kernel(const PretrainedConfig& c, const char* key) {
    const std::int64_t size = c.integer(key);
    if (size >= 1 && size % 2 == 1) return size;
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: {} is {}, expected an odd number", c.origin(), key, size));
  }
  static std::string one_of(const PretrainedConfig& c, const char* key, const char* first,
                            const char* second) {
    std::string value = c.string(key);
    if (value == first || value == second) return value;
    throw ExportError(ErrorCode::unsupported,
                      fmt::format("{}: {} is '{}', supported: {}{}", c.origin(), key, value, first,
                                  first == second ? "" : fmt::format(", {}", second)));
  }
  [[noreturn]] void fail_count(const PretrainedConfig& c, const char* key, std::size_t count) const {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: {} has {} entries, expected one for each of the {} widths in "
                                  "block_out_channels",
                                  c.origin(), key, count, widths.size()));
  }
  // One number for all blocks, or a list.
  std::vector<std::int64_t> per_block(const PretrainedConfig& c, const char* key) const {
    std::vector<std::int64_t> values = c.integers(key);
    if (values.size() == 1) values.resize(widths.size(), values.front());
    if (values.size() != widths.size() || values.empty()) fail_count(c, key, values.size());
    for (const std::int64_t value : values) {
      if (value < 1)
        throw ExportError(ErrorCode::bad_config,
                          fmt::format("{}: {} has {}, expected at least 1", c.origin(), key, value));
    }
    return values;
  }
  std::vector<std::string> kinds(const PretrainedConfig& c, const char* key, const char* plain,
                                 const char* crossed) const {
    std::vector<std::string> values = c.strings(key);
    if (values.size() != widths.size()) fail_count(c, key, values.size());
    for (const std::string& value : values) {
      if (value == plain || value == crossed) continue;
      throw ExportError(ErrorCode::unsupported, fmt::format("{}: {} has '{}', supported are {} and {}",
                                                            c.origin(), key, value, plain, crossed));
    }
    return values;
  }
};

// What conditions all blocks.
struct Conditions {
  Value time;  ///< [B or 1, time_width], after the activation
  Value text;  ///< [B, S, context]
};

nn::Conv2d same_size(const Scope& s, std::int64_t in, std::int64_t out, std::int64_t kernel) {
  return {s, in, out, {kernel, kernel}, true, {.padding = {kernel / 2, kernel / 2}}};
}

// [1 or B, time_width]
Value condition(const Scope& root, const Config& c, const Inputs& inputs) {
  const nn::StepEmbedding embed(root / "time_embedding", {.in = c.sinusoids.width,
                                                          .out = c.time_width,
                                                          .activation = c.activation,
                                                          .condition = c.time_condition});
  const Value step = op::unsqueeze(inputs["timestep"], 0);
  const Value time = embed(nn::step_sinusoids(step, c.sinusoids), inputs.get("timestep_cond"));
  if (!c.sizes) return time;
  const Scope s = root / "add_embedding";
  const ModulePath at(time, s.path());
  const Value text = inputs["text_embeds"];
  nn::StepSinusoids of_sizes = c.sinusoids;
  of_sizes.width = c.sizes->width;
  const Value numbers = nn::step_sinusoids(op::flatten(inputs["time_ids"], 0, 1), of_sizes);
  const Value sizes = op::reshape(numbers, {text.dim(0), c.sizes->count * c.sizes->width});
  const nn::StepEmbedding add(s,
                              {.in = c.sizes->text + c.sizes->count * c.sizes->width, .out = c.time_width});
  return op::add(time, add(op::concat({text, sizes}, 1)));
}

// The results of all layers, which the way up reads in reverse.
std::vector<Value> run_down(const Scope& root, const Config& c, Value x, const Conditions& given) {
  std::vector<Value> results = {x};
  std::int64_t width = c.widths.front();
  for (std::size_t i = 0; i < c.widths.size(); ++i) {
    const Scope s = root / "down_blocks" / static_cast<std::int64_t>(i);
    for (std::int64_t j = 0; j < c.layers[i]; ++j) {
      x = nn::ResnetBlock2d(s / "resnets" / j, c.block(width, c.widths[i]))(x, given.time);
      if (c.down[i] == "CrossAttnDownBlock2D")
        x = nn::SpatialTransformer(s / "attentions" / j, c.transformer(i))(x, given.text);
      results.push_back(x);
      width = c.widths[i];
    }
    if (i + 1 == c.widths.size()) continue;
    x = nn::Downsample2d(s / "downsamplers" / 0, width, c.downsample_padding)(x);
    results.push_back(x);
  }
  return results;
}

Value run_middle(const Scope& root, const Config& c, Value x, const Conditions& given) {
  if (!c.middle) return x;
  const Scope s = root / "mid_block";
  nn::ResnetBlock2dParameters block = c.block(c.widths.back(), c.widths.back());
  block.divisor = c.middle_divisor;
  x = nn::ResnetBlock2d(s / "resnets" / 0, block)(x, given.time);
  x = nn::SpatialTransformer(s / "attentions" / 0, c.transformer(c.widths.size() - 1))(x, given.text);
  return nn::ResnetBlock2d(s / "resnets" / 1, block)(x, given.time);
}

Value run_up(const Scope& root, const Config& c, Value x, std::vector<Value> results,
             const Conditions& given) {
  std::int64_t width = c.widths.back();
  for (std::size_t i = 0; i < c.widths.size(); ++i) {
    const std::size_t level = c.widths.size() - 1 - i;
    const Scope s = root / "up_blocks" / static_cast<std::int64_t>(i);
    for (std::int64_t j = 0; j < c.layers[level] + 1; ++j) {
      const Value skip = results.back();
      results.pop_back();
      const std::int64_t in = width + *skip.dim(1).constant();
      width = c.widths[level];
      x = op::concat({x, skip}, 1);
      x = nn::ResnetBlock2d(s / "resnets" / j, c.block(in, width))(x, given.time);
      if (c.up[i] == "CrossAttnUpBlock2D")
        x = nn::SpatialTransformer(s / "attentions" / j, c.transformer(level))(x, given.text);
    }
    if (level == 0) continue;
    // The size on the way down: twice as large, or one less if that was odd.
    const Value next = results.back();
    x = nn::Upsample2d(s / "upsamplers" / 0, width)(x, next.dim(2), next.dim(3));
  }
  return x;
}

class UNetOnnxConfig : public ComponentOnnxConfig {
 public:
  using ComponentOnnxConfig::ComponentOnnxConfig;

  std::vector<ComponentInput> tensors() const override {
    const PretrainedConfig c = config().unaccounted();
    const Dim batch = Dim::symbol("batch_size");
    std::vector<ComponentInput> inputs = {
        {"sample", {batch, c.integer("in_channels"), Dim::symbol("height"), Dim::symbol("width")}},
        {"timestep", {}},
        {"encoder_hidden_states",
         {batch, Dim::symbol("sequence_length"), c.integers("cross_attention_dim").at(0)}}};
    if (const auto sizes = size_conditions(c)) {
      inputs.push_back({"text_embeds", {batch, sizes->text}});
      inputs.push_back({"time_ids", {batch, sizes->count}});
    }
    if (const auto width = c.maybe_integer("time_cond_proj_dim"))
      inputs.push_back({"timestep_cond", {batch, *width}});
    return inputs;
  }
  AxesByName outputs() const override {
    return {{"out_sample", {{0, "batch_size"}, {2, "height"}, {3, "width"}}}};
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component&) {
  const Config c(model.config());
  const Scope root = model.scope();
  Value x = inputs["sample"];
  if (c.centered) x = op::sub(op::mul(x, 2.0), 1.0);
  const nn::Activation activation(c.activation);
  const Conditions given{activation(condition(root, c, inputs)), inputs["encoder_hidden_states"]};
  x = same_size(root / "conv_in", c.in_channels, c.widths.front(), c.conv_in)(x);
  std::vector<Value> results = run_down(root, c, x, given);
  const Value bottom = results.back();
  x = run_up(root, c, run_middle(root, c, bottom, given), std::move(results), given);
  x = nn::GroupNorm(root / "conv_norm_out", c.groups, c.widths.front(), c.eps)(x);
  x = activation(x);
  return {{"out_sample", same_size(root / "conv_out", c.widths.front(), c.out_channels, c.conv_out)(x)}};
}

}  // namespace

void register_unet_2d_condition(TasksManager& tasks) {
  PretrainedConfig::register_class_defaults("UNet2DConditionModel", kDefaults);
  register_component<UNetOnnxConfig>(tasks, "unet-2d-condition", "UNet2DConditionModel", forward);
}

}  // namespace onnxport::models
