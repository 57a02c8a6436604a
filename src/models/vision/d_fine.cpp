// D-FINE. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/d_fine/modeling_d_fine.py
#include <fmt/format.h>

#include <cmath>

#include "models/vision/common/rt_detr.h"
#include "onnxport/error.h"

namespace onnxport::models {
namespace {

// Half a block is rounded to an even number. -1: no such number.
std::int64_t block_count(double depth) { return depth >= 0 && depth <= 1024 ? std::lrint(3 * depth) : -1; }

struct Config : RtDetrConfig {
  explicit Config(const PretrainedConfig& c)
      : RtDetrConfig(c),
        bins(c.integer("max_num_bins")),
        top_values(c.integer("top_prob_values")),
        lqe_width(c.integer("lqe_hidden_dim")),
        lqe_layers(c.integer("lqe_layers")),
        blocks(block_count(c.real("depth_mult"))),
        eval_idx(c.integer("eval_idx")),
        points{.width = d_model,
               .heads = decoder_heads,
               .points = c.integers("decoder_n_points"),
               .offset_scale = c.real("decoder_offset_scale"),
               .reading = place_reading(c)} {
    c.harmless({"head_dim",         // d_model / decoder_attention_heads
                "reg_scale", "up",  // stored in the checkpoint
                "layer_scale"});    // of layers behind the last used one
    if (eval_idx < 0) eval_idx += decoder_layers;
    if (points.points.size() == 1) points.points.assign(static_cast<std::size_t>(levels), points.points[0]);
    const bool list = std::ssize(points.points) == levels;
    if (!list || bins < 4 || bins > 1 << 16 || bins % 2 != 0 || top_values < 1 || top_values > bins ||
        lqe_layers < 1 || blocks < 0 || eval_idx < 0 || eval_idx >= decoder_layers) {
      throw ExportError(
          ErrorCode::bad_config,
          fmt::format(
              "{}: decoder_n_points [{}], max_num_bins {}, top_prob_values {}, lqe_layers {}, {} blocks, "
              "eval_idx {}: expected one for each map, an even number of at least 4, fewer than that, "
              "at least 1, at least 0, and a layer",
              c.origin(), fmt::join(points.points, ", "), bins, top_values, lqe_layers, blocks, eval_idx));
    }
  }

  std::int64_t bins, top_values, lqe_width, lqe_layers, blocks, eval_idx;
  nn::DeformableParameters points;
};

// Keys: conv1, csp_rep1, conv2, csp_rep2, conv3, conv4.
ImagePart elan_block(const Scope& s, const Config& c) {
  const std::int64_t width = c.encoder_hidden_dim;
  // Python rounds down first, so nothing is left to round.
  const auto inner =
      static_cast<std::int64_t>(std::floor(c.hidden_expansion * static_cast<double>(width) / 2));
  const ImagePart conv1 = rt_detr_conv(s / "conv1", 2 * width, 2 * width, 1, 1, c, "silu");
  const ImagePart rep1 = csp_rep_layer(s / "csp_rep1", width, inner, inner, c.blocks, c);
  const ImagePart conv2 = rt_detr_conv(s / "conv2", inner, inner, 3, 1, c, "silu");
  const ImagePart rep2 = csp_rep_layer(s / "csp_rep2", inner, inner, inner, c.blocks, c);
  const ImagePart conv3 = rt_detr_conv(s / "conv3", inner, inner, 3, 1, c, "silu");
  const ImagePart conv4 = rt_detr_conv(s / "conv4", 2 * width + 2 * inner, width, 1, 1, c, "silu");
  return [=](Value x) {
    const Value both = conv1(x);
    const Value first = conv2(rep1(op::slice(both, 1, width, 2 * width)));
    const Value second = conv3(rep2(first));
    return conv4(op::concat({both, first, second}, 1));
  };
}

// The distances that the bins stand for: float32 [1, bins + 1]. They follow from two stored numbers.
Value bin_distances(Graph& graph, const Config& c, Value up, Value reg_scale) {
  const Value positive = op::abs(up);
  const Value bound = op::mul(positive, op::abs(reg_scale));
  const Value step = op::pow(op::add(bound, 1.0), 2.0 / static_cast<double>(c.bins - 2));
  std::vector<double> powers, signs;
  for (std::int64_t i = 1 - c.bins / 2; i < c.bins / 2; ++i) {
    powers.push_back(static_cast<double>(std::abs(i)));
    signs.push_back(i < 0 ? -1 : 1);
  }
  const auto row = [&](const std::vector<double>& values) {
    return graph.weight_as_is(Weight::from_doubles(DType::f32, {1, c.bins - 1}, values));
  };
  const Value base = op::reshape(step, {1, 1});
  const Value grown = op::sub(op::pow(base, row(powers)), 1.0);
  const Value inner = op::mul(grown, row(signs));
  const Value outer = op::reshape(op::mul(bound, 2.0), {1, 1});
  return op::concat({op::neg(outer), inner, outer}, 1);
}

// Boxes whose edges lie at these distances, [B, Q, 4], from the centres of other boxes, in parts of their
// sizes.
Value box_around(Value boxes, Value distances, Value reg_scale) {
  const Value centre = op::slice(boxes, 2, 0, 2);
  const Value scale = op::abs(reg_scale);
  const Value size = op::div(op::slice(boxes, 2, 2, 4), scale);
  const Value half = op::mul(scale, 0.5);
  const auto edge = [&](std::int64_t begin) {
    return op::mul(op::add(op::slice(distances, 2, begin, begin + 2), half), size);
  };
  const Value first = op::sub(centre, edge(0));
  const Value last = op::add(centre, edge(2));
  const Value middle = op::mul(op::add(first, last), 0.5);
  return op::concat({middle, op::sub(last, first)}, 2);
}

// Keys: self_attn, self_attn_layer_norm, encoder_attn, gateway.{gate, norm}, fc1, fc2, final_layer_norm.
Value decoder_layer(const Scope& s, const Config& c, Value x, Value positions, Value boxes,
                    const Proposals& from) {
  const ModulePath at(x, s.path());
  x = attend_to_queries(s, c, x, positions);
  const nn::DeformableSampling attention(s / "encoder_attn", c.points);
  (s / "encoder_attn").ignore("num_points_scale");  // follows from decoder_n_points
  const Value around = op::unsqueeze(boxes, 2);
  const Value seen = attention(op::add(x, positions), around, from.memory, from.sizes);
  const Scope gateway = s / "gateway";
  const Value both = op::concat({x, seen}, 2);
  const Value gates = op::sigmoid(nn::Linear(gateway / "gate", 2 * c.d_model, 2 * c.d_model)(both));
  const Value kept = op::mul(op::slice(gates, 2, 0, c.d_model), x);
  const Value added = op::mul(op::slice(gates, 2, c.d_model, 2 * c.d_model), seen);
  x = nn::LayerNorm(gateway / "norm", c.d_model, 1e-5)(op::add(kept, added));
  const Value inner =
      nn::Activation(c.decoder_activation)(nn::Linear(s / "fc1", c.d_model, c.decoder_ffn_dim)(x));
  const Value out = nn::Linear(s / "fc2", c.decoder_ffn_dim, c.d_model)(inner);
  const Value sum = op::clamp(op::add(x, out), -65504, 65504);
  return nn::LayerNorm(s / "final_layer_norm", c.d_model, c.layer_norm_eps)(sum);
}

NamedValues decode(const Scope& root, const Scope& base, const Config& c, const Proposals& start) {
  const Scope s = base / "decoder", heads = rt_detr_heads(root, base);
  const ModulePath at(start.target, s.path());
  Graph& graph = start.target.graph();
  const auto number = [&](const char* name) {
    return graph.weight_as_is(s.weight(name, {1}).cast(DType::f32));
  };
  const Value up = number("up"), reg_scale = number("reg_scale");
  const Value distances = bin_distances(graph, c, up, reg_scale);
  const Shape by_edge = {start.target.dim(0), c.num_queries, 4, c.bins + 1};
  Value x = start.target, boxes = start.boxes, first_boxes, corners, before;
  for (std::int64_t i = 0; i <= c.eval_idx; ++i) {
    const Value places = op::cast(boxes, x.dtype());
    const Value positions =
        op::clamp(linear_stack(s / "query_pos_head", places, 2 * c.d_model, c.d_model, 2), -10, 10);
    x = decoder_layer(s / "layers" / i, c, x, positions, boxes, start);
    if (i == 0) {
      const Value moved = op::cast(linear_stack(s / "pre_bbox_head", x, c.d_model, 4, 3), DType::f32);
      first_boxes = op::sigmoid(op::add(moved, inverse_sigmoid(boxes)));
    }
    const Value changed = linear_stack(heads / "bbox_embed" / i, before ? op::add(x, before) : x, c.d_model,
                                       4 * (c.bins + 1), 3);
    corners = corners ? op::add(changed, corners) : changed;
    before = x;
    const Value shares = op::softmax(op::cast(op::reshape(corners, by_edge), DType::f32), 3);
    boxes = box_around(first_boxes, op::sum(op::mul(shares, distances), 3), reg_scale);
  }
  const Value scores = nn::Linear(heads / "class_embed" / c.eval_idx, c.d_model, c.num_labels)(x);
  // How sure the model is of the edges changes the scores.
  const Value shares = op::softmax(op::cast(op::reshape(corners, by_edge), DType::f32), 3);
  const Value best = op::topk(shares, c.top_values, 3).values;
  const Value all = op::concat({best, op::mean(best, 3, true)}, 3);
  const Value stats = op::cast(op::flatten(all, 2, 3), x.dtype());
  const Value quality =
      linear_stack(s / "lqe_layers" / c.eval_idx / "reg_conf", stats, c.lqe_width, 1, c.lqe_layers);
  for (std::int64_t i = 0; i < 2 * c.decoder_layers; ++i) {  // for training
    if (i == c.eval_idx) continue;
    for (const Scope& part : {heads / "class_embed", s / "lqe_layers"}) part.ignore(std::to_string(i));
    if (i < c.eval_idx) continue;
    for (const Scope& part : {heads / "bbox_embed", s / "layers"}) part.ignore(std::to_string(i));
  }
  return {{"logits", op::add(scores, quality)}, {"pred_boxes", op::cast(boxes, x.dtype())}};
}

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model) {
  const PretrainedConfig& config = model.config();
  const Config c(config);
  const Scope root = model.scope();
  const Scope base = root.base_model("model");
  const std::int64_t width = c.encoder_hidden_dim;
  const auto block = [&](const Scope& s) { return elan_block(s, c); };
  const PyramidParts parts = {
      .lateral = [&](const Scope& s) { return rt_detr_conv(s, width, width, 1, 1, c, ""); },
      .fpn = block,
      .downsample =
          [&](const Scope& s) {
            const ImagePart mix = rt_detr_conv(s / "conv1", width, width, 1, 1, c, "");
            const ImagePart shrink = rt_detr_conv(s / "conv2", width, width, 3, 2, c, "", width);
            return ImagePart([=](Value x) { return shrink(mix(x)); });
          },
      .pan = block};
  std::vector<Value> maps = rt_detr_features(tasks, base, config, c, detector_images(inputs), "hgnet_v2");
  maps = hybrid_encoder(base / "encoder", c, std::move(maps), parts);
  if (c.d_model != c.decoder_in_channels.back()) maps = decoder_inputs(base, c, maps);
  const NamedValues found = decode(root, base, c, propose(base, config, c, maps));
  return detector_outputs(inputs, found[0].second, found[1].second);
}

}  // namespace

void register_d_fine(TasksManager& tasks) {
  tasks.register_model<RtDetrOnnxConfig>(
      {.model_type = "d_fine",
       .tasks = {"object-detection"},
       .forward = [&tasks](const Inputs& inputs, const Model& model,
                           const Component&) { return forward(tasks, inputs, model); },
       .key_names = rt_detr_names("mlp.layers.0", "mlp.layers.1")});
}

}  // namespace onnxport::models
