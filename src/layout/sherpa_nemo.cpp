// Parakeet for sherpa-onnx: the interface of NeMo's exports.
#include <fmt/format.h>

#include "layout/refuse.h"
#include "layout/sherpa_graph.h"
#include "onnxport/op.h"

namespace onnxport::layout {
namespace {

constexpr const char* kSignal = "audio_signal";

Dim batch() { return Dim::symbol("batch_size"); }
Dim frames() { return Dim::symbol("num_frames"); }

PretrainedConfig encoder_config(const ExportPlan& plan) {
  return plan.model.config().unaccounted().sub("encoder_config");
}

std::int64_t mel_bins(const ExportPlan& plan) { return encoder_config(plan).integer("num_mel_bins"); }

std::int64_t vocab_size(const ExportPlan& plan) {
  return plan.model.config().unaccounted().integer("vocab_size");
}

Component& component_of(ExportPlan& plan, const std::string& part) {
  for (Component& one : plan.components)
    if (one.part == part) return one;
  refuse(plan, fmt::format("the export has no component '{}'; leave out --monolith", part));
}

// Lengths [B] -> 1 for the first frames of each row: int64 [B, T]
Value mask_of(Value lengths, const Dim& length) {
  const Value index = op::unsqueeze(op::arange(lengths.graph(), length), 0);
  return op::cast(op::lt(index, op::unsqueeze(lengths, 1)), DType::i64);
}

Value log_softmax(Value x) {
  const std::int64_t last = static_cast<std::int64_t>(x.shape().size()) - 1;
  const Value shifted = op::sub(x, op::amax(x, last, true));
  const Value total = op::log(op::sum(op::exp(shifted), last, true));
  return op::sub(shifted, total);
}

NamedValues recognize(const Inputs& inputs, const Model& model, const Component& component,
                      const Forward& original) {
  const Value features = op::transpose(inputs[kSignal], 1, 2);
  const Value mask = mask_of(inputs["length"], features.dim(1));
  const NamedValues outputs =
      original(Inputs({{"input_features", features}, {"attention_mask", mask}}), model, component);
  return {{"logprobs", log_softmax(outputs.front().second)}};
}

// The client holds one frame of the encoder and one result of the decoder as columns.
NamedValues join(const Inputs& inputs, const Model& model, const Component& component,
                 const Forward& original) {
  const Value frames = op::transpose(inputs["encoder_outputs"], 1, 2);
  const Value tokens = op::transpose(inputs["decoder_outputs"], 1, 2);
  return original(Inputs({{"encoder_outputs", frames}, {"decoder_outputs", tokens}}), model, component);
}

TensorSpec transposed(const TensorSpec& spec) {
  return tensor(spec.name, spec.dtype, {spec.shape[0], spec.shape[2], spec.shape[1]});
}

Metadata metadata_of(const ExportPlan& plan, const std::string& model_type) {
  const std::int64_t factor = encoder_config(plan).integer("subsampling_factor", 8);
  return {{"model_type", model_type},
          {"version", "1"},
          {"normalize_type", "per_feature"},
          {"subsampling_factor", std::to_string(factor)},
          {"feat_dim", std::to_string(mel_bins(plan))}};
}

}  // namespace

ExportPlan arrange_nemo_ctc(ExportPlan plan) {
  Component& model = plan.components.front();
  model = with_tensors(
      std::move(model),
      {tensor(kSignal, DType::f32, {batch(), mel_bins(plan), frames()}),
       tensor("length", DType::i64, {batch()})},
      {{.name = "logprobs", .axes = {{0, {"batch_size", batch()}}, {1, {"encoded_frames", frames()}}}}}, {});
  plan.model = adapted(plan.model, kSignal, recognize);
  return plan;
}

Metadata nemo_ctc_metadata(const ExportPlan& plan) {
  Metadata metadata = metadata_of(plan, "EncDecCTCModelBPE");
  metadata.emplace_back("vocab_size", std::to_string(vocab_size(plan)));
  return metadata;
}

ExportPlan arrange_nemo_transducer(ExportPlan plan) {
  Component& decoder = component_of(plan, "decoder");
  std::vector<TensorSpec> given = decoder.interface.inputs;
  for (TensorSpec& input : given)
    if (is_integer(input.dtype)) input.dtype = DType::i32;
  const ClientSizes sizes{.vocab_size = vocab_size(plan)};
  std::vector<TensorSpec> returned = decoder.interface.outputs;
  decoder = with_tensors(std::move(decoder), std::move(given), std::move(returned), sizes);
  Component& joiner = component_of(plan, "joiner");
  std::vector<TensorSpec> columns;
  for (const TensorSpec& input : joiner.interface.inputs) columns.push_back(transposed(input));
  returned = joiner.interface.outputs;
  joiner = with_tensors(std::move(joiner), std::move(columns), std::move(returned), sizes);
  plan.model = adapted(plan.model, "encoder_outputs", join);
  return plan;
}

Metadata nemo_transducer_metadata(const ExportPlan& plan) {
  const PretrainedConfig config = plan.model.config().unaccounted();
  Metadata metadata = metadata_of(plan, "EncDecRNNTBPEModel");
  // The client adds the blank.
  metadata.emplace_back("vocab_size", std::to_string(vocab_size(plan) - 1));
  metadata.emplace_back("pred_rnn_layers", std::to_string(config.integer("num_decoder_layers")));
  metadata.emplace_back("pred_hidden", std::to_string(config.integer("decoder_hidden_size")));
  // It looks for `tdt` in this text, to find out whether the joiner scores durations.
  metadata.emplace_back("url", config.has("durations") ? "parakeet_tdt" : "parakeet_rnnt");
  return metadata;
}

}  // namespace onnxport::layout
