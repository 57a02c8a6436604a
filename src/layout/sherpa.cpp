#include "layout/sherpa.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string_view>

#include "exporter/preprocessors.h"
#include "layout/component_inputs.h"
#include "layout/refuse.h"
#include "layout/sherpa_graph.h"
#include "layout/sherpa_tokens.h"
#include "onnxport/dummy_inputs.h"

namespace onnxport::layout {
namespace {

constexpr const char* kSpeech = "automatic-speech-recognition";

// The client decodes the symbols of encoder-decoders from base64. Tokens without a text are not in its table.
template <std::string (*text_of)(std::string_view)>
std::string encoded(const ExportPlan& plan) {
  const Tokens tokens = read_tokens(plan.model);
  std::string text;
  for (const auto& [id, symbol] : tokens.symbols())
    if (!tokens.is_added(id)) text += fmt::format("{} {}\n", base64(text_of(symbol)), id);
  return text;
}

// The client finds the blank by its name.
std::string with_blank(const ExportPlan& plan, std::int64_t blank, std::string_view delimiter = {}) {
  std::map<std::int64_t, std::string> symbols = read_tokens(plan.model).symbols();
  symbols[blank] = "<blk>";
  std::string text;
  for (const auto& [id, symbol] : symbols)
    text += fmt::format("{} {}\n", symbol == delimiter ? "\u2581" : symbol, id);
  return text;
}

std::int64_t id_in_config(const ExportPlan& plan, const char* key) {
  return plan.model.config().unaccounted().integer(key);
}

std::string nemo_ctc_tokens(const ExportPlan& plan) {
  return with_blank(plan, id_in_config(plan, "pad_token_id"));
}

std::string nemo_transducer_tokens(const ExportPlan& plan) {
  return with_blank(plan, id_in_config(plan, "blank_token_id"));
}

std::string character_tokens(const ExportPlan& plan) {
  return with_blank(plan, id_in_config(plan, "pad_token_id"), "|");
}

Metadata no_metadata(const ExportPlan& /*plan*/) { return {}; }

// The client's mask of a decoder has the length of the encoder's states, where the original's has that of the
// samples; and nothing is padded. It gives inputs by position: tokens, states of the encoder, the cache.
Component client_decoder(Component decoder) {
  decoder = without_mask_of_samples(std::move(decoder));
  std::stable_partition(decoder.interface.inputs.begin(), decoder.interface.inputs.end(),
                        [](const TensorSpec& input) { return input.name == "input_ids"; });
  return decoder;
}

ExportPlan arrange_moonshine(ExportPlan plan) {
  if (plan.merges.empty())
    refuse(plan,
           "the client needs a merged decoder; use --task automatic-speech-recognition-with-past, "
           "without --no-post-process and --monolith");
  for (const Variant& variant : plan.variants) {
    if (variant.dtype != DType::f32)
      refuse(plan, "the client's cache of moonshine is float32; use --dtype fp32, or q8");
  }
  for (Component& one : plan.components)
    if (one.part != "encoder") one = client_decoder(std::move(one));
  return plan;
}

ExportPlan arrange_samples(ExportPlan plan) {
  const Component& model = plan.components.front();
  if (model.interface.input_names() != std::vector<std::string>{"input_values"}) {
    refuse(plan, fmt::format("it takes {}; the client gives samples without a mask",
                             fmt::join(model.interface.input_names(), ", ")));
  }
  const auto found = exporter::read_preprocessor(plan.model.folder());
  if (!found) return plan;
  const std::string file = found->file.filename().string();
  const auto preprocessor = PretrainedConfig::from_json(found->values.dump(), file, "samples");
  if (!preprocessor.flag("do_normalize", true)) {
    plan.model.add_notice(
        fmt::format("{}: do_normalize is false, but the client normalizes all samples", file));
  }
  return plan;
}

// How the client runs a kind of model.
struct Kind {
  std::string_view model_type;  ///< empty: any that takes samples
  ExportPlan (*arrange)(ExportPlan plan);
  Metadata (*metadata)(const ExportPlan& plan);
  std::string (*tokens)(const ExportPlan& plan);
  std::string_view described = {};  ///< the component whose file has the metadata
};

constexpr auto kKinds = std::to_array<Kind>({
    {"moonshine", arrange_moonshine, no_metadata, encoded<piece_text>},
    {"parakeet_ctc", arrange_nemo_ctc, nemo_ctc_metadata, nemo_ctc_tokens, "model"},
    {"parakeet_rnnt", arrange_nemo_transducer, nemo_transducer_metadata, nemo_transducer_tokens, "encoder"},
    {"parakeet_tdt", arrange_nemo_transducer, nemo_transducer_metadata, nemo_transducer_tokens, "encoder"},
    {"whisper", arrange_whisper, whisper_metadata, encoded<byte_level_text>, "encoder_model"},
    {"", arrange_samples, no_metadata, character_tokens},
});

const Kind& kind_of(const ExportPlan& plan) {
  const std::string model_type = plan.model.config().model_type();
  const auto found = std::find_if(kKinds.begin(), kKinds.end(), [&](const Kind& kind) {
    return kind.model_type == model_type || kind.model_type.empty();
  });
  return *found;
}

// The client has only 32-bit floats, regardless of the precision of the weights.
Component with_float32_inputs(Component component) {
  for (TensorSpec& input : component.interface.inputs)
    if (is_float(input.dtype)) input.dtype = DType::f32;
  auto dummies = std::make_shared<DummyInputs>(*component.interface.dummies);
  dummies->context.float_dtype = DType::f32;
  component.interface.dummies = std::move(dummies);
  return component;
}

// As published files are named: model.int8.onnx, model.fp16.onnx.
void set_suffixes(std::vector<Variant>& variants) {
  for (Variant& variant : variants) {
    if (variant.suffix.empty()) continue;
    variant.suffix[0] = '.';
    if (variant.recipe.is_dynamic()) variant.suffix = ".int8";
  }
}

}  // namespace

ExportPlan arrange_sherpa(ExportPlan plan) {
  const Kind& kind = kind_of(plan);
  const bool speech = plan.model.task().starts_with(kSpeech);
  const bool samples =
      plan.components.size() == 1 && plan.components.front().interface.find_input("input_values") != nullptr;
  if (!speech || (kind.model_type.empty() && !samples)) {
    refuse(plan,
           "the client recognizes speech with moonshine, parakeet_ctc, parakeet_rnnt, parakeet_tdt, "
           "whisper, and types like wav2vec2 with a CTC head; use --layout optimum");
  }
  plan = kind.arrange(std::move(plan));
  for (Component& one : plan.components) one = with_float32_inputs(std::move(one));
  set_suffixes(plan.variants);
  check_suffixes(plan);
  return plan;
}

std::vector<std::pair<std::string, std::string>> sherpa_metadata(const ExportPlan& plan,
                                                                 const Component& component) {
  const Kind& kind = kind_of(plan);
  return component.name == kind.described ? kind.metadata(plan) : Metadata{};
}

std::string sherpa_tokens(const ExportPlan& plan) { return kind_of(plan).tokens(plan); }

}  // namespace onnxport::layout
