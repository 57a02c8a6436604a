#include "layout/genai_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "layout/component_inputs.h"
#include "layout/genai_cache.h"
#include "layout/genai_vision.h"
#include "layout/generation_settings.h"
#include "onnxport/dummy_inputs.h"
#include "onnxport/error.h"
#include "onnxport/tasks_manager.h"

namespace onnxport::layout {
namespace {

using nlohmann::ordered_json;

// Names of types in config.json and those of the client, which loads all of them as it loads `decoder`, the
// name for any other type. A name matters in three ways: programs read it (Model.type); `phi3` and `phimoe`
// compute all tokens again when the 4097th comes, from which on their rotation has other frequencies; and
// `phi3`, `qwen2` and `qwen3` know the tokens around tool calls and thoughts. `gpt2` is missing, because the
// client then wants keys and values in one tensor. `fixed`: the parts of states of fixed size that the client
// holds for this type.
struct ClientType {
  std::string_view model_type, name;
  FixedParts fixed = {};
};
constexpr auto kTypes = std::to_array<ClientType>({
    {"chatglm", "chatglm"},
    {"ernie4_5", "ernie4_5"},
    {"gemma", "gemma"},
    {"gemma2", "gemma2"},
    {"gemma3_text", "gemma3_text"},
    {"gemma4_text", "gemma4_text"},
    {"gpt_oss", "gptoss"},
    {"granite", "granite"},
    {"hunyuan_v1_dense", "hunyuandensev1"},
    {"internlm2", "internlm2"},
    {"lfm2", "lfm2", {"conv"}},
    {"lfm2-vl", "lfm2_vl", {"conv"}},
    {"lfm2_moe", "lfm2_moe", {"conv"}},
    {"lfm2_vl", "lfm2_vl", {"conv"}},
    {"llama", "llama"},
    {"mistral", "mistral"},
    {"nemotron", "nemotron"},
    {"olmo", "olmo"},
    {"phi", "phi"},
    {"phi3", "phi3"},
    {"phimoe", "phimoe"},
    {"qwen2", "qwen2"},
    {"qwen3", "qwen3"},
    {"qwen3_5", "qwen3_5_text", {"conv", "recurrent"}},
    {"qwen3_5_moe", "qwen3_5_moe_text", {"conv", "recurrent"}},
    {"qwen3_5_moe_text", "qwen3_5_moe_text", {"conv", "recurrent"}},
    {"qwen3_5_text", "qwen3_5_text", {"conv", "recurrent"}},
    {"smollm3", "smollm3"},
});

const ClientType& client_type(const ExportPlan& plan) {
  static constexpr ClientType other = {"", "decoder"};
  const std::string model_type = plan.model.config().model_type();
  const auto it = std::find_if(kTypes.begin(), kTypes.end(),
                               [&](const ClientType& one) { return one.model_type == model_type; });
  return it == kTypes.end() ? other : *it;
}

const NormalizedConfig& sizes_of(const Component& component) {
  return component.interface.dummies->context.normalized;
}

// The longest sequence that the table of positions allows. Without a table, any length is possible, but the
// client needs a number: that of the training where config.json has it (BLOOM's seq_length), or 2048, which
// the user may change in the file.
std::int64_t context_length(const Component& decoder) {
  constexpr std::int64_t kAnyLength = 2048;
  const NormalizedConfig& sizes = sizes_of(decoder);
  if (const auto rows = sizes.maybe("max_target_positions")) return *rows;
  if (const auto longest = decoder.interface.dummies->longest_sequence) return *longest;
  return sizes.config().unaccounted().maybe_integer("seq_length").value_or(kAnyLength);
}

ordered_json session(const ExportPlan& plan, const Component& component) {
  const auto file =
      plan.layout.path(component, plan.variant_of(component)).lexically_relative(plan.layout.folder);
  return {{"session_options", {{"log_id", "onnxruntime-genai"}, {"provider_options", ordered_json::array()}}},
          {"filename", file.generic_string()}};
}

void add_sizes(ordered_json& section, const GenaiCache& cache, std::int64_t hidden_size, std::int64_t heads) {
  section["head_size"] = cache.head_size;
  section["hidden_size"] = hidden_size;
  section["num_attention_heads"] = heads;
  section["num_key_value_heads"] = cache.heads;
  section["num_hidden_layers"] = cache.layers;
}

ordered_json decoder_section(const ExportPlan& plan, const Component& decoder) {
  const GenaiCache own = genai_cache(plan, decoder, "", client_type(plan).fixed);
  ordered_json inputs, outputs;
  for (const char* name :
       {"input_ids", "inputs_embeds", "per_layer_inputs", "attention_mask", "position_ids"}) {
    if (decoder.interface.find_input(name) != nullptr) inputs[name] = name;
  }
  inputs["past_key_names"] = own.past_key;
  inputs["past_value_names"] = own.past_value;
  if (!own.past_conv.empty()) {
    inputs["past_conv_names"] = own.past_conv;
    outputs["present_conv_names"] = own.present_conv;
  }
  if (!own.past_recurrent.empty()) {
    inputs["past_recurrent_names"] = own.past_recurrent;
    outputs["present_recurrent_names"] = own.present_recurrent;
  }
  outputs["logits"] = "logits";
  outputs["present_key_names"] = own.present_key;
  outputs["present_value_names"] = own.present_value;
  const NormalizedConfig& sizes = sizes_of(decoder);
  std::int64_t heads = sizes.maybe("num_attention_heads").value_or(own.heads);
  if (has_encoder(plan)) {
    const GenaiCache cross = genai_cache(plan, decoder, "encoder.");
    inputs["cross_past_key_names"] = cross.past_key;
    inputs["cross_past_value_names"] = cross.past_value;
    heads = cross.heads;  // the client takes the number for the keys of the encoder's states
  }
  ordered_json section = session(plan, decoder);
  add_sizes(section, own, sizes["hidden_size"], heads);
  section["inputs"] = std::move(inputs);
  section["outputs"] = std::move(outputs);
  if (!own.layer_types.empty()) {
    section["layer_types"] = own.layer_types;
    section["conv_cache_size"] = own.conv_size;
  }
  return section;
}

ordered_json encoder_section(const ExportPlan& plan, const Component& encoder) {
  const GenaiCache cache = genai_cache(plan, encoder, "encoder.");
  ordered_json section = session(plan, encoder);
  add_sizes(section, cache, sizes_of(encoder)["hidden_size"], cache.heads);
  section["inputs"] = {{"audio_features", encoder.interface.inputs.front().name}};
  section["outputs"] = {{"encoder_hidden_states", encoder.interface.outputs.front().name},
                        {"cross_present_key_names", cache.present_key},
                        {"cross_present_value_names", cache.present_value}};
  return section;
}

// A plain graph appends to its cache, so the client may not hand it one buffer for the old and the new one.
ordered_json search(const GenerationSettings& settings, std::int64_t context, std::int64_t vocab_size,
                    bool shared_cache) {
  return {{"do_sample", settings.flag("do_sample")},
          {"temperature", settings.real("temperature").value_or(1)},
          {"top_k", std::min(settings.integer("top_k").value_or(50), vocab_size)},
          {"top_p", settings.real("top_p").value_or(1)},
          {"repetition_penalty", settings.real("repetition_penalty").value_or(1)},
          {"no_repeat_ngram_size", settings.integer("no_repeat_ngram_size").value_or(0)},
          {"num_beams", settings.integer("num_beams").value_or(1)},
          {"num_return_sequences", settings.integer("num_return_sequences").value_or(1)},
          {"length_penalty", settings.real("length_penalty").value_or(1)},
          {"min_length", settings.integer("min_length").value_or(0)},
          {"max_length", context},
          {"past_present_share_buffer", shared_cache}};
}

std::string_view type_name(const ExportPlan& plan) {
  if (sees(plan)) return vision_client_type(plan);
  return has_encoder(plan) ? "whisper" : client_type(plan).name;
}

void check_inputs(const ExportPlan& plan, const Component& decoder) {
  const auto& states = decoder.interface.states;
  for (const TensorSpec& input : decoder.interface.inputs) {
    const bool is_state = std::any_of(states.begin(), states.end(),
                                      [&](const StateSpec& state) { return state.input == input.name; });
    if (is_state) continue;
    if (sees(plan) && (input.name == "inputs_embeds" || input.name == "per_layer_inputs")) continue;
    if (input.name != "input_ids" && input.name != "attention_mask" && input.name != "position_ids")
      refuse_genai(plan, fmt::format("the client does not give the decoder '{}'", input.name));
    if (input.dtype != DType::i64 && input.dtype != DType::i32) {
      refuse_genai(plan, fmt::format("the client gives '{}' as int64 or int32, got --int-dtype {}",
                                     input.name, to_string(input.dtype)));
    }
  }
}

}  // namespace

bool has_encoder(const ExportPlan& plan) { return find_part(plan, "encoder") != nullptr; }

void refuse_genai(const ExportPlan& plan, const std::string& reason) {
  const std::vector<std::string>& tasks = plan.model.definition().tasks;
  const char* decoder = "text-generation-with-past";
  const bool has_task = std::find(tasks.begin(), tasks.end(), decoder) != tasks.end();
  throw ExportError(
      ErrorCode::unsupported,
      fmt::format(
          "--layout genai: model type '{}', task '{}': {}; onnxruntime-genai runs decoders with a "
          "cache ({}), whisper (automatic-speech-recognition-with-past), and some models that see "
          "(image-text-to-text-with-past); {}use --layout optimum for Optimum, transformers.js and ONNX "
          "Runtime",
          plan.model.config().model_type(), plan.model.task(), reason, decoder,
          has_task && plan.model.task() != decoder ? fmt::format("use --task {}, or ", decoder) : ""));
}

const Component& decoder_of(const ExportPlan& plan) {
  const Component& one = sees(plan) ? plan.components.back() : plan.components.front();
  if (plan.components.size() != 1 && !sees(plan))
    refuse_genai(plan, fmt::format("it has {} components", plan.components.size()));
  if (!one.interface.has_output("logits") || !one.interface.takes_past())
    refuse_genai(plan, "it does not generate text with a cache");
  check_inputs(plan, one);
  genai_cache(plan, one, "", client_type(plan).fixed);
  return one;
}

std::string genai_config(const ExportPlan& plan, bool shared_cache) {
  const bool speech = has_encoder(plan);
  const Component& decoder = speech ? plan.components.back() : decoder_of(plan);
  const GenerationSettings settings(plan.model);
  const std::int64_t vocab_size = sizes_of(decoder)["vocab_size"];
  const std::int64_t context = context_length(decoder);
  const std::vector<std::int64_t> ends = end_tokens(plan.model, settings, vocab_size);
  const std::int64_t pad = settings.integer("pad_token_id").value_or(-1);

  ordered_json model = {{"type", type_name(plan)}};
  if (const auto bos = settings.integer("bos_token_id")) model["bos_token_id"] = *bos;
  model["eos_token_id"] = ends.size() == 1 ? ordered_json(ends.front()) : ordered_json(ends);
  model["pad_token_id"] = pad < 0 ? ends.front() : pad;
  if (const auto start = settings.integer("decoder_start_token_id"); start && speech)
    model["decoder_start_token_id"] = *start;
  model["vocab_size"] = vocab_size;
  model["context_length"] = context;
  if (sees(plan)) add_vision(plan, model);
  if (speech) model["encoder"] = encoder_section(plan, plan.components.front());
  model["decoder"] = decoder_section(plan, decoder);
  return ordered_json{{"model", std::move(model)},
                      {"search", search(settings, context, vocab_size, shared_cache)}}
             .dump(4) +
         "\n";
}

}  // namespace onnxport::layout
