#include "models/multimodal/common/decoders/blip2.h"

#include <string>

#include "models/common/parts.h"
#include "onnxport/nn/basic.h"

namespace onnxport::models {

NamedValues forward_blip2(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                          const Component& component, const Blip2Types& types, bool text) {
  const PretrainedConfig& c = model.config();
  // For those who feed the files; of training; of other tasks; what the type of the language model says, too.
  c.harmless({"image_token_index", "image_token_id", "initializer_factor", "image_text_hidden_size",
              "use_decoder_only_language_model", "is_encoder_decoder", "qformer_config", "num_query_tokens"});
  const auto encode = [&](const Inputs& in, const Component&) -> NamedValues {
    const Scope s = model.scope();
    // BLIP's tower for images of three channels.
    const PretrainedConfig vision = c.sub("vision_config").as(types.vision).settled("num_channels", "3");
    const std::string tower_width = std::to_string(vision.integer("hidden_size"));
    // Its class always takes the width of the tower.
    const PretrainedConfig qformer =
        c.sub("qformer_config").as(types.qformer).settled("encoder_hidden_size", tower_width);
    const Value states = encode_as(tasks, "blip_vision_model", in, model, vision, "vision_model").hidden;
    const std::int64_t count = c.integer("num_query_tokens"), width = qformer.integer("hidden_size");
    const Value queries = states.graph().weight(s.weight("query_tokens", {1, count, width}));
    QueryText looked_for;
    if (text) looked_for = {in["qformer_input_ids"], in["qformer_attention_mask"]};
    const Value found = query_states(s / "qformer", qformer, queries, states, looked_for);
    const PretrainedConfig language = c.unaccounted().sub("text_config", "opt");
    const std::int64_t out =
        language.integer(is_seq2seq_type(language.model_type()) ? "d_model" : "hidden_size");
    return {{"image_features", nn::Linear(s / "language_projection", width, out)(found)}};
  };
  const auto language = [](const PretrainedConfig& whole) { return whole.sub("text_config", "opt"); };
  const bool seq2seq = is_seq2seq_type(language(c.unaccounted()).model_type());
  if (!seq2seq || component.part == kVisionEncoder)
    return forward_multimodal_decoder(tasks, inputs, model, component, language, encode);
  c.harmless({"text_config", "vision_config", "tie_word_embeddings", "pad_token_id"});
  return forward_multimodal_seq2seq(tasks, inputs, model, component, language(c));
}

}  // namespace onnxport::models
