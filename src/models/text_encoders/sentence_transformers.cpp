// Sentence Transformers: a text encoder followed by the pooling, dense and normalization modules that
// modules.json lists. Original:
// https://github.com/huggingface/sentence-transformers/tree/v5.1.2/sentence_transformers/models
#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "models/common/definition.h"
#include "models/multimodal/common/towers/clip.h"
#include "models/text_encoders/common/sentence.h"
#include "onnxport/error.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/text_encoder.h"

namespace onnxport::models {
namespace {

/// CLIP: the projected embeddings of both towers.
class SentenceTransformersClipOnnxConfig : public ClipOnnxConfig {
 public:
  using ClipOnnxConfig::ClipOnnxConfig;
  std::vector<std::string> variants() const override { return {"default"}; }
  AxesByName outputs() const override {
    return {{"text_embeds", {{0, "text_batch_size"}}}, {"image_embeds", {{0, "image_batch_size"}}}};
  }
};

constexpr const char* kEmbedding = "sentence_embedding";
constexpr const char* kHidden = "last_hidden_state";

struct Features {
  Value token_embeddings;    // [B, S, H]
  Value attention_mask;      // int [B, S]
  Value sentence_embedding;  // [B, H], once there was a pooling
};

// The enabled poolings, in the order in which the original concatenates them.
struct PoolingConfig {
  bool cls, max, mean, mean_sqrt_len, weightedmean, lasttoken;

  explicit PoolingConfig(const PretrainedConfig& c)
      : cls(c.flag("pooling_mode_cls_token", false)),
        max(c.flag("pooling_mode_max_tokens", false)),
        mean(c.flag("pooling_mode_mean_tokens", true)),
        mean_sqrt_len(c.flag("pooling_mode_mean_sqrt_len_tokens", false)),
        weightedmean(c.flag("pooling_mode_weightedmean_tokens", false)),
        lasttoken(c.flag("pooling_mode_lasttoken", false)) {
    c.harmless({"word_embedding_dimension", "embedding_dimension"});
    std::string mode = c.string("pooling_mode", "");
    if (mode.empty()) return;
    std::transform(mode.begin(), mode.end(), mode.begin(), [](unsigned char l) { return std::tolower(l); });
    const std::vector<std::pair<std::string, bool*>> modes = {{"cls", &cls},
                                                              {"max", &max},
                                                              {"mean", &mean},
                                                              {"mean_sqrt_len_tokens", &mean_sqrt_len},
                                                              {"weightedmean", &weightedmean},
                                                              {"lasttoken", &lasttoken}};
    bool known = false;
    for (const auto& [name, on] : modes) known = (*on = name == mode) || known;
    if (!known) {
      throw ExportError(ErrorCode::bad_config,
                        fmt::format("{}: pooling_mode is '{}', expected cls, max, mean, "
                                    "mean_sqrt_len_tokens, weightedmean or lasttoken",
                                    c.origin(), mode));
    }
  }
};

void pool(Features& features, const PoolingConfig& config) {
  const DType dtype = features.token_embeddings.dtype();
  const Value integer_mask = features.attention_mask;
  // Sums are float32: in half precision, those of long texts would overflow.
  const Value mask = op::unsqueeze(op::cast(integer_mask, DType::f32), 2);  // [B, S, 1]
  std::vector<Value> pooled;
  const auto weighted_sum = [&](Value weights) {
    return op::sum(op::mul(op::cast(features.token_embeddings, DType::f32), weights), 1);
  };
  const auto at_least = [](Value count) { return op::maximum(count, 1e-9); };
  if (config.max) {
    // The original modifies token_embeddings in place, which shows in its output and in the first token.
    const Value padding = op::unsqueeze(op::eq(integer_mask, 0.0), 2);
    features.token_embeddings =
        op::masked_fill(features.token_embeddings, padding, std::max(-1e9, lowest(dtype)));
  }
  if (config.cls) pooled.push_back(nn::first_token(features.token_embeddings));
  if (config.max) pooled.push_back(op::amax(features.token_embeddings, 1));
  if (config.mean || config.mean_sqrt_len) {
    const Value total = weighted_sum(mask);
    const Value count = at_least(op::sum(mask, 1));
    if (config.mean) pooled.push_back(op::cast(op::div(total, count), dtype));
    if (config.mean_sqrt_len) pooled.push_back(op::cast(op::div(total, op::sqrt(count)), dtype));
  }
  const Value positions = op::arange(mask.graph(), mask.dim(1));
  if (config.weightedmean) {
    const Value rank = op::unsqueeze(op::cast(op::add(positions, 1.0), DType::f32), 1);  // [S, 1]
    const Value weights = op::mul(mask, rank);
    const Value total = weighted_sum(weights);
    const Value count = at_least(op::sum(weights, 1));
    pooled.push_back(op::cast(op::div(total, count), dtype));
  }
  if (config.lasttoken) {
    const Value real = op::cast(integer_mask, DType::i64);
    const Value last = op::argmax(op::mul(real, positions), 1, true);  // [B, 1]
    const Value chosen = op::cast(op::eq(positions, last), DType::f32);
    pooled.push_back(op::cast(weighted_sum(op::mul(op::unsqueeze(chosen, 2), mask)), dtype));
  }
  if (pooled.empty()) throw ExportError(ErrorCode::bad_config, "the pooling module enables no pooling mode");
  features.sentence_embedding = op::concat(std::move(pooled), 1);
}

// `torch.nn.modules.activation.Tanh` -> tanh. The class is created without arguments, so it means the plain
// function.
nn::Activation activation_of_class(const std::string& dotted, const std::string& origin) {
  const std::string name = dotted.starts_with("torch.nn.") ? dotted.substr(dotted.rfind('.') + 1) : "";
  static const std::vector<std::pair<std::string, std::string>> classes = {
      {"Tanh", "tanh"},       {"Identity", "linear"}, {"ReLU", "relu"}, {"GELU", "gelu"},
      {"Sigmoid", "sigmoid"}, {"SiLU", "silu"},       {"Mish", "mish"}, {"LeakyReLU", "leaky_relu"}};
  const auto known =
      std::find_if(classes.begin(), classes.end(), [&](const auto& entry) { return entry.first == name; });
  if (known == classes.end()) {
    throw ExportError(ErrorCode::unsupported,
                      fmt::format("{}: activation_function '{}' is not supported; known: Tanh, Identity, "
                                  "ReLU, GELU, Sigmoid, SiLU, Mish, LeakyReLU of torch.nn",
                                  origin, dotted));
  }
  return nn::Activation(known->second);
}

void apply_module(Features& features, const SentenceModule& module, const Model& model) {
  const std::string kind = module.kind();
  const auto config = [&] { return model.read_config(module.file("config.json"), kind); };
  if (kind == "Pooling") {
    const PretrainedConfig c = config();
    if (!c.flag("include_prompt", true)) {
      model.add_notice(fmt::format(
          "{}: include_prompt is false: the original leaves the tokens of a prompt out of the pooling. The "
          "graph does not know them, so sentence_embedding is right for texts without a prompt. For a text "
          "with one, pool token_embeddings without its tokens",
          c.origin()));
    }
    const PoolingConfig modes(c);
    if (const std::string key = c.string("output_key", kEmbedding); key != kEmbedding) {
      model.add_notice(
          fmt::format("{}: output_key is '{}': this pooling is left out, because the outputs of the "
                      "export are token_embeddings and {}",
                      c.origin(), key, kEmbedding));
      return;
    }
    return pool(features, modes);
  }
  if (kind == "Dropout") return;
  if (!features.sentence_embedding) {
    throw ExportError(ErrorCode::unsupported,
                      fmt::format("modules.json: {} before any Pooling is not supported", kind));
  }
  const Value x = features.sentence_embedding;
  const std::int64_t width = x.dim(1).constant().value();
  const auto check_width = [&](const PretrainedConfig& c, std::string_view key) {
    if (const std::int64_t given = c.integer(key, width); given != width) {
      throw ExportError(ErrorCode::bad_config,
                        fmt::format("{}: {} is {}, expected {}, the width of the module "
                                    "before it",
                                    c.origin(), key, given, width));
    }
  };
  if (kind == "Normalize") {
    features.sentence_embedding = op::normalize(x, 1);
  } else if (kind == "Dense") {
    const PretrainedConfig c = config();
    check_width(c, "in_features");
    expect(c, "module_input_name", kEmbedding);
    expect(c, "module_output_name", kEmbedding);
    const nn::Activation activation =
        activation_of_class(c.string("activation_function", "torch.nn.modules.activation.Tanh"), c.origin());
    const nn::Linear linear(model.scope_of(module.path) / "linear", width, c.integer("out_features"),
                            c.flag("bias", true));
    features.sentence_embedding = activation(linear(x));
  } else if (kind == "LayerNorm") {
    if (!module.path.empty() && model.has_file(module.file("config.json")))
      check_width(config(), "dimension");
    features.sentence_embedding = nn::LayerNorm(model.scope_of(module.path) / "norm", width, 1e-5)(x);
  } else {
    throw ExportError(ErrorCode::unsupported,
                      fmt::format("modules.json: a {} after the first module is not supported", kind));
  }
}

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                    const Component& component) {
  const auto encoder = tasks.get_part(model.config(), "the first module", Role::text_model);
  // For T5 and its relatives, only the encoder is needed.
  const Component part{.name = "encoder", .task = "feature-extraction", .part = "encoder"};
  Features features;
  features.token_embeddings = encoder->roles.text_model->encode(inputs, model, part).hidden;
  const std::vector<SentenceModule> modules = parse_modules(model.read_file("modules.json"), "modules.json");
  check_first_module(modules.front(), model);
  if (component.interface.has_output(kHidden))
    return {{kHidden, features.token_embeddings}};  // the client pools
  features.attention_mask = inputs["attention_mask"];
  for (std::size_t i = 1; i < modules.size(); ++i) apply_module(features, modules[i], model);
  if (!features.sentence_embedding)
    throw ExportError(ErrorCode::unsupported, "modules.json: there is no Pooling module");
  return {{"token_embeddings", features.token_embeddings},
          {"sentence_embedding", features.sentence_embedding}};
}

NamedValues forward_clip(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                         const Component& /*component*/) {
  const std::vector<SentenceModule> modules = parse_modules(model.read_file("modules.json"), "modules.json");
  if (modules.size() != 1) {
    throw ExportError(ErrorCode::unsupported,
                      fmt::format("modules.json: {} modules, expected only a CLIPModel", modules.size()));
  }
  const Value image = clip_image_embeds(tasks, inputs, model);
  return {{"text_embeds", clip_text_embeds(tasks, inputs, model)}, {"image_embeds", image}};
}

}  // namespace

void register_sentence_transformers(TasksManager& tasks) {
  tasks.register_model<SentenceTransformersClipOnnxConfig>(
      {.model_type = "clip",
       .tasks = {"feature-extraction", "sentence-similarity"},
       .forward = [&tasks](
                      const Inputs& inputs, const Model& model,
                      const Component& component) { return forward_clip(tasks, inputs, model, component); },
       .library = "sentence_transformers",
       .parts = sentence_part(tasks),
       .modules = {"CLIPModel"}});
  tasks.register_model<SentenceOnnxConfig>(
      {.model_type = "transformer",
       .tasks = {"feature-extraction", "sentence-similarity"},
       .forward = [&tasks](const Inputs& inputs, const Model& model,
                           const Component& component) { return forward(tasks, inputs, model, component); },
       .library = "sentence_transformers",
       .parts = sentence_part(tasks),
       .modules = {"Transformer", "Pooling", "Dense", "LayerNorm", "Normalize", "Dropout"}});
}

}  // namespace onnxport::models
