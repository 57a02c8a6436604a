#include "models/audio/common/speecht5_config.h"

#include <algorithm>

#include "onnxport/error.h"
#include "onnxport/plan.h"

namespace onnxport::models {
namespace {

constexpr const char* kVocoder = "decoder_postnet_and_vocoder";

/// All inputs of SpeechT5, for one text.
class DummySpeechT5InputGenerator : public DummyInputGenerator {
 public:
  DummySpeechT5InputGenerator(std::int64_t width, std::int64_t mel_bins, std::int64_t speaker)
      : seq2seq_(width), mel_bins_(mel_bins), speaker_(speaker) {}
  bool supports_input(std::string_view name) const override {
    return is_sound(name) || text_.supports_input(name) || seq2seq_.supports_input(name);
  }
  TensorType type(std::string_view name, const DummyContext& context,
                  const DummyShapes& given) const override {
    const DummyShapes shapes = one(given);
    if (name == "speaker_embeddings") return {context.float_dtype, {1, speaker_}};
    if (name == "spectrogram") return {context.float_dtype, {shapes.sequence_length, mel_bins_}};
    if (name == "output_sequence") return {context.float_dtype, {1, shapes.sequence_length, mel_bins_}};
    return others(name).type(name, context, shapes);
  }
  Tensor generate(std::string_view name, const DummyContext& context, const DummyShapes& given,
                  std::uint64_t seed) const override {
    if (is_sound(name)) return random_floats(seed, name, type(name, context, given));
    return others(name).generate(name, context, one(given), seed);
  }

 private:
  static bool is_sound(std::string_view name) {
    return name == "speaker_embeddings" || name == "spectrogram" || name == "output_sequence";
  }
  static DummyShapes one(DummyShapes shapes) {
    shapes.batch_size = 1;
    return shapes;
  }
  const DummyInputGenerator& others(std::string_view name) const {
    if (seq2seq_.supports_input(name)) return seq2seq_;
    return text_;
  }
  DummyTextInputGenerator text_;
  DummySeq2SeqInputGenerator seq2seq_;
  std::int64_t mel_bins_, speaker_;
};

}  // namespace

void SpeechT5OnnxConfig::describe(ExportPlan& plan, const PlanRequest& request) const {
  if (request.split == Split::monolith) {
    throw ExportError(ErrorCode::unsupported,
                      "--monolith: a decoder of frames cannot be in one file with its encoder");
  }
  const auto add = [&](const char* name, const OnnxConfig& described) {
    plan.components.push_back(described.component(name, request.shapes, request.dynamic_axes));
  };
  const bool past = request.variant != "without-past";
  add("encoder_model", *with_behavior(ConfigBehavior::encoder));
  add("decoder_model", *with_behavior(ConfigBehavior::decoder, past));
  if (past) add("decoder_with_past_model", *with_behavior(ConfigBehavior::decoder, true, true));
  add(kVocoder, SpeechT5OnnxConfig(config(), task(), options(), "vocoder"));
  if (!past || request.split != Split::merged) return;
  plan.merges.push_back({.name = "decoder_model_merged",
                         .stem = "decoder_model_merged",
                         .without_past = "decoder_model",
                         .with_past = "decoder_with_past_model"});
}

AxesByName SpeechT5OnnxConfig::inputs() const {
  const Axes states = {{1, "encoder_sequence_length"}};
  if (part() == "vocoder") return {{"spectrogram", {{0, "n_spectrums x reduction_factor"}}}};
  if (part() == "encoder") return {{"input_ids", states}};
  AxesByName inputs = {{"output_sequence", {{1, "decoder_sequence_length"}}},
                       {"speaker_embeddings", {}},
                       {"encoder_hidden_states", states},
                       {"encoder_attention_mask", states}};
  if (use_past_in_inputs()) add_past_key_values(inputs, Direction::inputs);
  return inputs;
}

AxesByName SpeechT5OnnxConfig::outputs() const {
  const Axes states = {{1, "encoder_sequence_length"}};
  if (part() == "vocoder") return {{"waveform", {{0, "n_samples"}}}};
  if (part() == "encoder") return {{"encoder_outputs", states}, {"encoder_attention_mask", states}};
  AxesByName outputs = {
      {"output_sequence_out", {{1, "decoder_sequence_length + 1"}}}, {"spectrum", {}}, {"prob", {}}};
  if (use_past()) add_past_key_values(outputs, Direction::outputs);
  return outputs;
}

Dim SpeechT5OnnxConfig::axis_length(std::string_view tensor, const std::string& symbol) const {
  if (symbol == "batch_size") return 1;
  if (tensor.starts_with("present.") && symbol.find('+') != symbol.npos)
    return Dim::symbol("past_decoder_sequence_length") + 1;
  return OnnxSeq2SeqConfigWithPast::axis_length(tensor, symbol);
}

NormalizedConfig SpeechT5OnnxConfig::normalized_config() const {
  return NormalizedSeq2SeqConfig(config()).with_args(
      {{"hidden_size", "hidden_size"},
       {"encoder_num_layers", "encoder_layers"},
       {"decoder_num_layers", "decoder_layers"},
       {"encoder_num_attention_heads", "encoder_attention_heads"},
       {"decoder_num_attention_heads", "decoder_attention_heads"}});
}

DummyInputGenerators SpeechT5OnnxConfig::dummy_input_generators() const {
  const PretrainedConfig c = config().unaccounted();
  return {std::make_shared<const DummySpeechT5InputGenerator>(
      c.integer("hidden_size"), c.integer("num_mel_bins"), c.integer("speaker_embedding_dim"))};
}

namespace {

std::filesystem::path vocoder_folder(const Model& model) {
  if (const auto given = model.config().maybe_string("vocoder")) return *given;
  if (model.has_file("vocoder/config.json")) return model.folder() / "vocoder";
  throw ExportError(ErrorCode::unsupported,
                    "a vocoder is needed: name the folder of one with --model-kwargs "
                    "'{\"vocoder\": \"FOLDER\"}', or place it into the folder 'vocoder' of the model");
}

}  // namespace

Vocoder::Vocoder(const Model& model)
    : scope(model.scope_of_other(vocoder_folder(model))),
      config(model.read_other_config(vocoder_folder(model), "hifigan")) {}

}  // namespace onnxport::models
