// Adapters that are not used, or not as they are: each refusal names file, key, value and the next step.
#include <gtest/gtest.h>

#include "adapter_files.h"
#include "errors.h"
#include "onnxport/export.h"
#include "onnxport/tasks_manager.h"
#include "run_program.h"

namespace onnxport::test {
namespace {

namespace fs = std::filesystem;
using json = nlohmann::ordered_json;

using enum ErrorCode;

void expect_words(const std::string& message, const std::vector<std::string>& words) {
  for (const std::string& word : words)
    EXPECT_NE(message.find(word), std::string::npos) << word << "\n" << message;
}

/// The message of an export of the adapter.
std::string export_error(const AdapterFiles& files, ErrorCode code, const fs::path& model = {}) {
  return complaint(code, [&] {
    main_export(
        {.model = model.empty() ? files.adapter() : model, .output = files.output(), .validate = false});
  });
}

// ---------------------------------------------------------------------------------------------------------------------
// Configurations

/// A change of adapter_config.json.
struct Setting {
  std::string key;
  json value;
  ErrorCode code;
  std::vector<std::string> words;
};

std::vector<Setting> refused_settings() {
  const std::string merge = "merge_and_unload, save_pretrained";
  std::vector<Setting> all;
  for (const char* method : {"IA3", "ADALORA", "LOHA", "LOKR", "OFT", "VERA", "TRAINABLE_TOKENS"})
    all.push_back({"peft_type", method, unsupported, {"peft_type", method, "\"LORA\"", merge}});
  for (const char* method : {"PROMPT_TUNING", "PREFIX_TUNING", "P_TUNING"})
    all.push_back({"peft_type", method, unsupported, {"peft_type", method, "'LORA'", "adds inputs"}});
  const std::vector<std::pair<std::string, json>> computing = {
      {"alora_invocation_tokens", {1, 2}}, {"arrow_config", {{"top_k", 3}}},
      {"enable_lora", {true, false}},      {"layer_replication", {{0, 1}, {0, 2}}},
      {"megatron_config", {{"a", 1}}},     {"target_parameters", {"experts.gate_up_proj"}},
      {"trainable_token_indices", {1, 2}}, {"use_qalora", true},
      {"kasa_config", {{"beta", 1}}},      {"use_bdlora", {{"nblocks", 2}}},
  };
  for (const auto& [key, value] : computing)
    all.push_back({key, value, unsupported, {key, value.dump(), "changes the computation", merge}});
  for (const char* start : {"pissa", "pissa_niter_16", "olora", "corda", "loftq", "lora_ga"})
    all.push_back(
        {"init_lora_weights", start, unsupported, {"init_lora_weights", start, "expected true", merge}});
  all.push_back({"new_key", 7, unsupported, {"new_key", "7", "unknown", merge}});
  all.push_back({"r", 0, bad_config, {"'r'", "0", "a positive integer"}});
  all.push_back({"lora_alpha", "8", bad_config, {"'lora_alpha'", "a number"}});
  all.push_back({"use_dora", 1, bad_config, {"'use_dora'", "true or false"}});
  all.push_back({"bias", "some", bad_config, {"'bias'", "some", "lora_only"}});
  all.push_back({"modules_to_save", "head", bad_config, {"'modules_to_save'", "a list of texts"}});
  all.push_back({"rank_pattern", {{"(q_proj", 4}}, bad_config, {"(q_proj", "regular expression"}});
  all.push_back({"rank_pattern", {{"q_proj", "4"}}, bad_config, {"rank_pattern", "a positive integer"}});
  all.push_back(
      {"base_model_name_or_path", "", bad_config, {"base_model_name_or_path", "--model BASE --adapter"}});
  return all;
}

TEST(AdapterErrors, SettingsAreRefusedByNameAndValue) {
  const AdapterFiles files("llama_plain");
  for (const Setting& setting : refused_settings()) {
    SCOPED_TRACE(setting.key + " " + setting.value.dump());
    json before;
    files.edit_config([&](json& config) {
      before = config;
      config[setting.key] = setting.value;
    });
    std::vector<std::string> words = setting.words;
    words.emplace_back("adapter_0/adapter_config.json");
    expect_words(export_error(files, setting.code), words);
    files.edit_config([&](json& config) { config = before; });
  }
}

TEST(AdapterErrors, SettingsOfTrainingDoNotMatter) {
  const AdapterFiles files("llama_plain");
  files.edit_config([](json& config) {
    config["lora_dropout"] = 0.5;
    config["init_lora_weights"] = "eva";
    config["eva_config"] = {{"rho", 2.0}};
    config["corda_config"] = {{"corda_method", "kpm"}};
    config["loftq_config"] = {{"loftq_bits", 4}};
    config["megatron_core"] = "megatron.core";
    config["merge_weights"] = true;
    config["new_key"] = false;
    config["newer_key"] = nullptr;
    config.erase("rank_pattern");
    config.erase("peft_version");
  });
  EXPECT_NO_THROW(main_export({.model = files.adapter(), .output = files.output(), .validate = false}));
}

// ---------------------------------------------------------------------------------------------------------------------
// Tensors

/// A change of the adapter's tensors.
struct Damage {
  std::string fixture;
  std::function<void(NamedTensors&)> edit;
  ErrorCode code;
  std::vector<std::string> words;
};

Tensor& at(NamedTensors& tensors, const std::string& ending) {
  for (auto& [key, tensor] : tensors) {
    if (key.ends_with(ending)) return tensor;
  }
  throw std::out_of_range(ending);
}

void rename(NamedTensors& tensors, const std::string& from, const std::string& to) {
  for (auto& [key, tensor] : tensors) {
    if (key.ends_with(from)) key.replace(key.size() - from.size(), from.size(), to);
  }
}

std::vector<Damage> damages() {
  const std::string q = "layers.0.self_attn.q_proj.";
  return {
      {"llama_plain",
       [=](auto& t) { at(t, q + "lora_A.weight") = Tensor(DType::f32, {3, 32}); },
       bad_checkpoint,
       {q + "lora_A.weight", "[3, 32]", "[4, ...]", "rank 4 of", "adapter_model.safetensors"}},
      {"llama_plain",
       [=](auto& t) { at(t, q + "lora_B.weight") = Tensor(DType::f32, {32, 5}); },
       bad_checkpoint,
       {q + "lora_B.weight", "[32, 5]", "[..., 4]"}},
      {"llama_plain",
       [=](auto& t) { at(t, q + "lora_A.weight") = Tensor(DType::f32, {4, 31}); },
       bad_checkpoint,
       {q + "lora_A.weight", "[32, 31]", "'model." + q + "weight' has shape [32, 32]", "base model"}},
      {"llama_plain",
       [=](auto& t) { at(t, q + "lora_A.weight") = Tensor(DType::i64, {4, 32}); },
       bad_checkpoint,
       {q + "lora_A.weight", "int64", "expected floats"}},
      {"llama_plain",
       [=](auto& t) { rename(t, q + "lora_B.weight", "layers.9.self_attn.q_proj.lora_B.weight"); },
       bad_checkpoint,
       {"is alone", "lora_A and lora_B"}},
      {"llama_plain",
       [](auto& t) {
         rename(t, "layers.0.self_attn.q_proj.lora_A.weight", "layers.9.self_attn.q_proj.lora_A.weight");
         rename(t, "layers.0.self_attn.q_proj.lora_B.weight", "layers.9.self_attn.q_proj.lora_B.weight");
       },
       bad_checkpoint,
       {"layers.9.self_attn.q_proj.lora_A.weight", "no tensor 'model.layers.9.self_attn.q_proj.weight'",
        "nearest keys", "base model of the adapter"}},
      {"llama_plain",
       [](auto& t) { t.emplace_back("base_model.model.extra.weight", Tensor(DType::f32, {3})); },
       bad_checkpoint,
       {"base_model.model.extra.weight", "modules_to_save", "no tensor 'extra.weight'"}},
      {"llama_plain",
       [](auto& t) { t.emplace_back("base_model.model.lora_C.weight", Tensor(DType::f32, {3})); },
       unsupported,
       {"lora_C.weight", "not one of LoRA"}},
      {"llama_plain",
       [](auto& t) { t.emplace_back("base_model.model.model.norm.weight", Tensor(DType::f32, {31, 1})); },
       bad_checkpoint,
       {"model.norm.weight", "[31, 1]", "[32]"}},
      {"llama_plain",
       [=](auto& t) {
         t.emplace_back("base_model.model.model." + q + "lora_magnitude_vector", Tensor(DType::f32, {32}));
       },
       bad_checkpoint,
       {"lora_magnitude_vector", "use_dora: false"}},
      {"llama_dora",
       [=](auto& t) { at(t, q + "lora_magnitude_vector") = Tensor(DType::f32, {31}); },
       bad_checkpoint,
       {"lora_magnitude_vector", "[31]", "[32]"}},
      {"llama_dora",
       [=](auto& t) { rename(t, q + "lora_magnitude_vector", q + "lora_A.b.weight"); },
       bad_checkpoint,
       {"occurs twice"}},
      {"bert_bias",
       [](auto& t) { at(t, "layer.0.intermediate.dense.lora_B.bias") = Tensor(DType::f32, {36}); },
       bad_checkpoint,
       {"lora_B.bias", "[36]", "[37]"}},
      {"gpt2_embedding",
       [](auto& t) { at(t, "wte.lora_embedding_A") = Tensor(DType::f32, {3, 98}); },
       bad_checkpoint,
       {"wte.lora_embedding_A", "[98, 32]", "[99, 32]"}},
      {"llama_plain", [](auto& t) { t.clear(); }, bad_checkpoint, {"no tensors"}},
  };
}

TEST(AdapterErrors, TensorsThatDoNotFit) {
  for (const Damage& damage : damages()) {
    SCOPED_TRACE(damage.words.front());
    const AdapterFiles files(damage.fixture);
    files.edit_tensors(damage.edit);
    expect_words(export_error(files, damage.code), damage.words);
  }
}

TEST(AdapterErrors, TiedWeightThatTheAdapterBringsAlong) {
  const AdapterFiles files("llama_layers_saved");
  files.edit_config([](json& config) { config["tie_word_embeddings"] = true; }, "base/config.json");
  expect_words(export_error(files, bad_checkpoint),
               {"'lm_head.weight'", "ties", "tie_word_embeddings", "merge_and_unload"});
  // A copy is as good as the tie.
  files.edit_tensors(
      [](NamedTensors& tensors) { at(tensors, "lm_head.weight") = at(tensors, "embed_tokens.weight"); });
  EXPECT_NO_THROW(main_export({.model = files.adapter(), .output = files.output(), .validate = false}));
}

TEST(AdapterErrors, TwoAdaptersBringTheSameModule) {
  const AdapterFiles files("bert_head");
  const fs::path copy = files.output().parent_path() / "copy";
  fs::copy(files.adapter(), copy);
  const std::string message = complaint(unsupported, [&] {
    main_export({.model = files.adapter(), .adapters = {copy}, .output = files.output(), .validate = false});
  });
  expect_words(message, {"copy", "bias", "replaces too"});
}

// ---------------------------------------------------------------------------------------------------------------------
// Places

TEST(AdapterErrors, MissingParts) {
  const AdapterFiles files("llama_plain");
  files.edit_config([](json& config) { config["base_model_name_or_path"] = "./no/such/base"; });
  expect_words(export_error(files, bad_config), {"adapter_config.json", "./no/such/base",
                                                 "base_model_name_or_path", "--model BASE --adapter"});
  files.edit_config([](json& config) { config["base_model_name_or_path"] = "../base"; });
  fs::remove(files.adapter() / "adapter_model.safetensors");
  expect_words(export_error(files, bad_checkpoint),
               {files.adapter().string(), "adapter_model.safetensors", "adapter_model.bin"});
  const ProgramResult result = run_program({"export", "onnx", "-m", files.base().string(), "--adapter",
                                            files.base().string(), files.output().string()});
  expect_failure(result, 3, {"--adapter", files.base().string(), "adapter_config.json"});
  EXPECT_EQ(run_program({"export", "onnx", "-m", files.base().string(), "--adapter", "./none",
                         files.output().string()})
                .status,
            3);
}

/// An adapter in the folder of its base model.
void move_beside_base(const AdapterFiles& files, const std::string& base_name) {
  for (const char* file : {"adapter_config.json", "adapter_model.safetensors"})
    fs::copy(files.adapter() / file, files.base() / file);
  files.edit_config([&](json& config) { config["base_model_name_or_path"] = base_name; },
                    "base/adapter_config.json");
}

TEST(AdapterErrors, AdapterBesideItsBaseModelIsMerged) {
  const AdapterFiles files("bert_head");
  main_export({.model = files.adapter(), .output = files.output(), .validate = false});
  move_beside_base(files, files.base().string());
  const ProgramResult result = run_program(
      {"export", "onnx", "--no-validate", "-m", files.base().string(), (files.output() / "beside").string()});
  ASSERT_EQ(result.status, 0) << result.err;
  expect_words(result.err, {"adapter " + files.base().string(), "merged into 4 weights"});
  EXPECT_EQ(read_text_file(files.output() / "model.onnx"),
            read_text_file(files.output() / "beside" / "model.onnx"));
  EXPECT_EQ(run_program({"validate", files.base().string(), (files.output() / "beside").string()}).status, 0);
  const ProgramResult inspected = run_program({"inspect", "--json", files.base().string()});
  EXPECT_EQ(parse_json<json>(inspected.out)["task"], "text-classification") << inspected.err;
}

TEST(AdapterErrors, AdapterBesideABaseModelThatIsNotThere) {
  const AdapterFiles files("bert_head");
  move_beside_base(files, "./nowhere/else");
  expect_words(export_error(files, bad_config, files.base()),
               {"./nowhere/else", "--model BASE --adapter", "remove its adapter_config.json"});
  files.edit_config([&](json& config) { config["base_model_name_or_path"] = files.base().string(); },
                    "base/adapter_config.json");
  fs::remove(files.base() / "model.safetensors");
  const std::vector<std::string> words = {"holds an adapter", "names the same folder",
                                          "no config.json and weights", "merge_and_unload",
                                          "save_pretrained"};
  expect_words(export_error(files, bad_checkpoint, files.base()), words);
  fs::remove(files.base() / "config.json");
  expect_words(export_error(files, bad_checkpoint, files.base()), words);
}

TEST(AdapterErrors, OpeningAModelDoesNotSkipAnAdapter) {
  const AdapterFiles files("bert_head");
  move_beside_base(files, ".");
  const std::string message =
      complaint(unsupported, [&] { TasksManager::instance().get_model_from_task("auto", files.base()); });
  expect_words(message, {files.base().string(), "adapter_config.json", "get_model_source"});
}

}  // namespace
}  // namespace onnxport::test
