// ESM. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/esm/modeling_esm.py
#include "models/common/definition.h"
#include "models/text_encoders/common/post_norm_layer.h"
#include "models/text_encoders/common/refuse.h"
#include "models/text_encoders/common/roberta.h"
#include "models/text_encoders/common/rotary_attention.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/rotary.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/nn/text_tasks.h"
#include "onnxport/text_encoder_config.h"

namespace onnxport::models {
namespace {

constexpr double kMaskedInTraining = 0.15 * 0.8;  // the part of the tokens that training hides

struct Config : TextEncoderConfig {
  std::int64_t pad_token_id;
  std::optional<std::int64_t>
      hidden_token;  // whose embeddings are zeroed, and the others scaled; absent: none
  bool embeddings_norm;
  bool hides_padding;  // from the embeddings
  std::optional<nn::RopeParameters> rope;

  explicit Config(const PretrainedConfig& c)
      : TextEncoderConfig(c.settled("hidden_act", R"("gelu")")),
        pad_token_id(c.maybe_integer("pad_token_id").value_or(0)),
        embeddings_norm(c.flag("emb_layer_norm_before", false)),
        hides_padding(c.transformers_major() >= 5) {
    if (c.flag("is_folding_model"))
      throw ExportError(ErrorCode::unsupported,
                        fmt::format("{}: is_folding_model is true, only false is known", c.origin()));
    const std::optional<std::int64_t> mask_token = c.maybe_integer("mask_token_id");
    if (c.flag("token_dropout")) hidden_token = mask_token;
    if (const std::string type = c.string("position_embedding_type"); type == "rotary") {
      const std::int64_t head_dim = hidden_size / num_attention_heads;
      if (head_dim % 2 != 0)
        refuse(c, fmt::format("heads have {} elements, expected an even number", head_dim));
      rope = nn::RopeParameters{.dim = head_dim, .theta = c.real("rope_theta", 10000)};
    } else if (type != "absolute") {
      refuse(c, fmt::format("position_embedding_type is '{}', expected rotary or absolute", type));
    } else if (!c.maybe_integer("pad_token_id")) {
      refuse(c, "pad_token_id is missing");
    }
    c.harmless({"esmfold_config", "vocab_list"});  // of folding models
  }
  nn::LayerNorm norm(const Scope& s) const { return {s, hidden_size, layer_norm_eps}; }
  nn::TextEmbeddingsParameters bare_embeddings() const {
    nn::TextEmbeddingsParameters p = embeddings();
    p.norm = false;
    p.add_positions = false;
    return p;
  }
};

RotaryPreNormLayer make_layer(const Scope& s, const Config& c) {
  Projections own(s / "attention", c.hidden_size);
  const nn::HeadSizes sizes{c.hidden_size, c.num_attention_heads, c.num_attention_heads,
                            c.hidden_size / c.num_attention_heads};
  return {.path = s.path(),
          .before_attention = c.norm(s / "attention.LayerNorm"),
          .attention = {own.path, sizes, own.query, own.key, own.value, own.output},
          .before_mlp = c.norm(s / "LayerNorm"),
          .mlp = bert_mlp(s, c)};
}

struct Esm {
  Config config;
  nn::TextEmbeddings words;
  std::optional<nn::Embedding> positions;
  std::optional<nn::LayerNorm> embeddings_norm;
  std::vector<RotaryPreNormLayer> layers;
  nn::LayerNorm last_norm;

  Esm(const Scope& s, const Config& c)
      : config(c),
        words(s / "embeddings", c.bare_embeddings()),
        last_norm(c.norm(s / "encoder" / "emb_layer_norm_after")) {
    const Scope embeddings = s / "embeddings";
    if (!c.rope)
      positions.emplace(embeddings / "position_embeddings", c.max_position_embeddings, c.hidden_size);
    if (c.embeddings_norm) embeddings_norm.emplace(c.norm(embeddings / "layer_norm"));
    for (std::int64_t i = 0; i < c.num_hidden_layers; ++i)
      layers.push_back(make_layer(s / "encoder" / "layer" / i, c));
  }

  // Zeros for masked tokens, and the others scaled as if training had masked as many.
  Value hide(Value x, Value ids, Value mask) const {
    const Value hidden = op::eq(ids, static_cast<double>(*config.hidden_token));
    const Value kept = op::masked_fill(x, op::unsqueeze(hidden, 2), 0);
    const Value count = op::sum(op::cast(hidden, DType::f32), 1, true);
    const Value length = op::cast(mask ? op::sum(mask, 1, true) : op::size(x.graph(), x.dim(1)), DType::f32);
    const Value shown = op::sub(1.0, op::div(count, length));
    const Value share = op::unsqueeze(shown, 2);
    const Value scale = op::div(op::mul(op::cast(kept, DType::f32), 1 - kMaskedInTraining), share);
    return op::cast(scale, x.dtype());
  }

  Value operator()(const Inputs& in) const {
    const Value ids = in["input_ids"];
    Value x = words(ids);
    const Value mask = config.hides_padding ? in.get("attention_mask") : Value();
    if (config.hidden_token) x = hide(x, ids, mask);
    if (positions) x = op::add(x, (*positions)(nn::position_ids_from_input_ids(ids, config.pad_token_id)));
    if (embeddings_norm) x = (*embeddings_norm)(x);
    if (mask) x = op::mul(x, op::cast(op::unsqueeze(mask, 2), x.dtype()));
    RotarySight sight;
    if (config.rope) sight = rotary_sight(ids, {}, *config.rope);
    sight.mask = nn::padding_mask(in.get("attention_mask"));
    for (const RotaryPreNormLayer& layer : layers) x = layer(x, sight);
    return last_norm(x);
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const Scope base = root.base_model("esm");
  const Esm esm(base, c);
  const auto fill_mask = [&](Value hidden) { return roberta_lm_head(root, c, esm.words.words())(hidden); };
  return nn::build_text_encoder_task(component.task, inputs, root,
                                     roberta_heads(root, base, c, esm, fill_mask));
}

}  // namespace

void register_esm(TasksManager& tasks) {
  tasks.register_model<TextEncoderOnnxConfig>(
      {.model_type = "esm",
       .tasks = {"feature-extraction", "fill-mask", "text-classification", "token-classification"},
       .forward = forward,
       .ignorable_keys = {"*contact_head.*", "*pooler.*", "*rotary_embeddings.inv_freq"},
       .key_names = tied("esm.embeddings.word_embeddings", "lm_head.decoder")});
}

}  // namespace onnxport::models
