#include "models/audio/common/musicgen_config.h"

#include <algorithm>

#include "models/audio/common/codec.h"
#include "onnxport/error.h"
#include "onnxport/plan.h"

namespace onnxport::models {
namespace {

// Steps of the ids that are delayed: their number is fixed in today's files.
constexpr std::int64_t kPrompt = 16;

/// All inputs of MusicGen. `one_token`: the decoder takes one token per row. `fixed`: the ids have kPrompt
/// steps.
class DummyMusicgenInputGenerator : public DummyInputGenerator {
 public:
  DummyMusicgenInputGenerator(std::int64_t width, std::int64_t codebooks, bool of_rows, bool one_token,
                              bool fixed)
      : seq2seq_(width), codebooks_(codebooks), of_rows_(of_rows), one_token_(one_token), fixed_(fixed) {}
  bool supports_input(std::string_view name) const override {
    return name == "pad_token_id" || name == "max_length" || text_.supports_input(name) ||
           seq2seq_.supports_input(name);
  }
  TensorType type(std::string_view name, const DummyContext& context,
                  const DummyShapes& shapes) const override {
    if (name == "pad_token_id" || name == "max_length") return {context.int_dtype, {1}};
    return others(name).type(name, context, sized(name, shapes));
  }
  Tensor generate(std::string_view name, const DummyContext& context, const DummyShapes& shapes,
                  std::uint64_t seed) const override {
    if (!text_.supports_input(name) && !seq2seq_.supports_input(name)) {
      const std::int64_t length = kPrompt + shapes.sequence_length + 2 * codebooks_;
      const std::int64_t number = name == "max_length" ? length : context.normalized["vocab_size"];
      return Tensor::from_ints(context.int_dtype, {1}, std::vector<std::int64_t>{number});
    }
    return others(name).generate(name, context, sized(name, shapes), seed);
  }

 private:
  DummyShapes sized(std::string_view name, DummyShapes shapes) const {
    if (name != "input_ids" || !of_rows_) return shapes;
    shapes.batch_size *= codebooks_;
    if (one_token_) shapes.sequence_length = 1;
    if (fixed_) shapes.sequence_length = kPrompt;
    return shapes;
  }
  const DummyInputGenerator& others(std::string_view name) const {
    if (text_.supports_input(name)) return text_;
    return seq2seq_;
  }
  DummyTextInputGenerator text_;
  DummySeq2SeqInputGenerator seq2seq_;
  std::int64_t codebooks_;
  bool of_rows_, one_token_, fixed_;
};

}  // namespace

std::shared_ptr<const ModelDefinition> musicgen_text_encoder(const PretrainedConfig& config) {
  return TasksManager::instance().get_part(config.unaccounted().sub("text_encoder"), "text_encoder",
                                           Role::text_model);
}

void MusicgenOnnxConfig::describe(ExportPlan& plan, const PlanRequest& request) const {
  if (request.split == Split::monolith)
    throw ExportError(ErrorCode::unsupported, "--monolith: MusicGen has a file for each of its parts");
  const auto add = [&](const char* name, const OnnxConfig& described) {
    plan.components.push_back(described.component(name, request.shapes, request.dynamic_axes));
  };
  const auto add_part = [&](const char* name) {
    add(name, MusicgenOnnxConfig(config(), task(), options(), name));
  };
  add_part("text_encoder");
  add_part("encodec_decode");
  add("decoder_model", *with_behavior(ConfigBehavior::decoder, true));
  add("decoder_with_past_model", *with_behavior(ConfigBehavior::decoder, true, true));
  add_part("build_delay_pattern_mask");
  if (request.split != Split::merged) return;
  plan.merges.push_back({.name = "decoder_model_merged",
                         .stem = "decoder_model_merged",
                         .without_past = "decoder_model",
                         .with_past = "decoder_with_past_model"});
}

AxesByName MusicgenOnnxConfig::inputs() const {
  const Axes tokens = {{0, "batch_size"}, {1, "encoder_sequence_length"}};
  if (part() == "text_encoder") return {{"input_ids", tokens}, {"attention_mask", tokens}};
  if (part() == "encodec_decode") return {{"audio_codes", {{1, "batch_size"}, {3, "chunk_length"}}}};
  if (part() == "build_delay_pattern_mask")
    return {{"input_ids", {{0, "batch_size_x_num_codebooks"}}}, {"pad_token_id", {}}, {"max_length", {}}};
  Axes ids = {{0, "total_batch_size_x_num_codebooks"}};
  if (!use_past_in_inputs()) ids[1] = "decoder_sequence_length";
  AxesByName inputs = {{"input_ids", ids},
                       {"encoder_hidden_states", {{0, "total_batch_size"}, {1, "encoder_sequence_length"}}},
                       {"encoder_attention_mask", tokens}};
  if (use_past_in_inputs()) add_past_key_values(inputs, Direction::inputs);
  return inputs;
}

AxesByName MusicgenOnnxConfig::outputs() const {
  if (part() == "text_encoder")
    return {{"last_hidden_state", {{0, "batch_size"}, {1, "encoder_sequence_length"}}}};
  if (part() == "encodec_decode") return {{"audio_values", {{0, "batch_size"}, {2, "audio_length"}}}};
  if (part() == "build_delay_pattern_mask") {
    const std::string rows = "total_batch_size_x_num_codebooks";
    return {{"input_ids_edited", {{0, rows}}}, {"delay_pattern_mask", {{0, rows}, {1, "max_length"}}}};
  }
  const std::string length = use_past_in_inputs() ? "1" : "decoder_sequence_length";
  AxesByName outputs = {{"logits", {{0, "batch_size"}, {1, length}}}};
  if (use_past()) add_past_key_values(outputs, Direction::outputs);
  return outputs;
}

Dim MusicgenOnnxConfig::axis_length(std::string_view tensor, const std::string& symbol) const {
  Dim batch = Dim::symbol("batch_size");
  if (symbol == "total_batch_size") return batch;
  // The list has two names for the rows of ids.
  if (part() == "build_delay_pattern_mask" && symbol.starts_with("total_"))
    return Dim::symbol("batch_size_x_num_codebooks");
  // The list gives the rows of logits the name of the batch.
  const bool rows = tensor == "logits" && symbol == "batch_size";
  if (rows || symbol == "total_batch_size_x_num_codebooks") return batch * codebooks();
  // With a past, the decoder takes one token.
  if (use_past_in_inputs() && tensor.starts_with("present.") && symbol.find('+') != symbol.npos)
    return Dim::symbol("past_decoder_sequence_length") + 1;
  return OnnxSeq2SeqConfigWithPast::axis_length(tensor, symbol);
}

NormalizedConfig MusicgenOnnxConfig::normalized_config() const {
  return NormalizedSeq2SeqConfig(config()).with_args(
      {{"vocab_size", part() == "text_encoder" ? "text_encoder.vocab_size" : "decoder.vocab_size"},
       {"hidden_size", "decoder.hidden_size"},
       {"decoder_num_layers", "decoder.num_hidden_layers"},
       {"decoder_num_attention_heads", "decoder.num_attention_heads"}});
}

std::int64_t MusicgenOnnxConfig::codebooks() const {
  return divisor(config().unaccounted().sub("decoder", "musicgen_decoder"), "num_codebooks");
}

std::int64_t MusicgenOnnxConfig::encoder_width() const {
  const auto described = musicgen_text_encoder(config())->onnx_config(
      config().unaccounted().sub("text_encoder"), "feature-extraction", {});
  return described->normalized_config()["hidden_size"];
}

DummyInputGenerators MusicgenOnnxConfig::dummy_input_generators() const {
  // The codec makes one channel of sound. For two, its file runs twice, each time with every other codebook.
  const std::int64_t channels =
      config().unaccounted().sub("decoder", "musicgen_decoder").integer("audio_channels");
  const CodecSizes sizes{
      .codebooks = channels == 2 ? codebooks() / 2 : codebooks(),
      .codebook_size = config().unaccounted().sub("audio_encoder", "encodec").integer("codebook_size")};
  return {std::make_shared<const DummyCodecInputGenerator>(sizes, true),
          std::make_shared<const DummyMusicgenInputGenerator>(encoder_width(), codebooks(),
                                                              part() != "text_encoder", use_past_in_inputs(),
                                                              part() == "build_delay_pattern_mask")};
}

}  // namespace onnxport::models
