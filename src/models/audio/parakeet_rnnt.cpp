// Parakeet as a transducer: an encoder, a recurrent decoder of tokens, and a joiner of both. TDT predicts
// durations too. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/parakeet/modeling_parakeet.py
#include <fmt/format.h>

#include "models/audio/common/parakeet.h"
#include "models/audio/common/transducer_dummy_inputs.h"
#include "onnxport/error.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/lstm.h"
#include "onnxport/plan.h"

namespace onnxport::models {
namespace {

constexpr const char* kEncoder = "encoder";
constexpr const char* kDecoder = "decoder";
constexpr const char* kJoiner = "joiner";

struct Config {
  ParakeetConfig encoder;
  std::int64_t vocab_size, width, layers;
  std::int64_t outputs;  ///< of the joiner: tokens, then durations
  std::string hidden_act;

  explicit Config(const PretrainedConfig& c)
      : encoder(parakeet_encoder_config(c)),
        vocab_size(c.integer("vocab_size")),
        width(c.integer("decoder_hidden_size")),
        layers(c.integer("num_decoder_layers")),
        outputs(vocab_size),
        hidden_act(c.string("hidden_act")) {
    if (c.has("durations")) outputs += static_cast<std::int64_t>(c.integers("durations").size());
    if (vocab_size < 1) {
      throw ExportError(ErrorCode::bad_config,
                        fmt::format("{}: vocab_size is {}, expected at least 1", c.origin(), vocab_size));
    }
    // The loop over tokens and frames is the client's.
    c.harmless({"blank_token_id", "pad_token_id", "max_symbols_per_step", "is_encoder_decoder"});
  }
};

class ParakeetTransducerOnnxConfig : public OnnxConfig {
 public:
  explicit ParakeetTransducerOnnxConfig(PretrainedConfig config, std::string task, OnnxConfigOptions options,
                                        std::string part = kEncoder)
      : OnnxConfig(std::move(config), std::move(task), std::move(options)), part_(std::move(part)) {}

  std::string part() const override { return part_; }
  void describe(ExportPlan& plan, const PlanRequest& request) const override {
    if (request.split == Split::monolith)
      throw ExportError(ErrorCode::unsupported, "--monolith: a transducer cannot be one file");
    for (const char* part : {kEncoder, kDecoder, kJoiner}) {
      const ParakeetTransducerOnnxConfig described(config(), task(), options(), part);
      plan.components.push_back(described.component(part, request.shapes, request.dynamic_axes));
    }
  }
  AxesByName inputs() const override {
    const Axes rows = {{0, "batch_size"}}, targets = {{0, "batch_size"}, {1, "target_length"}};
    const Axes states = {{1, "batch_size"}};
    if (part_ == kEncoder)
      return {{"audio_features", {{0, "batch_size"}, {2, "num_frames"}}}, {"length", rows}};
    if (part_ == kJoiner)
      return {{"encoder_outputs", {{0, "batch_size"}, {1, "encoded_frames"}}}, {"decoder_outputs", targets}};
    return {{"targets", targets},
            {"targets_length", rows},
            {"lstm_hidden_state", states},
            {"lstm_cell_state", states}};
  }
  AxesByName outputs() const override {
    const Axes rows = {{0, "batch_size"}}, states = {{1, "batch_size"}};
    if (part_ == kEncoder)
      return {{"encoder_outputs", {{0, "batch_size"}, {2, "encoded_frames"}}}, {"encoded_lengths", rows}};
    if (part_ == kJoiner)
      return {{"outputs", {{0, "batch_size"}, {1, "encoded_frames"}, {2, "target_length"}}}};
    return {{"outputs", {{0, "batch_size"}, {2, "target_length"}}},
            {"outputs_length", rows},
            {"lstm_hidden_state_out", states},
            {"lstm_cell_state_out", states}};
  }
  NormalizedConfig normalized_config() const override { return {config(), {}}; }
  DummyInputGenerators dummy_input_generators() const override {
    const Config c(config().unaccounted());
    return {std::make_shared<const DummyTransducerInputGenerator>(
        TransducerSizes{.mel_bins = c.encoder.mel_bins,
                        .encoder_width = c.encoder.hidden_size,
                        .decoder_width = c.width,
                        .layers = c.layers,
                        .vocab_size = c.vocab_size})};
  }

 private:
  std::string part_;
};

NamedValues encode(const Inputs& inputs, const Scope& root, const Config& c) {
  const Value features = op::transpose(inputs["audio_features"], 1, 2);
  const ParakeetStates states = encode_parakeet(root / "encoder", c.encoder, features, inputs["length"]);
  return {{"encoder_outputs", op::transpose(states.hidden, 1, 2)}, {"encoded_lengths", states.lengths}};
}

NamedValues decode(const Inputs& inputs, const Scope& root, const Config& c) {
  const Scope s = root / "decoder";
  const nn::Embedding embedding(s / "embedding", c.vocab_size, c.width);
  const nn::Lstm lstm(s / "lstm", c.width, c.width, c.layers);
  const nn::LstmStates states =
      lstm(embedding(inputs["targets"]), inputs["lstm_hidden_state"], inputs["lstm_cell_state"]);
  return {{"outputs", op::transpose(states.output, 1, 2)},
          {"outputs_length", inputs["targets_length"]},
          {"lstm_hidden_state_out", states.hidden},
          {"lstm_cell_state_out", states.cell}};
}

// The original projects the results of encoder and decoder before it keeps them. Clients expect that here.
NamedValues join(const Inputs& inputs, const Scope& root, const Config& c) {
  const nn::Linear encoder(root / "encoder_projector", c.encoder.hidden_size, c.width);
  const nn::Linear decoder(root / "decoder" / "decoder_projector", c.width, c.width);
  const nn::Linear head(root / "joint" / "head", c.width, c.outputs);
  const Value frames = op::unsqueeze(encoder(inputs["encoder_outputs"]), 2);
  const Value tokens = op::unsqueeze(decoder(inputs["decoder_outputs"]), 1);
  return {{"outputs", head(nn::Activation(c.hidden_act)(op::add(frames, tokens)))}};
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  if (component.part == kEncoder) return encode(inputs, root, c);
  return component.part == kDecoder ? decode(inputs, root, c) : join(inputs, root, c);
}

}  // namespace

void register_parakeet_rnnt(TasksManager& tasks) {
  tasks.register_model<ParakeetTransducerOnnxConfig>(
      {.model_type = "parakeet_rnnt", .tasks = {"automatic-speech-recognition"}, .forward = forward});
}

}  // namespace onnxport::models
