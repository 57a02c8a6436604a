// Granite Speech: a conformer over blocks of frames, whose windows a Q-Former sums up, in front of a language
// model. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/granite_speech/modeling_granite_speech.py
#include <fmt/format.h>

#include <cmath>
#include <vector>

#include "models/multimodal/common/decoders/audio_text.h"
#include "models/multimodal/common/features/qformer.h"
#include "onnxport/error.h"
#include "onnxport/nn/conformer.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/nn/relative_attention.h"

namespace onnxport::models {
namespace {

constexpr double kEps = 1e-5;  // torch's default, not configurable

PretrainedConfig language_config(const PretrainedConfig& c) { return c.sub("text_config", "granite"); }

struct EncoderConfig {
  std::int64_t in, width, layers, inner, heads, head_dim, units, block, distances;
  nn::ConformerConvParameters convolution;

  explicit EncoderConfig(const PretrainedConfig& c)
      : in(c.integer("input_dim")),
        width(c.integer("hidden_dim")),
        layers(c.integer("num_layers")),
        inner(width * c.integer("feedforward_mult")),
        heads(divisor(c, "num_heads")),
        head_dim(divisor(c, "dim_head")),
        units(c.integer("output_dim")),
        block(divisor(c, "context_size")),
        distances(c.integer("max_pos_emb")),
        convolution{.width = width,
                    .inner = width * divisor(c, "conv_expansion_factor"),
                    .kernel = divisor(c, "conv_kernel_size"),
                    .bias = nn::ConformerConvBias::pointwise,
                    .first = "up_conv",
                    .depthwise = "depth_conv.conv",
                    .second = "down_conv"} {
    constexpr std::int64_t kMost = 1 << 20;
    if (block <= distances && distances <= kMost) return;
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format("{}: context_size is {} and max_pos_emb is {}, expected a larger one up to {}",
                    c.origin(), block, distances, kMost));
  }
};

EncoderConfig encoder_config(const PretrainedConfig& c) {
  return EncoderConfig(c.sub("encoder_config", "granite_speech_encoder"));
}

// Frames in a window of the Q-Former, and the tokens that they become.
struct Windows {
  std::int64_t frames, tokens;

  explicit Windows(const PretrainedConfig& c) : frames(divisor(c, "window_size")), tokens(0) {
    const std::int64_t rate = divisor(c, "downsample_rate");
    check_multiple(c, "window_size", frames, "downsample_rate", rate);
    tokens = frames / rate;
  }
};

Dim pieces(const Dim& length, std::int64_t size) { return (length + Dim(size - 1)).floor_div(size); }

// x [B, L, H], with zeros at its end, in pieces: [B * number of pieces, size, H].
Value in_pieces(Value x, std::int64_t size) {
  const Dim count = pieces(x.dim(1), size);
  const Value padded = op::pad(x, {0, 0, 0}, {0, count * Dim(size) - x.dim(1), 0});
  return op::reshape(padded, {x.dim(0) * count, size, x.dim(2)});
}

// Which frames of the blocks are real: bool [B * blocks, size].
Value real_frames(Value x, std::int64_t size) {
  const Dim count = pieces(x.dim(1), size);
  Graph& graph = x.graph();
  const Value number = op::arange(graph, count * Dim(size));
  const Value real = op::lt(number, op::size(graph, x.dim(1)));
  const Value all = op::expand(op::reshape(real, {1, count, size}), {x.dim(0), count, size});
  return op::reshape(all, {x.dim(0) * count, size});
}

// Frames see those of their own block. A learned vector for each distance from a key to a query. (Shaw et al.
// 2018)
Value attend(const Scope& s, const EncoderConfig& c, Value x, Value real) {
  const ModulePath at(x, s.path());
  Graph& graph = x.graph();
  const std::int64_t inner = c.heads * c.head_dim;
  const nn::Linear to_q(s / "to_q", c.width, inner, false), to_kv(s / "to_kv", c.width, 2 * inner, false);
  const Value blocks = in_pieces(nn::LayerNorm(s / "pre_norm", c.width, kEps)(x), c.block);
  const Value query = to_q(blocks);
  const std::vector<Value> key_value = op::chunk(to_kv(blocks), -1, 2);
  std::vector<std::int64_t> rows;  // of the distances block, block - 1, …
  for (std::int64_t i = 0; i < 2 * c.block; ++i) rows.push_back(c.distances + c.block - i);
  const Weight table = (s / "rel_pos_emb").weight("weight", {2 * c.distances + 1, c.head_dim});
  const Value distances = graph.weight(table.take(Weight::from_ints({2 * c.block}, rows)));
  const Value scores = nn::distance_scores(query, distances, c.heads, c.block);
  const Value bias = op::mul(scores, 1 / std::sqrt(static_cast<double>(c.head_dim)));
  const op::AttentionOperands operands = {
      .query = query,
      .key = key_value[0],
      .value = key_value[1],
      .mask = {.padding = real, .bias = bias, .no_keys = op::NoKeys::uniform}};
  const Value attended = op::attention(operands, c.heads, c.heads).output;
  const Dim padded = pieces(x.dim(1), c.block) * Dim(c.block);
  const Value joined = op::reshape(attended, {x.dim(0), padded, inner});
  return nn::Linear(s / "to_out", inner, c.width)(op::slice(joined, 1, 0, x.dim(1)));
}

Value feed_forward(const Scope& s, const EncoderConfig& c, Value x) {
  const nn::LayerNorm norm(s / "pre_norm", c.width, kEps);
  const nn::Mlp mlp(s.path(), nn::Linear(s / "up_proj", c.width, c.inner),
                    nn::Linear(s / "down_proj", c.inner, c.width), "silu");
  return op::mul(mlp(norm(x)), 0.5);
}

// input_features [B, L, input_dim] -> [B, L, hidden_dim]
Value encode_frames(const Scope& s, const EncoderConfig& c, Value features) {
  const ModulePath at(features, s.path());
  Value x = nn::Linear(s / "input_linear", c.in, c.width)(features);
  const Value real = real_frames(x, c.block);
  for (std::int64_t i = 0; i < c.layers; ++i) {
    const Scope layer = s / "layers" / i;
    const ModulePath in(x, layer.path());
    const nn::LayerNorm before_convolution(layer / "conv" / "norm", c.width, kEps);
    x = op::add(feed_forward(layer / "ff1", c, x), x);
    x = op::add(attend(layer / "attn", c, x, real), x);
    x = op::add(nn::ConformerConv(layer / "conv", c.convolution)(before_convolution(x), {}), x);
    x = op::add(feed_forward(layer / "ff2", c, x), x);
    x = nn::LayerNorm(layer / "post_norm", c.width, kEps)(x);
    if (i + 1 != c.layers / 2) continue;
    // What the frames spell so far.
    const Value spelled = op::softmax(nn::Linear(s / "out", c.width, c.units)(x), -1);
    x = op::add(x, nn::Linear(s / "out_mid", c.units, c.width)(spelled));
  }
  return x;
}

class GraniteSpeechOnnxConfig : public AudioTextOnnxConfig {
 public:
  using AudioTextOnnxConfig::AudioTextOnnxConfig;
  Dim axis_length(std::string_view tensor, const std::string& symbol) const override {
    if (symbol != "num_audio_tokens") return AudioTextOnnxConfig::axis_length(tensor, symbol);
    const Windows windows(config().unaccounted());
    return pieces(Dim::symbol("num_frames"), windows.frames) * Dim(windows.tokens);
  }

 protected:
  AxesByName encoder_inputs() const override {
    return {{"input_features", {{0, "batch_size"}, {1, "num_frames"}}}};
  }
  AxesByName encoder_outputs() const override {
    return {{"audio_features", {{0, "batch_size"}, {1, "num_audio_tokens"}}}};
  }
  DummyInputGenerators encoder_dummies() const override {
    const EncoderConfig c = encoder_config(config().unaccounted());
    constexpr std::int64_t kFrames = 300;  // more would show nothing else, but attention takes long
    return {std::make_shared<const DummySoundGenerator>(
        AudioFeatures{.size = c.in, .frames = kFrames, .any_frames = true})};
  }
  PretrainedConfig text_config() const override { return language_config(config().unaccounted()); }
};

Value encode(const Inputs& inputs, const Model& model) {
  const PretrainedConfig& config = model.config();
  const EncoderConfig c = encoder_config(config);
  const Windows windows(config);
  const PretrainedConfig qformer = part_of_type(config, "projector_config", "blip_2_qformer");
  const std::int64_t width = qformer.integer("hidden_size");
  const Value frames = encode_frames(model.scope() / "encoder", c, inputs["input_features"]);
  const Scope s = model.scope() / "projector";
  const ModulePath at(frames, s.path());
  const Value query = frames.graph().weight(s.weight("query", {1, windows.tokens, width}));
  const Value looked = query_states(s / "qformer", qformer, query, in_pieces(frames, windows.frames));
  const Dim tokens = pieces(frames.dim(1), windows.frames) * Dim(windows.tokens);
  const Value joined = op::reshape(looked, {frames.dim(0), tokens, width});
  return nn::Linear(s / "linear", width,
                    language_config(config.unaccounted()).integer("hidden_size"))(joined);
}

// The original switches its adapter on for prompts with sound, and off for others. A file has one or the
// other.
void tell_of_adapter(const Model& model) {
  if (!model.config().flag("has_lora_adapter")) return;
  model.add_notice(
      model.adapters().empty()
          ? "has_lora_adapter is true, but no adapter was merged: prompts with sound need the one "
            "that belongs to the model; pass --adapter"
          : "the adapter is merged into decoder_model_merged, which is for prompts with sound: the "
            "original leaves the adapter out where there is none");
}

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                    const Component& component) {
  model.config().harmless({"audio_token_index"});  // for those who feed the files
  tell_of_adapter(model);
  return forward_audio_text(tasks, inputs, model, component, language_config, encode);
}

}  // namespace

void register_granite_speech(TasksManager& tasks) {
  register_multimodal_decoder<GraniteSpeechOnnxConfig>(
      tasks,
      {.model_type = "granite_speech",
       .forward = bound(tasks, forward),
       .key_names =
           multimodal_key_names({"encoder.layers", "encoder.input_linear", "encoder.out", "projector"})},
      "audio-text-to-text");
}

}  // namespace onnxport::models
