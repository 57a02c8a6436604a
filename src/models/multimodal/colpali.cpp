// ColPali: a vector for each patch and each token of a PaliGemma, to find pages by texts. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/colpali/modeling_colpali.py
#include "models/common/parts.h"
#include "models/multimodal/common/decoders/multimodal_decoder.h"
#include "models/multimodal/common/decoders/paligemma.h"
#include "models/multimodal/common/features/placeholders.h"
#include "models/multimodal/common/towers/clip.h"
#include "onnxport/nn/basic.h"

namespace onnxport::models {
namespace {

PretrainedConfig vlm_config(const PretrainedConfig& c) { return part_of_type(c, "vlm_config", "paligemma"); }

// Begins with the placeholders of an image, and has none behind them.
class DummyImagePromptGenerator : public DummyTextInputGenerator {
 public:
  DummyImagePromptGenerator(std::int64_t token, std::int64_t count) : token_(token), count_(count) {}
  TensorType type(std::string_view name, const DummyContext& context,
                  const DummyShapes& shapes) const override {
    return DummyTextInputGenerator::type(name, context, longer(shapes));
  }
  Tensor generate(std::string_view name, const DummyContext& context, const DummyShapes& shapes,
                  std::uint64_t seed) const override {
    Tensor made = DummyTextInputGenerator::generate(name, context, shapes, seed);  // asks for type()
    if (name != "input_ids") return made;
    std::vector<std::int64_t> ids = made.to_ints();
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const bool in_image = static_cast<std::int64_t>(i) % made.shape.at(1) < count_;
      if (in_image) ids[i] = token_;
      if (!in_image && ids[i] == token_) ids[i] = token_ > 0 ? token_ - 1 : 1;
    }
    return Tensor::from_ints(made.dtype, made.shape, ids);
  }

 private:
  DummyShapes longer(DummyShapes shapes) const {
    shapes.sequence_length += count_;
    return shapes;
  }
  std::int64_t token_, count_;
};

// Pages by default, queries in the variant `text`.
class ColPaliOnnxConfig : public TextAndVisionOnnxConfig {
 public:
  using TextAndVisionOnnxConfig::TextAndVisionOnnxConfig;
  std::vector<std::string> variants() const override { return {"default", "vision", "text"}; }
  AxesByName inputs() const override {
    const Axes tokens = {{0, "batch_size"}, {1, "sequence_length"}};
    AxesByName names = {{"input_ids", tokens}, {"attention_mask", tokens}};
    if (sees()) names.push_back({"pixel_values", {{0, "batch_size"}}});
    return names;
  }
  AxesByName outputs() const override {
    return {{"embeddings", {{0, "batch_size"}, {1, "sequence_length"}}}};
  }
  NormalizedConfig normalized_config() const override {
    const PretrainedConfig vlm = vlm_config(config().unaccounted());
    return normalized_towers(paligemma_text_config(vlm), paligemma_vision_config(vlm));
  }
  DummyInputGenerators dummy_input_generators() const override {
    if (!sees()) return {std::make_shared<const DummyTextInputGenerator>()};
    const PretrainedConfig vlm = vlm_config(config().unaccounted());
    const std::int64_t patches = ImageTowerConfig(paligemma_vision_config(vlm)).patches();
    return {std::make_shared<const DummyVisionInputGenerator>(),
            std::make_shared<const DummyImagePromptGenerator>(vlm.integer("image_token_index"), patches)};
  }

 private:
  bool sees() const { return options().variant != "text"; }
};

// The vectors of the tokens, or with inputs_embeds the hidden states.
Value run_language_model(const TasksManager& tasks, const Model& vlm, const Component& component,
                         const Inputs& inputs) {
  const PretrainedConfig text = paligemma_text_config(vlm.config());
  const auto type = tasks.get_part(text, "text_config", Role::language_model);
  Component language = component;
  language.interface.outputs = {
      {.name = inputs.has("inputs_embeds") ? "last_hidden_state" : "inputs_embeds"}};
  const Model part = vlm.part(text, "language_model", type, "feature-extraction");
  return type->roles.language_model->decode(inputs, part, language).at(0).second;
}

// All tokens see each other.
Value all_keys(Graph& graph) {
  const double yes[] = {1};
  return graph.weight_as_is(Weight::from_doubles(DType::boolean, {1, 1}, yes));
}

// Tokens, and the image if there is one, as the language model reads them: [B, S, H].
Value embed(const TasksManager& tasks, const Inputs& inputs, const Model& vlm, const Component& component) {
  const PretrainedConfig& c = vlm.config();
  const Value ids = inputs["input_ids"];
  const auto token = static_cast<double>(c.integer("image_token_index"));
  const Value placeholders = op::eq(ids, token);
  const bool in_table = token < static_cast<double>(paligemma_text_config(c).integer("vocab_size"));
  const Value known = in_table ? ids : op::masked_fill(ids, placeholders, 0);
  Value embeds = run_language_model(tasks, vlm, component, inputs.with("input_ids", known));
  if (inputs.has("pixel_values")) {
    paligemma_vision_config(c).harmless({"projection_dim"});
    const Value features = encode_paligemma(tasks, inputs, vlm);
    return write_features(embeds, placeholders, op::flatten(features, 0, 1));
  }
  c.harmless({"vision_config", "projection_dim"});
  for (const char* module : {"vision_tower", "multi_modal_projector"}) vlm.scope().ignore(module);
  return embeds;
}

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                    const Component& component) {
  const PretrainedConfig& c = model.config();
  const PretrainedConfig of_vlm = vlm_config(c);
  c.harmless({"text_config"});  // that of vlm_config counts
  of_vlm.harmless({"hidden_size", "vocab_size", "pad_token_id"});
  const Model vlm = model.part(of_vlm, "vlm", tasks.get_definition("paligemma"), "image-text-to-text");
  const Value mask = inputs["attention_mask"];
  Graph& graph = mask.graph();
  NamedValues vectors = {{"attention_mask", mask}};
  {
    const ModulePath at(graph, "vlm");
    const Value embeds = embed(tasks, inputs, vlm, component);
    const Value positions = op::unsqueeze(op::arange(graph, embeds.dim(1), 1), 0);
    vectors.insert(vectors.end(), {{"inputs_embeds", embeds}, {"position_ids", positions}});
  }
  const bool both_ways = paligemma_text_config(of_vlm).flag("use_bidirectional_attention", true);
  if (both_ways || c.transformers_major() < 5) vectors.emplace_back("visible_keys", all_keys(graph));
  const Value hidden = run_language_model(tasks, vlm, component, Inputs(std::move(vectors)));
  const nn::Linear project(model.scope() / "embedding_proj_layer", *hidden.dim(2).constant(),
                           c.integer("embedding_dim"));
  return {{"embeddings", unit_embeddings(project(hidden), mask)}};
}

}  // namespace

void register_colpali(TasksManager& tasks) {
  tasks.register_model<ColPaliOnnxConfig>(
      {.model_type = "colpali",
       .tasks = {"feature-extraction"},
       .forward = bound(tasks, forward),
       .ignorable_keys = {"vlm.language_model.lm_head.*", "vlm.lm_head.*"}});
}

}  // namespace onnxport::models
