// Encoder and decoder of other types. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/encoder_decoder/modeling_encoder_decoder.py
#include "models/encoder_decoders/common/encoder_decoder.h"

#include <fmt/format.h>

#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/seq2seq.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

class EncoderDecoderOnnxConfig : public EncoderDecoderBaseOnnxConfig {
 public:
  using EncoderDecoderBaseOnnxConfig::EncoderDecoderBaseOnnxConfig;

 protected:
  AxesByName encoder_inputs() const override {
    const Axes tokens = {{0, "batch_size"}, {1, "encoder_sequence_length"}};
    return {{"input_ids", tokens}, {"attention_mask", tokens}};
  }
};

// Each part may set its own attention. A setting for the whole model would not reach the parts.
void check_attention(const PretrainedConfig& whole, const PretrainedConfig& part, const std::string& key) {
  if (!eager_attention(whole) || eager_attention(part)) return;
  throw ExportError(ErrorCode::unsupported,
                    fmt::format("{}: eager attention is set for the whole model; set it inside '{}', with "
                                "\"_attn_implementation\": \"eager\"",
                                whole.origin(), key));
}

// The type of a part, without reading its keys.
std::shared_ptr<const ModelDefinition> type_of(const TasksManager& tasks, const PretrainedConfig& config,
                                               const char* key, Role role) {
  return tasks.get_part(config.unaccounted().sub(key), key, role);
}

Value encode(const TasksManager& tasks, const Model& model, const Inputs& inputs, Role role) {
  const auto definition = type_of(tasks, model.config(), "encoder", role);
  const Model encoder = model.part("encoder", definition, "feature-extraction");
  check_attention(model.config(), encoder.config(), "encoder");
  const Component component{.name = "encoder", .task = "feature-extraction", .part = "encoder"};
  return definition->roles.encoder(role).encode(inputs, encoder, component).hidden;
}

Value decode(const TasksManager& tasks, const Model& model, nn::Seq2SeqPass& pass) {
  const auto definition = type_of(tasks, model.config(), "decoder", Role::cross_decoder);
  const Model decoder = model.part("decoder", definition, "text-generation");
  const PretrainedConfig& c = decoder.config();
  check_attention(model.config(), c, "decoder");
  for (const char* key : {"is_decoder", "add_cross_attention"}) {
    if (c.flag(key)) continue;
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: decoder.{} is false, expected true: the decoder of a '{}' attends to "
                                  "its encoder",
                                  c.origin(), key, model.config().model_type()));
  }
  const auto described = definition->onnx_config(c.unaccounted(), "text-generation", {});
  const std::int64_t from = pass.encoder_states().dim(2).constant().value();
  const std::int64_t to = described->normalized_config()["hidden_size"];
  // A decoder that knows the width of the states attends to them without a projection.
  if (const auto known = c.maybe_integer("cross_attention_hidden_size")) {
    if (*known != from) {
      throw ExportError(ErrorCode::bad_config,
                        fmt::format("{}: decoder.cross_attention_hidden_size is {}, expected the encoder's "
                                    "hidden_size {}",
                                    c.origin(), *known, from));
    }
  } else if (from != to) {
    const nn::Linear projection(model.scope() / "enc_to_dec_proj", from, to);
    pass.set_encoder_states(projection(pass.encoder_states()));
  }
  return definition->roles.cross_decoder->logits(pass, decoder);
}

}  // namespace

ModelDefinition encoder_decoder(TasksManager& tasks, std::string model_type, const std::string& task,
                                Role encoder_role) {
  const auto forward = [&tasks, encoder_role](const Inputs& inputs, const Model& model,
                                              const Component& component) {
    // Each file reads only the keys of its part. Parts have their own ties and padding.
    model.config().harmless(
        {"encoder", "decoder", "is_encoder_decoder", "tie_word_embeddings", "pad_token_id"});
    return nn::build_seq2seq_task(
        component, inputs,
        {.encode = [&](const Inputs& in) { return encode(tasks, model, in, encoder_role); },
         .decode = [&](nn::Seq2SeqPass& pass) { return decode(tasks, model, pass); },
         .lm_head = [](Value logits) { return logits; },
         .encoder_mask = inputs.has("attention_mask")});
  };
  const auto parts = [&tasks, encoder_role](const PretrainedConfig& config) -> std::vector<ModelPart> {
    return {{"encoder", type_of(tasks, config, "encoder", encoder_role)},
            {"decoder", type_of(tasks, config, "decoder", Role::cross_decoder)}};
  };
  const std::vector<std::string> all = {task, task + "-with-past"};
  const auto tasks_of = [&tasks, all](const PretrainedConfig& config) -> std::vector<std::string> {
    const auto decoder = type_of(tasks, config, "decoder", Role::cross_decoder);
    const bool cached = decoder->roles.cross_decoder->cache != CrossDecoder::Cache::none;
    return cached ? all : std::vector<std::string>{all.front()};
  };
  return {.model_type = std::move(model_type),
          .tasks = all,
          .forward = forward,
          .parts = parts,
          .tasks_of = tasks_of};
}

void register_encoder_decoder(TasksManager& tasks) {
  tasks.register_model<EncoderDecoderOnnxConfig>(
      encoder_decoder(tasks, "encoder-decoder", "text2text-generation", Role::text_model));
}

}  // namespace onnxport::models
