// ViViT: a ViT for patches of several frames. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/vivit/modeling_vivit.py
#include <fmt/format.h>

#include "models/vision/common/video.h"
#include "models/vision/common/vit.h"
#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/pre_norm_encoder.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/nn/video.h"

namespace onnxport::models {
namespace {

class VivitOnnxConfig : public VideoOnnxConfig {
 public:
  using VideoOnnxConfig::VideoOnnxConfig;
  AxesByName outputs() const override {
    AxesByName outputs = VideoOnnxConfig::outputs();
    if (task() == "feature-extraction") outputs.push_back({"pooler_output", {{0, "batch_size"}}});
    return outputs;
  }
};

struct Config : ViTEncoderConfig {
  std::int64_t num_channels, num_frames, image_size;
  std::vector<std::int64_t> tubelet;  ///< frames, rows and columns of a patch

  explicit Config(const PretrainedConfig& c)
      : ViTEncoderConfig(c),
        num_channels(c.integer("num_channels")),
        num_frames(c.integer("num_frames")),
        image_size(c.integer("image_size")),
        tubelet(c.integers("tubelet_size")) {
    constexpr std::int64_t most = std::int64_t{1} << 20;
    const auto fits = [&](std::size_t axis, std::int64_t extent) {
      return tubelet[axis] >= 1 && tubelet[axis] <= extent && extent <= most;
    };
    if (tubelet.size() != 3 || !fits(0, num_frames) || !fits(1, image_size) || !fits(2, image_size)) {
      throw ExportError(
          ErrorCode::bad_config,
          fmt::format("{}: no patch of tubelet_size [{}] fits {} frames of {} by {} pixels", c.origin(),
                      fmt::join(tubelet, ", "), num_frames, image_size, image_size));
    }
  }

  std::int64_t tokens() const {
    return num_frames / tubelet[0] * (image_size / tubelet[1]) * (image_size / tubelet[2]);
  }
};

Value embed(const Scope& s, const Config& c, Value video) {
  const nn::VideoPatches patches(s / "patch_embeddings" / "projection",
                                 {.channels = c.num_channels,
                                  .hidden_size = c.hidden_size,
                                  .frames = c.tubelet[0],
                                  .patch = {c.tubelet[1], c.tubelet[2]}});
  const Weight token = s.weight("cls_token", {1, 1, c.hidden_size});
  const Weight positions = s.weight("position_embeddings", {1, 1 + c.tokens(), c.hidden_size});
  const Value tokens = patches(video);
  const ModulePath at(tokens, s.path());
  Graph& graph = tokens.graph();
  const Value first = op::expand(graph.weight(token), {tokens.dim(0), 1, c.hidden_size});
  const Value places = graph.weight(positions);
  return op::add(op::concat({first, tokens}, 1), places);
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope(), s = root.base_model("vivit");
  const nn::PreNormEncoder encoder(s / "encoder" / "layer", c.num_hidden_layers, c.layer());
  const nn::LayerNorm norm(s / "layernorm", c.hidden_size, c.layer_norm_eps);
  const Value hidden = norm(encoder(embed(s / "embeddings", c, inputs["pixel_values"])));
  if (component.task == "feature-extraction") {
    const nn::Pooler pooler(s / "pooler" / "dense", c.hidden_size);
    return {{"last_hidden_state", hidden}, {"pooler_output", pooler(hidden)}};
  }
  const nn::Linear classifier(root / "classifier", c.hidden_size, c.num_labels);
  return {{"logits", classifier(nn::first_token(hidden))}};
}

}  // namespace

void register_vivit(TasksManager& tasks) {
  tasks.register_model<VivitOnnxConfig>({.model_type = "vivit",
                                         .tasks = {"feature-extraction", "video-classification"},
                                         .forward = forward,
                                         .key_names = vit_key_names()});
}

}  // namespace onnxport::models
