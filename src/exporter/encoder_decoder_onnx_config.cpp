#include <fmt/format.h>

#include <algorithm>

#include "exporter/task_name.h"
#include "onnxport/error.h"
#include "onnxport/middle_end.h"
#include "onnxport/tasks_manager.h"

namespace onnxport {
namespace {

// Generates the inputs of an encoder with its own class.
class DummyEncoderInputGenerator : public DummyInputGenerator {
 public:
  explicit DummyEncoderInputGenerator(const OnnxConfig& encoder) : dummies_(encoder.interface().dummies) {}
  bool supports_input(std::string_view name) const override { return find(name) != nullptr; }
  TensorType type(std::string_view name, const DummyContext& /*context*/,
                  const DummyShapes& shapes) const override {
    return find(name)->type(name, dummies_->context, shapes);
  }
  Tensor generate(std::string_view name, const DummyContext& /*context*/, const DummyShapes& shapes,
                  std::uint64_t seed) const override {
    return find(name)->generate(name, dummies_->context, shapes, seed);
  }

 private:
  const DummyInputGenerator* find(std::string_view name) const {
    for (const auto& generator : dummies_->generators) {
      if (generator->supports_input(name)) return generator.get();
    }
    return nullptr;
  }
  std::shared_ptr<const DummyInputs> dummies_;
};

}  // namespace

EncoderDecoderBaseOnnxConfig::EncoderDecoderBaseOnnxConfig(PretrainedConfig config, std::string task,
                                                           OnnxConfigOptions options, Role encoder_role)
    : OnnxSeq2SeqConfigWithPast(std::move(config), std::move(task), std::move(options)) {
  const TasksManager& tasks = TasksManager::instance();
  const PretrainedConfig both = this->config().unaccounted();
  const auto encoder_type = tasks.get_part(both.sub("encoder"), "encoder", encoder_role);
  const auto decoder_type = tasks.get_part(both.sub("decoder"), "decoder", Role::cross_decoder);
  OnnxConfigOptions part = this->options();
  part.behavior = ConfigBehavior::encoder;
  encoder_ = encoder_type->onnx_config(both.sub("encoder"), "feature-extraction", part);
  part.behavior = ConfigBehavior::decoder;
  decoder_ = decoder_type->onnx_config(both.sub("decoder"), "text-generation", part);
  const CrossDecoder::Cache cache = decoder_type->roles.cross_decoder->cache;
  caches_encoder_ = cache == CrossDecoder::Cache::own_and_encoder;
  if (cache == CrossDecoder::Cache::none && exporter::has_past(this->task())) {
    throw ExportError(ErrorCode::unsupported,
                      fmt::format("{}: a decoder of type '{}' has no cache; use the task '{}'", both.origin(),
                                  decoder_type->model_type, exporter::base_task(this->task())));
  }
}

AxesByName EncoderDecoderBaseOnnxConfig::inputs() const {
  if (behavior() == ConfigBehavior::decoder) return decoder_inputs();
  AxesByName inputs = encoder_inputs();
  if (behavior() == ConfigBehavior::monolith)
    inputs.emplace_back("decoder_input_ids", Axes{{0, "batch_size"}, {1, "decoder_sequence_length"}});
  return inputs;
}

// The cache of a decoder that also works standalone has the axes that it has there: tokens are
// `sequence_length`, and a past is listed even if there is none.
Dim EncoderDecoderBaseOnnxConfig::axis_length(std::string_view tensor, const std::string& symbol) const {
  Dim length = Dim::parse(symbol);
  if (caches_encoder_ || !tensor.starts_with("present.")) return length;
  const Dim tokens = length.substitute({{"sequence_length", Dim::symbol("decoder_sequence_length")}});
  return use_past_in_inputs() ? tokens : tokens.substitute({{"past_sequence_length", 0}});
}

NormalizedConfig EncoderDecoderBaseOnnxConfig::normalized_config() const {
  return (behavior() == ConfigBehavior::encoder ? encoder_ : decoder_)->normalized_config();
}

DummyInputGenerators EncoderDecoderBaseOnnxConfig::dummy_input_generators() const {
  DummyInputGenerators generators = {std::make_shared<const DummySeq2SeqInputGenerator>(encoder_width())};
  if (behavior() == ConfigBehavior::decoder) {
    generators.push_back(std::make_shared<const DummyTextInputGenerator>());
  } else {
    generators.push_back(std::make_shared<const DummyEncoderInputGenerator>(*encoder_));
  }
  return generators;
}

std::optional<std::int64_t> EncoderDecoderBaseOnnxConfig::longest_sequence() const {
  const auto encoder = encoder_->longest_sequence(), decoder = decoder_->longest_sequence();
  if (behavior() == ConfigBehavior::encoder || !decoder) return encoder;
  if (behavior() == ConfigBehavior::decoder || !encoder) return decoder;
  return std::min(*encoder, *decoder);
}

ImageSizes EncoderDecoderBaseOnnxConfig::image_sizes() const { return encoder_->image_sizes(); }

std::vector<StateSpec> EncoderDecoderBaseOnnxConfig::states() const {
  const std::vector<StateSpec> alone = decoder_->states();
  if (alone.empty() && use_past()) {
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format("{}: the decoder of type '{}' has no layer with a cache; use the task '{}'",
                    config().origin(), decoder_->config().model_type(), exporter::base_task(task())));
  }
  return behind_encoder(alone);
}

std::int64_t EncoderDecoderBaseOnnxConfig::encoder_width() const {
  return encoder_->normalized_config()["hidden_size"];
}

}  // namespace onnxport
