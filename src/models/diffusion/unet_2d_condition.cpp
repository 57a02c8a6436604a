// The U-shaped network that predicts the noise in the latents of an image, given a step and a text. Original:
// https://github.com/huggingface/diffusers/blob/v0.42.1/src/diffusers/models/unets/unet_2d_condition.py
#include "models/diffusion/common/component_config.h"
#include "models/diffusion/common/unet_config.h"
#include "onnxport/nn/timestep.h"
#include "onnxport/nn/unet.h"

namespace onnxport::models {
namespace {

// What conditions all blocks.
struct Conditions {
  Value time;  ///< [B or 1, time_width], after the activation
  Value text;  ///< [B, S, context]
};

nn::Conv2d same_size(const Scope& s, std::int64_t in, std::int64_t out, std::int64_t kernel) {
  return {s, in, out, {kernel, kernel}, true, {.padding = {kernel / 2, kernel / 2}}};
}

// [1 or B, time_width]
Value condition(const Scope& root, const UNetConfig& c, const Inputs& inputs) {
  const nn::StepEmbedding embed(root / "time_embedding", {.in = c.sinusoids.width,
                                                          .out = c.time_width,
                                                          .activation = c.activation,
                                                          .condition = c.time_condition});
  const Value step = op::unsqueeze(inputs["timestep"], 0);
  Value time = embed(nn::step_sinusoids(step, c.sinusoids), inputs.get("timestep_cond"));
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
std::vector<Value> run_down(const Scope& root, const UNetConfig& c, Value x, const Conditions& given) {
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

Value run_middle(const Scope& root, const UNetConfig& c, Value x, const Conditions& given) {
  if (!c.middle) return x;
  const Scope s = root / "mid_block";
  nn::ResnetBlock2dParameters block = c.block(c.widths.back(), c.widths.back());
  block.divisor = c.middle_divisor;
  x = nn::ResnetBlock2d(s / "resnets" / 0, block)(x, given.time);
  x = nn::SpatialTransformer(s / "attentions" / 0, c.transformer(c.widths.size() - 1))(x, given.text);
  return nn::ResnetBlock2d(s / "resnets" / 1, block)(x, given.time);
}

Value run_up(const Scope& root, const UNetConfig& c, Value x, std::vector<Value> results,
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
  const UNetConfig c(model.config());
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
  register_component<UNetOnnxConfig>(tasks, "unet-2d-condition", {"UNet2DConditionModel"}, kUNetDefaults,
                                     forward);
}

}  // namespace onnxport::models
