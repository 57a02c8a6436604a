// Segment Anything: an image encoder with windows, points as prompts, and a mask decoder. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/sam/modeling_sam.py
#include "models/vision/common/sam.h"

#include <fmt/format.h>

#include "models/vision/common/sam_dummy_inputs.h"
#include "onnxport/error.h"
#include "onnxport/plan.h"

namespace onnxport::models {
namespace {

template <class... Args>
void require(bool fits, fmt::format_string<Args...> message, Args&&... args) {
  if (!fits) throw ExportError(ErrorCode::bad_config, fmt::format(message, std::forward<Args>(args)...));
}

struct Config {
  SamVisionConfig vision;
  SamDecoderConfig decoder;

  explicit Config(const PretrainedConfig& c)
      : vision(c.sub("vision_config", "sam_vision_model")), decoder(c.sub("mask_decoder_config")) {
    // The others concern masks and boxes as inputs, which the exported interface does not have. The class
    // computes the last one.
    const PretrainedConfig prompt = c.sub("prompt_encoder_config");
    prompt.harmless({"mask_input_channels", "num_point_embeddings", "hidden_act", "layer_norm_eps",
                     "image_embedding_size"});
    const std::int64_t width = prompt.integer("hidden_size");
    const std::int64_t size = prompt.integer("image_size"), patch = prompt.integer("patch_size");
    require(size == vision.image_size && patch == vision.patch_size,
            "{}: images of {} with patches of {} in prompt_encoder_config, of {} with {} in vision_config",
            c.origin(), size, patch, vision.image_size, vision.patch_size);
    require(
        width == decoder.hidden_size && width == vision.output_channels && width == 2 * vision.num_pos_feats,
        "{}: hidden_size of prompt_encoder_config is {}, expected that of mask_decoder_config ({}), "
        "output_channels ({}) and twice num_pos_feats ({}) of vision_config",
        c.origin(), width, decoder.hidden_size, vision.output_channels, vision.num_pos_feats);
  }
};

// ---- the exported interface ----

constexpr const char* kVisionEncoder = "vision_encoder";
constexpr const char* kMaskDecoder = "prompt_encoder_mask_decoder";

/// Two components, so that an image is encoded once for many points, or one.
class SamOnnxConfig : public OnnxConfig {
 public:
  explicit SamOnnxConfig(PretrainedConfig config, std::string task, OnnxConfigOptions options,
                         std::string part = {})
      : OnnxConfig(std::move(config), std::move(task), std::move(options)), part_(std::move(part)) {}

  std::string part() const override { return part_; }
  std::vector<std::string> variants() const override { return {"default", "split", "monolith"}; }
  void describe(ExportPlan& plan, const PlanRequest& request) const override {
    if (request.split == Split::monolith || request.variant == "monolith")
      return OnnxConfig::describe(plan, request);
    for (const char* part : {kVisionEncoder, kMaskDecoder}) {
      const SamOnnxConfig described(config(), task(), options(), part);
      plan.components.push_back(described.component(part, request.shapes, request.dynamic_axes));
    }
  }
  AxesByName inputs() const override {
    const Axes images = {{0, "batch_size"}};
    const Axes points = {{0, "batch_size"}, {1, "point_batch_size"}, {2, "nb_points_per_image"}};
    AxesByName names;
    if (part_ == kMaskDecoder)
      names = {{"image_positional_embeddings", images}, {"image_embeddings", images}};
    else
      names = {{"pixel_values", images}};
    if (part_ == kVisionEncoder) return names;
    names.emplace_back("input_points", points);
    names.emplace_back("input_labels", points);
    return names;
  }
  AxesByName outputs() const override {
    const Axes images = {{0, "batch_size"}};
    if (part_ == kVisionEncoder)
      return {{"image_embeddings", images}, {"image_positional_embeddings", images}};
    const Axes points = {{0, "batch_size"}, {1, "point_batch_size"}};
    return {{"iou_scores", points}, {"pred_masks", points}};
  }
  NormalizedConfig normalized_config() const override {
    return NormalizedVisionConfig(config().unaccounted().sub("vision_config", "sam_vision_model"));
  }
  DummyInputGenerators dummy_input_generators() const override {
    return {std::make_shared<const DummyVisionInputGenerator>(),
            std::make_shared<const DummySamInputGenerator>(Config(config().unaccounted()).vision)};
  }

 private:
  std::string part_;
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  Value image, positions;
  if (component.part == kMaskDecoder) {
    image = inputs["image_embeddings"];
    positions = inputs["image_positional_embeddings"];
  } else {
    image = encode_sam_image(root / "vision_encoder", c.vision, inputs["pixel_values"]);
    positions = image.graph().weight(sam_image_positions(root, c.vision));
  }
  if (component.part == kVisionEncoder)
    return {{"image_embeddings", image},
            {"image_positional_embeddings", op::expand(positions, image.shape())}};

  const Value prompts = embed_sam_points(root, c.vision, inputs["input_points"], inputs["input_labels"]);
  const Weight no_mask =
      (root / "prompt_encoder" / "no_mask_embed").weight("weight", {1, c.decoder.hidden_size});
  const Value placed =
      op::add(image, image.graph().weight(no_mask.reshape({1, c.decoder.hidden_size, 1, 1})));
  return decode_masks(root / "mask_decoder", c.decoder, placed, positions, prompts);
}

}  // namespace

void register_sam(TasksManager& tasks) {
  // The exported model does not take masks or boxes as prompts. The last key is a copy of
  // shared_image_embedding.
  tasks.register_model<SamOnnxConfig>(
      {.model_type = "sam",
       .tasks = {"feature-extraction"},
       .forward = forward,
       .ignorable_keys = {"prompt_encoder.mask_embed.*", "prompt_encoder.point_embed.2.weight",
                          "prompt_encoder.point_embed.3.weight",
                          "prompt_encoder.shared_embedding.positional_embedding"}});
}

}  // namespace onnxport::models
