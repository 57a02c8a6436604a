// Sentence Transformers: a text encoder followed by the pooling, dense and normalization modules that
// modules.json lists. Original:
// https://github.com/huggingface/sentence-transformers/tree/v5.1.2/sentence_transformers/models
#include <fmt/format.h>

#include <algorithm>

#include "config/json.h"
#include "models/common/definition.h"
#include "models/multimodal/common/clip.h"
#include "onnxport/error.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/text_encoder.h"

namespace onnxport::models {
namespace {

using nlohmann::json;

class SentenceTransformersTransformerOnnxConfig : public TextEncoderOnnxConfig {
 public:
  using TextEncoderOnnxConfig::TextEncoderOnnxConfig;
  AxesByName inputs() const override { return text_inputs({"input_ids", "attention_mask"}); }
  AxesByName outputs() const override {
    return {{"token_embeddings", {{0, "batch_size"}, {1, "sequence_length"}}},
            {"sentence_embedding", {{0, "batch_size"}}}};
  }
};

/// CLIP: the projected embeddings of both towers.
class SentenceTransformersClipOnnxConfig : public ClipOnnxConfig {
 public:
  using ClipOnnxConfig::ClipOnnxConfig;
  AxesByName outputs() const override {
    return {{"text_embeds", {{0, "text_batch_size"}}}, {"image_embeds", {{0, "image_batch_size"}}}};
  }
};

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
    const std::string mode = c.string("pooling_mode", "");
    if (mode.empty()) return;
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
  const std::string name = dotted.substr(dotted.rfind('.') + 1);
  static const std::vector<std::pair<std::string, std::string>> classes = {
      {"Tanh", "tanh"},       {"Identity", "linear"}, {"ReLU", "relu"}, {"GELU", "gelu"},
      {"Sigmoid", "sigmoid"}, {"SiLU", "silu"},       {"Mish", "mish"}, {"LeakyReLU", "leaky_relu"}};
  const auto known =
      std::find_if(classes.begin(), classes.end(), [&](const auto& entry) { return entry.first == name; });
  if (known == classes.end()) {
    throw ExportError(ErrorCode::unsupported,
                      fmt::format("{}: activation_function '{}' is not supported; known: Tanh, Identity, "
                                  "ReLU, GELU, Sigmoid, SiLU, Mish, LeakyReLU",
                                  origin, dotted));
  }
  return nn::Activation(known->second);
}

void apply_module(Features& features, const std::string& kind, const std::string& path, const Model& model) {
  const auto config = [&] {
    const std::string file = path + "/config.json";
    return PretrainedConfig::from_json(model.read_file(file), file, "sentence-transformers " + kind);
  };
  if (kind == "Dropout") return;
  if (kind == "Pooling") return pool(features, PoolingConfig(config()));
  if (!features.sentence_embedding) {
    throw ExportError(ErrorCode::unsupported,
                      fmt::format("modules.json: {} before any Pooling is not supported", kind));
  }
  const Value x = features.sentence_embedding;
  const std::int64_t width = x.dim(1).constant().value();
  if (kind == "Normalize") {
    features.sentence_embedding = op::normalize(x, 1);
  } else if (kind == "Dense") {
    const PretrainedConfig c = config();
    const nn::Activation activation =
        activation_of_class(c.string("activation_function", "torch.nn.modules.activation.Tanh"), c.origin());
    const nn::Linear linear(model.scope_of(path) / "linear", width, c.integer("out_features"),
                            c.flag("bias", true));
    features.sentence_embedding = activation(linear(x));
  } else if (kind == "LayerNorm") {
    features.sentence_embedding = nn::LayerNorm(model.scope_of(path) / "norm", width, 1e-5)(x);
  } else {
    throw ExportError(
        ErrorCode::unsupported,
        fmt::format("modules.json: the module '{}' is not supported; known: Transformer, Pooling, "
                    "Dense, LayerNorm, Normalize, Dropout",
                    kind));
  }
}

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                    const Component& /*component*/) {
  const auto encoder = tasks.get_part(model.config(), "the first module", Role::text_model);
  // For T5 and its relatives, only the encoder is needed.
  const Component part{.name = "encoder", .task = "feature-extraction", .part = "encoder"};
  Features features;
  features.token_embeddings = encoder->roles.text_model->encode(inputs, model, part).hidden;
  features.attention_mask = inputs["attention_mask"];
  const json modules = config::parse_json(model.read_file("modules.json"), "modules.json");
  const auto broken = [] {
    return ExportError(ErrorCode::bad_config,
                       "modules.json: expected a list of objects with 'type' and 'path'");
  };
  if (!modules.is_array() || modules.empty()) throw broken();
  for (std::size_t i = 0; i < modules.size(); ++i) {
    const json& module = modules[i];
    if (!module.is_object() || !module.contains("type") || !module["type"].is_string()) throw broken();
    const json path = module.value("path", json(""));
    if (!path.is_string()) throw broken();
    const std::string type = module["type"].get<std::string>();
    const std::string kind = type.substr(type.rfind('.') + 1);
    if (i == 0) {
      if (kind == "Transformer") continue;
      throw ExportError(ErrorCode::unsupported,
                        fmt::format("modules.json: the first module is '{}', expected Transformer", kind));
    }
    apply_module(features, kind, path.get<std::string>(), model);
  }
  if (!features.sentence_embedding)
    throw ExportError(ErrorCode::unsupported, "modules.json: there is no Pooling module");
  return {{"token_embeddings", features.token_embeddings},
          {"sentence_embedding", features.sentence_embedding}};
}

NamedValues forward_clip(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                         const Component& /*component*/) {
  const json modules = config::parse_json(model.read_file("modules.json"), "modules.json");
  if (modules.size() != 1) {
    throw ExportError(ErrorCode::unsupported,
                      fmt::format("modules.json: {} modules, expected only a CLIPModel", modules.size()));
  }
  const ClipEmbeds embeds = clip_embeds(tasks, inputs, model);
  return {{"text_embeds", embeds.text}, {"image_embeds", embeds.image}};
}

}  // namespace

void register_sentence_transformers(TasksManager& tasks) {
  const auto encoder = [&tasks](const PretrainedConfig& config) -> std::vector<ModelPart> {
    return {{"", tasks.get_definition(config.model_type())}};
  };
  tasks.register_model<SentenceTransformersClipOnnxConfig>(
      {.model_type = "clip",
       .tasks = {"feature-extraction", "sentence-similarity"},
       .forward = [&tasks](
                      const Inputs& inputs, const Model& model,
                      const Component& component) { return forward_clip(tasks, inputs, model, component); },
       .library = "sentence_transformers",
       .parts = encoder});
  tasks.register_model<SentenceTransformersTransformerOnnxConfig>(
      {.model_type = "transformer",
       .tasks = {"feature-extraction", "sentence-similarity"},
       .forward = [&tasks](const Inputs& inputs, const Model& model,
                           const Component& component) { return forward(tasks, inputs, model, component); },
       .library = "sentence_transformers",
       .parts = encoder});
}

}  // namespace onnxport::models
