// Pipelines of the library diffusers: how they are found, and the files of an export.
#include <gtest/gtest.h>

#include "diffusers_pipeline.h"
#include "hub_server.h"
#include "run_program.h"
#include "runtime/session.h"
#include "support/json.h"
#include "test_environment.h"

namespace onnxport::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using Strings = std::vector<std::string>;

TEST(Diffusers, LibraryTypeAndTaskAreInferred) {
  const Pipeline pipeline("sdxl");
  EXPECT_EQ(TasksManager::infer_library_from_model(pipeline.folder()), "diffusers");
  const Model model = pipeline.open();
  EXPECT_EQ(model.definition().library, "diffusers");
  EXPECT_EQ(model.definition().model_type, "stable-diffusion-xl");
  EXPECT_EQ(model.config().model_type(), "StableDiffusionXLPipeline");
  EXPECT_EQ(model.task(), "text-to-image");
  pipeline.change("model_index.json",
                  [](json& index) { index["_class_name"] = "StableDiffusionXLInpaintPipeline"; });
  // All tasks have the same components.
  for (const char* task : {"auto", "stable-diffusion-xl", "image-to-image", "inpainting"})
    EXPECT_EQ(pipeline.open(task).task(), "text-to-image");
}

TEST(Diffusers, ComponentsHaveOptimumsNamesAndOrder) {
  Strings names;
  for (const Component& component : make_plan(Pipeline("sd35").open()).components) {
    names.push_back(component.folder);
    EXPECT_EQ(component.stem, "model");
  }
  EXPECT_EQ(names, (Strings{"text_encoder", "text_encoder_2", "text_encoder_3", "transformer", "vae_encoder",
                            "vae_decoder"}));
}

TEST(Diffusers, AComponentThatIsNullIsLeftOut) {
  const Pipeline pipeline("sd3");
  pipeline.change("model_index.json", [](json& index) { index["text_encoder_3"] = {nullptr, nullptr}; });
  fs::remove_all(pipeline.folder() / "text_encoder_3");
  EXPECT_EQ(make_plan(pipeline.open()).components.size(), 5);
  pipeline.build();
}

TEST(Diffusers, FilesOfAnExport) {
  const Pipeline pipeline("sd");
  pipeline.change("vae/config.json", [](json& config) { config.erase("scaling_factor"); });
  pipeline.run();
  EXPECT_EQ(files_in(pipeline.out()),
            (std::set<std::string>{
                "model_index.json", "scheduler/scheduler_config.json", "text_encoder/config.json",
                "text_encoder/model.onnx", "tokenizer/merges.txt", "tokenizer/special_tokens_map.json",
                "tokenizer/tokenizer_config.json", "tokenizer/vocab.json", "unet/config.json",
                "unet/model.onnx", "vae_decoder/config.json", "vae_decoder/model.onnx",
                "vae_encoder/config.json", "vae_encoder/model.onnx"}));
  // Optimum's classes take a missing factor for another one than diffusers does.
  const json vae = parse_json<json>(read_text_file(pipeline.out() / "vae_decoder" / "config.json"));
  EXPECT_EQ(vae["scaling_factor"], 0.18215);
  EXPECT_EQ(vae["_class_name"], "AutoencoderKL");
  EXPECT_EQ(parse_json<json>(read_text_file(pipeline.out() / "text_encoder" / "config.json")),
            parse_json<json>(read_text_file(pipeline.folder() / "text_encoder" / "config.json")));
}

TEST(Diffusers, ValidateFindsTheFilesOfAnExport) {
  const Pipeline pipeline("sd");
  pipeline.run();
  const std::vector<ValidationReport> reports =
      main_validate({.model = pipeline.folder(), .onnx = pipeline.out()});
  EXPECT_EQ(reports.size(), 4);
  for (const ValidationReport& report : reports) EXPECT_TRUE(report.passed());
  const std::vector<ValidationReport> one =
      main_validate({.model = pipeline.folder(), .onnx = pipeline.out() / "vae_decoder" / "model.onnx"});
  EXPECT_EQ(one.size(), 1);
}

TEST(Diffusers, DataOfLargeModelsLieBesideThem) {
  const Pipeline pipeline("sd");
  MainExportOptions options;
  options.export_options.external_data = "always";
  options.export_options.external_data_threshold = 1024;
  pipeline.run(options);
  for (const char* component : {"text_encoder", "unet", "vae_encoder", "vae_decoder"}) {
    EXPECT_TRUE(fs::exists(pipeline.out() / component / "model.onnx_data")) << component;
    const runtime::Session session(pipeline.out() / component / "model.onnx", {.intra_op_threads = 1});
  }
}

TEST(Diffusers, AComponentAlone) {
  const Pipeline pipeline("sd");
  const auto open = [&](const char* name) {
    return TasksManager::instance().get_model_from_task("auto", pipeline.folder() / name);
  };
  EXPECT_EQ(open("unet").definition().model_type, "unet-2d-condition");
  EXPECT_EQ(make_plan(open("unet")).components.front().name, "model");
  const Model vae = open("vae");
  EXPECT_EQ(vae.definition().model_type, "autoencoder-kl");
  const ExportPlan plan = make_plan(vae);
  ASSERT_EQ(plan.components.size(), 2);
  EXPECT_EQ(plan.components[1].name, "vae_decoder");
  for (const Component& component : plan.components) vae.build(component);
  EXPECT_TRUE(vae.check_accounting(false).empty());
}

TEST(Diffusers, VariantsOfComponents) {
  const Pipeline pipeline("sd");
  const auto rename = [&](const std::string& component, const std::string& from, const std::string& to) {
    fs::rename(pipeline.folder() / component / from, pipeline.folder() / component / to);
  };
  for (const char* component : {"unet", "vae"})
    rename(component, "diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.fp16.safetensors");
  expect_words(pipeline.complaint(ErrorCode::bad_checkpoint), {"unet", "--weights-variant fp16"});
  const Model model = pipeline.open("auto", {.weights_variant = "fp16"});  // the text encoder has none
  for (const Component& component : make_plan(model).components) model.build(component);
  EXPECT_TRUE(test::complaint(ErrorCode::bad_checkpoint, [&] {
                pipeline.open("auto", {.weights_variant = "bf16"});
              }).find("bf16") != std::string::npos);
}

TEST(Diffusers, ShardsOfAComponent) {
  const Pipeline pipeline("sd");
  const fs::path unet = pipeline.folder() / "unet";
  NamedTensors tensors = read_safetensors(unet / "diffusion_pytorch_model.safetensors");
  const auto half = tensors.begin() + static_cast<std::ptrdiff_t>(tensors.size() / 2);
  json index = {{"metadata", json::object()}, {"weight_map", json::object()}};
  const auto write = [&](const std::string& name, const NamedTensors& part) {
    write_safetensors(unet / name, part);
    for (const auto& [key, tensor] : part) index["weight_map"][key] = name;
  };
  write("a.safetensors", {tensors.begin(), half});
  write("b.safetensors", {half, tensors.end()});
  fs::remove(unet / "diffusion_pytorch_model.safetensors");
  std::ofstream(unet / "diffusion_pytorch_model.safetensors.index.json") << index;
  pipeline.build();
}

TEST(Diffusers, OlderNamesInTheAutoencoder) {
  const Pipeline pipeline("sd");
  const fs::path file = pipeline.folder() / "vae" / "diffusion_pytorch_model.safetensors";
  NamedTensors tensors = read_safetensors(file);
  const std::vector<std::pair<std::string, std::string>> older = {
      {".to_q.", ".query."}, {".to_k.", ".key."}, {".to_v.", ".value."}, {".to_out.0.", ".proj_attn."}};
  for (auto& [key, tensor] : tensors) {
    for (const auto& [from, to] : older) {
      if (const auto at = key.find(from); at != key.npos) key.replace(at, from.size(), to);
    }
  }
  write_safetensors(file, tensors);
  pipeline.build();
}

TEST(Diffusers, TheAutoencoderOfXlComputesInFloat32) {
  const auto largest = [](const Pipeline& pipeline) {
    const Model model = pipeline.open();
    const ExportPlan plan = make_plan(model, {.dtype = "fp16"});
    for (const char* name : {"vae_encoder", "vae_decoder"}) {
      const Graph graph = model.build(plan.component(name));
      EXPECT_EQ(graph.inputs().front().second.dtype(), DType::f16);
      EXPECT_EQ(graph.outputs().front().second.dtype(), DType::f16);
    }
    return model.build(plan.component("vae_decoder")).float_dtype();
  };
  const Pipeline pipeline("sdxl");
  EXPECT_EQ(largest(pipeline), DType::f32);
  pipeline.change("vae/config.json", [](json& config) { config["force_upcast"] = false; });
  EXPECT_EQ(largest(pipeline), DType::f16);
  EXPECT_EQ(largest(Pipeline("sd")), DType::f16);
}

// The activations of the published autoencoder are beyond the range of float16.
TEST(Diffusers, TheAutoencoderOfXlIsFiniteInFloat16) {
  const Pipeline pipeline("sdxl");
  const fs::path file = pipeline.folder() / "vae" / "diffusion_pytorch_model.safetensors";
  NamedTensors tensors = read_safetensors(file);
  for (auto& [key, tensor] : tensors) {
    if (key != "decoder.conv_in.weight") continue;
    std::vector<double> values = tensor.to_doubles();
    for (double& value : values) value *= 1e6;
    tensor = Tensor::from_doubles(tensor.dtype, tensor.shape, values);
  }
  write_safetensors(file, tensors);
  MainExportOptions options{.model = pipeline.folder(), .output = pipeline.out(), .dtype = "fp16"};
  EXPECT_TRUE(main_export(options).passed());
  // Without the cast to float32 they are beyond it here too.
  pipeline.change("vae/config.json", [](json& config) { config["force_upcast"] = false; });
  options.output = pipeline.folder().parent_path() / "half";
  EXPECT_FALSE(main_export(options).passed());
}

class DiffusersHub : public testing::Test {
 protected:
  void SetUp() override {
    setenv("HF_ENDPOINT", server_.endpoint().c_str(), 1);
    setenv("HF_HOME", (temp_.path() / "home").c_str(), 1);
    setenv("no_proxy", "*", 1);
  }
  CleanEnvironment environment_;
  TempFolder temp_;
  HubServer server_;
};

TEST_F(DiffusersHub, OnlyWhatIsNeeded) {
  const Pipeline pipeline("sd");
  const fs::path folder = pipeline.folder();
  const std::set<std::string> wanted = files_in(folder);
  std::ofstream(folder / "README.md") << "---\npipeline_tag: text-to-image\n---\n";
  std::ofstream(folder / "v1-5-pruned.safetensors") << "weights";
  std::ofstream(folder / "unet" / "diffusion_pytorch_model.bin") << "weights";
  std::ofstream(folder / "unet" / "diffusion_pytorch_model.fp16.safetensors") << "weights";
  fs::create_directories(folder / "safety_checker");
  std::ofstream(folder / "safety_checker" / "config.json") << "{}";
  std::ofstream(folder / "safety_checker" / "model.safetensors") << "weights";
  server_.add_folder("org/name", folder);
  const fs::path out = temp_.path() / "out";
  const ProgramResult result =
      run_program({"export", "onnx", "--no-validate", "-m", "org/name", out.string()});
  ASSERT_EQ(result.status, 0) << result.err;
  const fs::path snapshot =
      temp_.path() / "home" / "hub" / "models--org--name" / "snapshots" / HubServer::commit();
  std::set<std::string> cached = files_in(snapshot);
  cached.erase("safety_checker/config.json");  // small, and tells nothing before it is read
  EXPECT_EQ(cached, wanted);
  pipeline.run();
  EXPECT_EQ(files_in(out), files_in(pipeline.out()));
}

TEST_F(DiffusersHub, AdaptersOfPipelines) {
  const Pipeline pipeline("sd");
  server_.add_folder("org/name", pipeline.folder());
  const std::string module = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.lora_";
  const fs::path adapter = temp_.path() / "adapter";
  fs::create_directories(adapter);
  write_safetensors(adapter / "pytorch_lora_weights.safetensors",
                    {{module + "A.weight", Tensor(DType::f32, {2, 16})},
                     {module + "B.weight", Tensor(DType::f32, {16, 2})}});
  std::ofstream(adapter / "README.md") << "words";
  server_.add_folder("org/lora", adapter);
  const std::string out = (temp_.path() / "out").string();
  const ProgramResult result =
      run_program({"export", "onnx", "--no-validate", "-m", "org/name", "--adapter", "org/lora", out});
  EXPECT_EQ(result.status, 0) << result.err;
  expect_words(result.err, {"merged into 1 weights"});
  const ProgramResult alone = run_program({"export", "onnx", "-m", "org/lora", out});
  EXPECT_EQ(alone.status, 3);
  expect_words(alone.err, {"pytorch_lora_weights.safetensors", "--model BASE --adapter"});
}

TEST_F(DiffusersHub, UnknownClassesAreFoundBeforeTheWeights) {
  const Pipeline pipeline("sd");
  pipeline.change("model_index.json", [](json& index) { index["_class_name"] = "OtherPipeline"; });
  server_.add_folder("org/name", pipeline.folder());
  const ProgramResult result =
      run_program({"export", "onnx", "-m", "org/name", (temp_.path() / "out").string()});
  EXPECT_EQ(result.status, 5);
  expect_words(result.err, {"'OtherPipeline'"});
  for (const HubRequest& request : server_.requests())
    EXPECT_EQ(request.path.find(".safetensors"), std::string::npos) << request.path;
}

}  // namespace
}  // namespace onnxport::test
