// X-MOD. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/xmod/modeling_xmod.py
// RoBERTa with an adapter for each language at the end of each layer. A file is for one language.
#include <algorithm>

#include "models/common/definition.h"
#include "models/text_encoders/common/refuse.h"
#include "models/text_encoders/common/roberta.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/nn/text_tasks.h"
#include "onnxport/text_encoder_config.h"

namespace onnxport::models {
namespace {

struct Config : TextEncoderConfig {
  std::int64_t pad_token_id, bottleneck;
  bool pre_norm, adapter_norm, reuse_norm, norm_before_adapter;
  std::string language;

  explicit Config(const PretrainedConfig& c)
      : TextEncoderConfig(c),
        pad_token_id(c.integer("pad_token_id")),
        bottleneck(0),
        pre_norm(c.flag("pre_norm")),
        adapter_norm(c.flag("adapter_layer_norm")),
        reuse_norm(c.flag("adapter_reuse_layer_norm")),
        norm_before_adapter(c.flag("ln_before_adapter")),
        language(c.string("default_language", "")) {
    const std::vector<std::string> known = c.strings("languages");
    if (std::find(known.begin(), known.end(), language) == known.end())
      refuse(c, fmt::format("default_language is '{}', expected one of the languages: {}", language,
                            fmt::join(known, ", ")));
    const double factor = c.real("adapter_reduction_factor");
    if (!(factor > 0) || factor > static_cast<double>(hidden_size))
      refuse(c, fmt::format("adapter_reduction_factor is {}, expected up to {}", factor, hidden_size));
    bottleneck = static_cast<std::int64_t>(static_cast<double>(hidden_size) / factor);
  }
  nn::LayerNorm norm(const Scope& s) const { return {s, hidden_size, layer_norm_eps}; }
};

struct Layer {
  std::string path;
  bool pre_norm, norm_before_adapter;
  nn::SelfAttention attention;
  nn::LayerNorm attention_norm, output_norm;
  nn::Mlp mlp;
  std::optional<nn::LayerNorm> adapter_norm;
  nn::Mlp adapter;

  static nn::Mlp language(const Scope& s, const Config& c) {
    return {s.path(), nn::Linear(s / "dense1", c.hidden_size, c.bottleneck),
            nn::Linear(s / "dense2", c.bottleneck, c.hidden_size), c.hidden_act};
  }

  Layer(const Scope& s, const Config& c)
      : path(s.path()),
        pre_norm(c.pre_norm),
        norm_before_adapter(c.norm_before_adapter),
        attention(s / "attention", c.layer().attention),
        attention_norm(c.norm(s / "attention.output.LayerNorm")),
        output_norm(c.norm(s / "output.LayerNorm")),
        mlp(s.path(), nn::Linear(s / "intermediate.dense", c.hidden_size, c.intermediate_size),
            nn::Linear(s / "output.dense", c.intermediate_size, c.hidden_size), c.hidden_act),
        adapter(language(s / "output.adapter_modules" / c.language, c)) {
    if (c.adapter_norm) {
      adapter_norm.emplace(c.norm(s / "output.adapter_layer_norm"));
    } else if (c.reuse_norm) {
      adapter_norm = output_norm;
    }
    (s / "output").ignore("adapter_modules");  // other languages
  }

  Value adapt(Value x) const {
    const Value normed = adapter_norm ? (*adapter_norm)(x) : x;
    return op::add(adapter(normed), norm_before_adapter ? normed : x);
  }

  Value operator()(Value x, const op::AttentionMask& mask) const {
    const ModulePath at(x, path);
    if (pre_norm) {
      x = op::add(attention(attention_norm(x), mask), x);
      return adapt(op::add(mlp(output_norm(x)), x));
    }
    x = attention_norm(op::add(attention(x, mask), x));
    return output_norm(adapt(op::add(mlp(x), x)));
  }
};

struct Xmod {
  std::int64_t pad_token_id;
  nn::TextEmbeddings embeddings;
  std::vector<Layer> layers;
  std::optional<nn::LayerNorm> last_norm;

  Xmod(const Scope& s, const Config& c)
      : pad_token_id(c.pad_token_id), embeddings(s / "embeddings", c.embeddings()) {
    for (std::int64_t i = 0; i < c.num_hidden_layers; ++i)
      layers.emplace_back(s / "encoder" / "layer" / i, c);
    if (c.pre_norm) last_norm.emplace(c.norm(s / "encoder" / "LayerNorm"));
  }

  Value operator()(const Inputs& in) const {
    const Value positions = nn::position_ids_from_input_ids(in["input_ids"], pad_token_id);
    Value x = embeddings(in["input_ids"], {}, positions);
    const op::AttentionMask mask = nn::padding_mask(in.get("attention_mask"));
    for (const Layer& layer : layers) x = layer(x, mask);
    return last_norm ? (*last_norm)(x) : x;
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const Scope base = root.base_model("roberta");
  const Xmod xmod(base, c);
  const auto fill_mask = [&](Value hidden) {
    return roberta_lm_head(root, c, xmod.embeddings.words())(hidden);
  };
  return nn::build_text_encoder_task(component.task, inputs, root,
                                     roberta_heads(root, base, c, xmod, fill_mask));
}

}  // namespace

void register_xmod(TasksManager& tasks) {
  tasks.register_model<TextEncoderOnnxConfig>(
      {.model_type = "xmod",
       .tasks = nn::text_encoder_tasks(),
       .forward = forward,
       .key_names = tied("roberta.embeddings.word_embeddings", "lm_head.decoder")});
}

}  // namespace onnxport::models
