// What clients can run: components, and refusals.
#include "layout/layout.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "layout/genai_cache.h"
#include "layout/transformers_js.h"
#include "layout_checkpoint.h"
#include "onnxport/inspect.h"
#include "support/json.h"

namespace onnxport::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using Checkpoint = LayoutCheckpoint;
using Strings = std::vector<std::string>;

constexpr const char* kLlama = "llama/text-generation-with-past";
constexpr const char* kWhisper = "whisper/automatic-speech-recognition-with-past";

// The encoder of the fixture has 25 positions, and that of every published checkpoint 1500.
constexpr std::int64_t kPositions = 1500;

void lengthen_encoder(const Checkpoint& whisper) {
  whisper.edit("config.json", [](json& config) { config["max_source_positions"] = kPositions; });
  whisper.edit_tensors([](NamedTensors& tensors) {
    for (auto& [name, tensor] : tensors) {
      if (name != "model.encoder.embed_positions.weight") continue;
      const std::vector<double> few = tensor.to_doubles();
      std::vector<double> many;
      while (many.size() < static_cast<std::size_t>(kPositions * tensor.shape[1]))
        many.insert(many.end(), few.begin(), few.end());
      tensor = Tensor::from_doubles(tensor.dtype, {kPositions, tensor.shape[1]}, many);
    }
  });
}

// ---- refusals ----

TEST(GenaiLayout, RefusesWhatTheClientCannotRun) {
  const std::string encoder = Checkpoint("bert/fill-mask").refusal();
  EXPECT_TRUE(
      contains(encoder, "model type 'bert', task 'fill-mask': it does not generate text with a cache"))
      << encoder;
  EXPECT_TRUE(contains(encoder, "use --layout optimum for Optimum, transformers.js")) << encoder;
  const std::string uncached = Checkpoint(kLlama).refusal("text-generation");
  EXPECT_TRUE(contains(uncached, "use --task text-generation-with-past")) << uncached;
  const std::string t5 = Checkpoint("t5/text2text-generation-with-past").refusal();
  EXPECT_TRUE(contains(t5,
                       "its encoder takes input_ids, attention_mask; the client has encoders of "
                       "input_features only"))
      << t5;
  const std::string short_audio = Checkpoint(kWhisper).refusal();
  EXPECT_TRUE(contains(short_audio, "[batch_size, 10, 50]; the client gives 3000 frames")) << short_audio;
  const Checkpoint whisper(kWhisper);
  lengthen_encoder(whisper);
  EXPECT_TRUE(contains(whisper.refusal("automatic-speech-recognition"), "has no cache"));
}

TEST(GenaiLayout, RefusesInputsThatTheClientDoesNotGive) {
  const Checkpoint llama(kLlama);
  MainExportOptions fixed = llama.options();
  fixed.export_options.dynamic_axes = false;
  const std::string axes = complaint(ErrorCode::unsupported, [&] { plan_export(fixed); });
  EXPECT_TRUE(contains(axes, "leave out --no-dynamic-axes")) << axes;
  MainExportOptions narrow = llama.options();
  narrow.int_dtype = "int8";
  const std::string dtype = complaint(ErrorCode::unsupported, [&] { plan_export(narrow); });
  EXPECT_TRUE(contains(dtype, "int64 or int32")) << dtype;
  ExportPlan plan = llama.plan();
  plan.components[0].interface.inputs.push_back({.name = "token_type_ids", .dtype = DType::i64});
  const std::string input = complaint(ErrorCode::unsupported, [&] { layout::decoder_of(plan); });
  EXPECT_TRUE(contains(input, "the client does not give the decoder 'token_type_ids'")) << input;
}

TEST(GenaiLayout, RefusesStatesThatTheClientCannotHold) {
  const Checkpoint llama(kLlama);
  const auto refusal_of = [&](const std::function<void(std::vector<StateSpec>&)>& change) {
    ExportPlan plan = llama.plan();
    change(plan.components[0].interface.states);
    return complaint(ErrorCode::unsupported, [&] { layout::genai_cache(plan, plan.components[0], ""); });
  };
  const std::string part = refusal_of([](auto& states) { states[0].part = "conv"; });
  EXPECT_TRUE(contains(
      part, "state 'past_key_values.0.key' (conv of layer 0): the client holds only keys and values"))
      << part;
  const std::string sizes = refusal_of([](auto& states) { states[3].shape[3] = 16; });
  EXPECT_TRUE(contains(sizes, "the keys of layer 1 have the shape")) << sizes;
  const std::string name = refusal_of([](auto& states) { states[2].input = "past.one.key"; });
  EXPECT_TRUE(contains(name, "does not contain the number of its layer")) << name;
  const std::string names = refusal_of([](auto& states) { states[2].input = "cache.1.key"; });
  EXPECT_TRUE(contains(names, "got 'past_key_values.%d.key' and 'cache.%d.key'")) << names;
  const std::string missing = refusal_of([](auto& states) { states.pop_back(); });
  EXPECT_TRUE(contains(missing, "has 2 keys and 1 values")) << missing;
}

class TransformersJsCheckpoint : public LayoutCheckpoint {
 public:
  explicit TransformersJsCheckpoint(const std::string& fixture)
      : LayoutCheckpoint(fixture, "transformers.js") {}
};

TEST(TransformersJsLayout, WritesInfinityAsANumberOfJson) {
  const TransformersJsCheckpoint mamba("mamba2/text-generation-with-past");
  main_export(mamba.options());
  const std::string config = read_text_file(mamba.out() / "config.json");
  EXPECT_FALSE(contains(config, "Infinity"));
  EXPECT_TRUE(contains(config, "1e999")) << config;
}

json config_of_transformers_js(const TransformersJsCheckpoint& checkpoint) {
  const std::string text = read_text_file(checkpoint.file("config.json"));
  return parse_json<json>(layout::transformers_js_config(checkpoint.plan(), text, {}));
}

TEST(TransformersJsLayout, FillsInSizesThatAPartLeavesToItsClass) {
  const TransformersJsCheckpoint llava("llava/image-text-to-text-with-past");
  llava.edit("config.json", [](json& config) {
    for (const char* key : {"num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim"})
      config["text_config"].erase(key);
  });
  const json text = config_of_transformers_js(llava)["text_config"];
  EXPECT_EQ(text["num_hidden_layers"], 32) << text.dump();
  EXPECT_EQ(text["num_attention_heads"], 32);
  EXPECT_FALSE(text.contains("head_dim")) << "the class has no number for it";
}

// A backbone has a list of the number of heads in each stage, which is no size of a cache.
TEST(TransformersJsLayout, FillsInNoLists) {
  const TransformersJsCheckpoint maskformer("maskformer/image-segmentation");
  const std::string text = R"({"model_type": "maskformer", "backbone_config": {"model_type": "swin"}})";
  const json config = parse_json<json>(layout::transformers_js_config(maskformer.plan(), text, {}));
  EXPECT_FALSE(config["backbone_config"].contains("num_heads")) << config.dump();
}

TEST(TransformersJsLayout, CountsTheOutputsOfAnImageEncoder) {
  const json config = config_of_transformers_js(TransformersJsCheckpoint("sam3_tracker/feature-extraction"));
  EXPECT_EQ(config["vision_config"]["num_feature_levels"], 3);
}

TEST(TransformersJsLayout, TakesNoMasksOfSamples) {
  const ExportPlan plan = TransformersJsCheckpoint("moonshine/automatic-speech-recognition-with-past").plan();
  EXPECT_EQ(plan.component("encoder_model").interface.input_names(),
            std::vector<std::string>{"input_values"});
  for (const char* name : {"decoder_model", "decoder_with_past_model"}) {
    const Interface& decoder = plan.component(name).interface;
    EXPECT_EQ(decoder.find_input("encoder_attention_mask"), nullptr) << name;
    EXPECT_EQ(decoder.find_input("encoder_hidden_states")->shape[1], Dim::parse("encoder_sequence_length"))
        << name;
  }
}

TEST(TransformersJsLayout, WritesThePreprocessorThatIsAPartOfTheProcessor) {
  const TransformersJsCheckpoint wav2vec2("wav2vec2/automatic-speech-recognition");
  wav2vec2.write("processor_config.json",
                 {{"feature_extractor",
                   {{"feature_extractor_type", "Wav2Vec2FeatureExtractor"}, {"sampling_rate", 16000}}},
                  {"processor_class", "Wav2Vec2Processor"}});
  main_export(wav2vec2.options());
  EXPECT_EQ(parse_json<json>(read_text_file(wav2vec2.out() / "preprocessor_config.json")),
            json({{"feature_extractor_type", "Wav2Vec2FeatureExtractor"},
                  {"sampling_rate", 16000},
                  {"processor_class", "Wav2Vec2Processor"}}));
}

TEST(Layout, RefusesAnUnknownName) {
  MainExportOptions options = Checkpoint(kLlama).options();
  const Checkpoint llama(kLlama);
  options.model = llama.path();
  options.layout = "tflite";
  EXPECT_TRUE(contains(
      complaint(ErrorCode::invalid_argument, [&] { plan_export(options); }),
      "--layout 'tflite': expected optimum, genai, transformers.js, sentence-transformers or sherpa"));
}

// ---- whisper ----

Strings names_of(const std::vector<ValueSummary>& values) {
  Strings names;
  for (const ValueSummary& value : values) names.push_back(value.name);
  return names;
}

TEST(GenaiLayout, GivesTheEncoderOfWhisperTheCacheOfItsStates) {
  const Checkpoint whisper(kWhisper);
  lengthen_encoder(whisper);
  whisper.write("preprocessor_config.json", {{"feature_size", 10}, {"n_fft", 200}});
  MainExportOptions options = whisper.options();
  options.validate = true;
  const ExportReport report = main_export(options);
  EXPECT_TRUE(report.passed());
  EXPECT_EQ(report.validation.size(), 2U);

  const ModelSummary encoder = summarize(whisper.out() / "encoder_model.onnx");
  EXPECT_EQ(names_of(encoder.graph.inputs), Strings{"input_features"});
  EXPECT_EQ(names_of(encoder.graph.outputs),
            (Strings{"last_hidden_state", "present.0.encoder.key", "present.0.encoder.value",
                     "present.1.encoder.key", "present.1.encoder.value"}));
  // The table of tokens would come with a decoder that was not removed.
  for (const InitializerSummary& one : encoder.graph.initializers)
    EXPECT_FALSE(contains(one.name, "embed_tokens")) << one.name;
  const ModelSummary decoder = summarize(whisper.out() / "decoder_with_past_model.onnx");
  EXPECT_FALSE(contains(json(names_of(decoder.graph.inputs)).dump(), "encoder_hidden_states"));
  EXPECT_FALSE(fs::exists(whisper.out() / "decoder_model_merged.onnx"));

  const json model = parse_json<json>(read_text_file(whisper.out() / "genai_config.json"))["model"];
  EXPECT_EQ(model["type"], "whisper");
  EXPECT_EQ(model["context_length"], 32);
  EXPECT_EQ(model["encoder"]["filename"], "encoder_model.onnx");
  EXPECT_EQ(model["encoder"]["hidden_size"], 32);
  EXPECT_EQ(model["encoder"]["outputs"]["cross_present_key_names"], "present.%d.encoder.key");
  EXPECT_EQ(model["decoder"]["filename"], "decoder_with_past_model.onnx");
  EXPECT_EQ(model["decoder"]["inputs"]["cross_past_value_names"], "past_key_values.%d.encoder.value");
  EXPECT_EQ(model["decoder"]["inputs"]["past_key_names"], "past_key_values.%d.decoder.key");
  const json audio = parse_json<json>(read_text_file(whisper.out() / "audio_processor_config.json"));
  const json& mel = audio["feature_extraction"]["sequence"][2]["operation"];
  EXPECT_EQ(mel["type"], "LogMelSpectrum");
  EXPECT_EQ(mel["attrs"]["n_mel"], 10);
  EXPECT_EQ(mel["attrs"]["n_fft"], 200);
  EXPECT_EQ(mel["attrs"]["hop_length"], 160);

  const std::vector<ValidationReport> again = main_validate(
      {.model = whisper.path(), .onnx = whisper.out(), .task = options.task, .layout = "genai"});
  EXPECT_EQ(again.size(), 2U);
}

}  // namespace
}  // namespace onnxport::test
