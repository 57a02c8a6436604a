// Whisper for sherpa-onnx. The client holds keys and values of all layers in two tensors, and hands them over
// with the number of valid rows. It begins with an empty cache of the longest length.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "layout/generation_settings.h"
#include "layout/refuse.h"
#include "layout/sherpa_graph.h"
#include "layout/sherpa_tokens.h"
#include "layout/speech.h"
#include "onnxport/error.h"
#include "onnxport/index_ops.h"
#include "onnxport/op.h"

namespace onnxport::layout {
namespace {

constexpr const char* kMel = "mel";
constexpr const char* kOffset = "offset";
constexpr const char* kAlignment = "cross_attention_weights";

// Keys or values of the encoder and of the decoder's own tokens.
struct Cache {
  const char *name, *part;
};
constexpr Cache kCross[] = {{"n_layer_cross_k", "encoder.key"}, {"n_layer_cross_v", "encoder.value"}};
constexpr Cache kSelf[] = {{"n_layer_self_k_cache", "key"}, {"n_layer_self_v_cache", "value"}};

std::string input_of(const Cache& self) { return fmt::format("in_{}", self.name); }
std::string output_of(const Cache& self) { return fmt::format("out_{}", self.name); }

std::vector<StateSpec> states_of(const Interface& interface, const char* part) {
  std::vector<StateSpec> states;
  for (const StateSpec& state : interface.states)
    if (state.part == part) states.push_back(state);
  return states;
}

const Value& value_of(const NamedValues& values, const std::string& name) {
  return std::find_if(values.begin(), values.end(), [&](const auto& one) { return one.first == name; })
      ->second;
}

// Tensors of each layer -> one with a first axis of layers.
Value stack(const std::vector<Value>& layers) {
  std::vector<Value> parts;
  for (const Value& layer : layers) parts.push_back(op::unsqueeze(layer, 0));
  return op::concat(std::move(parts), 0);
}

NamedValues encode(const Inputs& inputs, const Model& model, const Component& encoder,
                   const Forward& original) {
  const NamedValues made = original(Inputs({{"input_features", inputs[kMel]}}), model, encoder);
  NamedValues outputs;
  for (const Cache& cross : kCross) {
    std::vector<Value> layers;
    for (const StateSpec& state : states_of(encoder.interface, cross.part))
      layers.push_back(value_of(made, state.output));
    outputs.emplace_back(cross.name, stack(layers));
  }
  return outputs;
}

// The places of the valid rows of a cache [layers, B, rows, width].
Value real_places(Value cache, Value offset) {
  const Value is_real = op::lt(op::arange(cache.graph(), cache.dim(2)), offset);
  return op::nonzero(is_real, Dim::symbol("past_length"));
}

// One layer's states at these places: [B, heads, places, size]
Value state_at(Value cache, Value places, const StateSpec& state) {
  const Value layer = op::select(cache, 0, state.layer);
  const Value heads = op::reshape(layer, {layer.dim(0), layer.dim(1), state.shape[1], state.shape[3]});
  return op::permute(op::embedding(op::permute(heads, {1, 0, 2, 3}), places), {1, 2, 0, 3});
}

// A layer and a head whose attention follows the sound, for times of words.
struct AlignmentHead {
  std::int64_t layer = 0, head = 0;
};

std::string attention_of(std::int64_t layer) { return fmt::format("cross_attentions.{}", layer); }

// Those of generation_config.json; else all heads of the last half of the layers, as in OpenAI's package.
std::vector<AlignmentHead> alignment_heads(const ExportPlan& plan) {
  const PretrainedConfig config = plan.model.config().unaccounted();
  const std::int64_t layers = config.integer("decoder_layers"),
                     heads = config.integer("decoder_attention_heads");
  constexpr const char* kFile = "generation_config.json";
  const nlohmann::json settings = read_object(plan.model, kFile);
  const auto given = settings.find("alignment_heads");
  std::vector<AlignmentHead> found;
  if (given == settings.end() || given->empty()) {
    for (std::int64_t layer = layers / 2; layer < layers; ++layer)
      for (std::int64_t head = 0; head < heads; ++head) found.push_back({layer, head});
    return found;
  }
  const auto is_below = [](const nlohmann::json& number, std::int64_t end) {
    return number.is_number_integer() && number.get<std::int64_t>() >= 0 && number.get<std::int64_t>() < end;
  };
  for (const nlohmann::json& pair : *given) {
    if (!pair.is_array() || pair.size() != 2 || !is_below(pair[0], layers) || !is_below(pair[1], heads)) {
      throw ExportError(
          ErrorCode::bad_config,
          fmt::format("{}: alignment_heads has {}, expected a layer below {} and a head below {}", kFile,
                      pair.dump(), layers, heads));
    }
    found.push_back({pair[0].get<std::int64_t>(), pair[1].get<std::int64_t>()});
  }
  return found;
}

// [B, alignment heads, tokens, frames]
Value alignment(const NamedValues& made, const std::vector<AlignmentHead>& heads) {
  std::vector<Value> parts;
  for (const AlignmentHead& one : heads)
    parts.push_back(op::slice(value_of(made, attention_of(one.layer)), 1, one.head, one.head + 1));
  return op::concat(std::move(parts), 1);
}

NamedValues step(const Inputs& inputs, const Model& model, const Component& decoder, const Forward& original,
                 const std::vector<AlignmentHead>& heads) {
  NamedValues given = {{"input_ids", inputs["tokens"]}};
  for (const Cache& self : kSelf) {
    const Value cache = inputs[input_of(self)], places = real_places(cache, inputs[kOffset]);
    for (const StateSpec& state : states_of(decoder.interface, self.part))
      given.emplace_back(state.input, state_at(cache, places, state));
  }
  for (const Cache& cross : kCross) {
    for (const StateSpec& state : states_of(decoder.interface, cross.part))
      given.emplace_back(state.input, op::select(inputs[cross.name], 0, state.layer));
  }
  const NamedValues made = original(Inputs(std::move(given)), model, decoder);
  NamedValues outputs = {{"logits", value_of(made, "logits")}};
  for (const Cache& self : kSelf) {
    std::vector<Value> layers;
    for (const StateSpec& state : states_of(decoder.interface, self.part)) {
      const Value rows = op::permute(value_of(made, state.output), {0, 2, 1, 3});
      layers.push_back(op::flatten(rows, 2, 3));
    }
    outputs.emplace_back(output_of(self), stack(layers));
  }
  if (!heads.empty()) outputs.emplace_back(kAlignment, alignment(made, heads));
  return outputs;
}

PretrainedConfig config_of(const ExportPlan& plan) { return plan.model.config().unaccounted(); }

TensorSpec output(const std::string& name, const std::map<int, std::string>& axes) {
  TensorSpec spec{.name = name};
  for (const auto& [at, axis] : axes) spec.axes[at] = {axis, Dim::symbol(axis)};
  return spec;
}

Component client_encoder(const ExportPlan& plan, const Component& encoder) {
  const PretrainedConfig config = config_of(plan);
  constexpr std::int64_t kStride = 2;
  const ClientSizes sizes{.most_frames = kStride * config.integer("max_source_positions")};
  std::vector<TensorSpec> outputs;
  for (const Cache& cross : kCross)
    outputs.push_back(output(cross.name, {{1, "batch_size"}, {3, "n_audio_ctx"}}));
  const Shape shape = {Dim::symbol("batch_size"), config.integer("num_mel_bins"), Dim::symbol("num_frames")};
  return with_tensors(encoder, {tensor(kMel, DType::f32, shape)}, std::move(outputs), sizes);
}

Component client_decoder(const ExportPlan& plan, const Component& decoder) {
  const PretrainedConfig config = config_of(plan);
  const std::vector<StateSpec> keys = states_of(decoder.interface, "key");
  const Dim heads = keys.front().shape[1], size = keys.front().shape[3], batch = Dim::symbol("batch_size");
  const auto layers = static_cast<std::int64_t>(keys.size());
  std::vector<TensorSpec> inputs = {tensor("tokens", DType::i64, {batch, Dim::symbol("n_tokens")})};
  std::vector<TensorSpec> outputs = {output("logits", {{0, "batch_size"}, {1, "n_tokens"}})};
  for (const Cache& self : kSelf) {
    const Shape shape = {layers, batch, Dim::symbol("cache_length"), heads * size};
    inputs.push_back(tensor(input_of(self), DType::f32, shape));
    outputs.push_back(output(output_of(self), {{1, "batch_size"}, {2, "total_length"}}));
  }
  if (decoder.interface.has_output(attention_of(0)))
    outputs.push_back(output(kAlignment, {{0, "batch_size"}, {2, "n_tokens"}, {3, "n_audio_ctx"}}));
  for (const Cache& cross : kCross)
    inputs.push_back(
        tensor(cross.name, DType::f32, {layers, batch, heads, Dim::symbol("n_audio_ctx"), size}));
  inputs.push_back(tensor(kOffset, DType::i64, {1}));
  const ClientSizes sizes{.vocab_size = config.integer("vocab_size"),
                          .most_tokens = config.integer("max_target_positions")};
  return with_tensors(decoder, std::move(inputs), std::move(outputs), sizes);
}

}  // namespace

ExportPlan arrange_whisper(ExportPlan plan) {
  const std::optional<SpeechComponents> parts = speech_components(plan);
  if (!parts) refuse(plan, "it has no cache; use --task automatic-speech-recognition-with-past");
  Component encoder = client_encoder(plan, parts->encoder), decoder = client_decoder(plan, parts->step);
  encoder.stem = "encoder";
  decoder.stem = "decoder";
  plan.components = {std::move(encoder), std::move(decoder)};
  plan.merges.clear();
  plan.model = adapted(
      plan.model, kMel,
      [own = parts->encoder](const Inputs& inputs, const Model& model, const Component&,
                             const Forward& original) { return encode(inputs, model, own, original); });
  std::vector<AlignmentHead> heads;
  if (plan.components.back().interface.has_output(kAlignment)) heads = alignment_heads(plan);
  plan.model = adapted(plan.model, kOffset,
                       [own = parts->step, heads](const Inputs& inputs, const Model& model, const Component&,
                                                  const Forward& original) {
                         return step(inputs, model, own, original, heads);
                       });
  return plan;
}

Metadata whisper_metadata(const ExportPlan& plan) {
  const PretrainedConfig config = config_of(plan);
  const Tokens tokens = read_tokens(plan.model);
  Metadata metadata = {{"model_type", "whisper"}, {"version", "1"}};
  const auto add = [&](const char* name, std::int64_t value) {
    metadata.emplace_back(name, std::to_string(value));
  };
  add("n_mels", config.integer("num_mel_bins"));
  add("n_audio_ctx", config.integer("max_source_positions"));
  add("n_audio_state", config.integer("d_model"));
  add("n_audio_head", config.integer("encoder_attention_heads"));
  add("n_audio_layer", config.integer("encoder_layers"));
  add("n_vocab", config.integer("vocab_size"));
  add("n_text_ctx", config.integer("max_target_positions"));
  add("n_text_state", config.integer("d_model"));
  add("n_text_head", config.integer("decoder_attention_heads"));
  add("n_text_layer", config.integer("decoder_layers"));
  if (plan.components.back().interface.has_output(kAlignment))
    add("n_alignment_heads", static_cast<std::int64_t>(alignment_heads(plan).size()));
  const std::int64_t start = tokens.id("<|startoftranscript|>"), transcribe = tokens.id("<|transcribe|>");
  const std::int64_t translate = tokens.id("<|translate|>"), silent = tokens.id("<|notimestamps|>");
  const std::optional<std::int64_t> newer = tokens.find("<|nospeech|>");
  add("sot", start);
  add("sot_index", 0);
  add("eot", tokens.id("<|endoftext|>"));
  add("blank_id", tokens.find("\u0120").value_or(tokens.id("<|endoftext|>")));
  add("translate", translate);
  add("transcribe", transcribe);
  add("no_timestamps", silent);
  add("no_speech", newer ? *newer : tokens.id("<|nocaptions|>"));
  // Tokens of languages stand between these. A model of English alone has them, but does not use them.
  std::vector<std::int64_t> ids;
  std::vector<std::string> codes;
  constexpr std::size_t kEdge = 2;  // of <|en|>
  for (const auto& [id, symbol] : tokens.symbols()) {
    const bool between = id > start && id < std::min(translate, transcribe);
    if (!between || symbol.size() < 2 * kEdge) continue;
    ids.push_back(id);
    codes.push_back(symbol.substr(kEdge, symbol.size() - 2 * kEdge));
  }
  constexpr std::int64_t kEnglishVocabulary = 51864;
  const bool multilingual = config.integer("vocab_size") != kEnglishVocabulary;
  if (multilingual && ids.empty()) {
    throw ExportError(ErrorCode::bad_config,
                      "the tokenizer has no token of a language, such as <|en|>, which layout sherpa needs");
  }
  add("is_multilingual", multilingual ? 1 : 0);
  metadata.emplace_back("all_language_tokens", fmt::format("{}", fmt::join(ids, ",")));
  metadata.emplace_back("all_language_codes", fmt::format("{}", fmt::join(codes, ",")));
  metadata.emplace_back("sot_sequence", multilingual ? fmt::format("{},{},{}", start, ids.front(), transcribe)
                                                     : std::to_string(start));
  return metadata;
}

}  // namespace onnxport::layout
