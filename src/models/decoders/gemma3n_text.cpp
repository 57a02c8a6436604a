// The text model of Gemma 3n. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/gemma3n/modeling_gemma3n.py
#include <cmath>
#include <numbers>
#include <optional>
#include <string>
#include <vector>

#include "models/common/definition.h"
#include "models/decoders/common/gemma3n.h"
#include "models/decoders/common/layer_tokens.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

class Gemma3nTextOnnxConfig : public TextDecoderOnnxConfig {
 public:
  using TextDecoderOnnxConfig::TextDecoderOnnxConfig;
  std::vector<StateSpec> states() const override {
    const Gemma3nConfig c(config().unaccounted());
    return key_values(c.first_shared(), c.heads.kv_heads, c.heads.head_dim);
  }
};

/// Several streams [B, S, streams, H], of which a layer computes one and predicts the others. (Baykal et al.
/// 2023, AltUp)
class AltUp {
 public:
  AltUp(const Scope& s, const Gemma3nConfig& c)
      : path_(s.path()),
        hidden_size_(c.hidden_size),
        streams_(c.streams),
        active_(c.active),
        clip_(c.clip),
        norm_(c.norm(s / "router_norm")),
        router_(s / "modality_router", c.hidden_size, c.streams, false),
        prediction_(s / "prediction_coefs", c.streams, c.streams * c.streams, false),
        correction_(s / "correction_coefs", c.streams, c.streams, false),
        scale_(c.scales_active ? s.weight("correct_output_scale", {c.hidden_size}) : Weight()) {
    if (!c.scales_active) s.ignore("correct_output_scale");
  }

  Value active(Value streams) const { return op::select(streams, 2, active_); }

  Value predict(Value streams) const {
    const ModulePath at(streams, path_);
    const Value flat = prediction_(modalities(active(streams)));
    const Value factors = op::reshape(flat, {flat.dim(0), flat.dim(1), streams_, streams_});
    return op::add(op::matmul(factors, streams), streams);
  }

  Value correct(Value predicted, Value computed) const {
    const ModulePath at(predicted, path_);
    Value weight = computed.graph().weight(correction_.weight());
    if (clip_) weight = op::clamp(weight, -*clip_, *clip_);
    const Value factors = op::add(op::linear(modalities(computed), weight), 1.0);
    const Value missed = op::unsqueeze(op::sub(computed, active(predicted)), 2);
    return op::add(predicted, op::mul(op::unsqueeze(factors, 3), missed));
  }

  Value scaled(Value x) const {
    if (!scale_) return x;
    const ModulePath at(x, path_);
    return op::mul(x, x.graph().weight(scale_));
  }

 private:
  Value modalities(Value x) const {
    return op::tanh(router_(op::div(norm_(x), static_cast<double>(hidden_size_))));
  }

  std::string path_;
  std::int64_t hidden_size_, streams_, active_;
  std::optional<double> clip_;
  nn::Norm norm_;
  nn::Linear router_, prediction_, correction_;
  Weight scale_;
};

class Layer {
 public:
  Layer(const Scope& s, std::int64_t layer, const Gemma3nConfig& c)
      : path_(s.path()),
        altup_(s / "altup", c),
        attention_(gemma3n_attention(s / "self_attn", layer, c)),
        mlp_(s / "mlp", layer, c),
        laurel_left_(s / "laurel" / "linear_left", c.hidden_size, c.laurel_rank, false),
        laurel_right_(s / "laurel" / "linear_right", c.laurel_rank, c.hidden_size, false),
        laurel_norm_(c.norm(s / "laurel" / "post_laurel_norm")),
        before_attention_(c.norm(s / "input_layernorm")),
        after_attention_(c.norm(s / "post_attention_layernorm")),
        before_mlp_(c.norm(s / "pre_feedforward_layernorm")),
        after_mlp_(c.norm(s / "post_feedforward_layernorm")),
        added_tokens_(s, c, c.layer_width),
        streams_(c.streams) {}

  /// streams [B, S, streams, H], tokens [B, S, P]: what this layer knows of each token.
  Value operator()(Value streams, Value tokens, nn::DecoderPass& pass, KeptKeys& kept) const {
    const ModulePath at(streams, path_);
    const Value predicted = altup_.predict(streams);
    const Value x = altup_.active(predicted);
    const Value normed = before_attention_(x);
    const Value laurel = op::add(normed, laurel_norm_(laurel_right_(laurel_left_(normed))));
    const Value attended = op::add(x, after_attention_(attention_(normed, pass, kept)));
    const Value both = op::div(op::add(attended, laurel), std::numbers::sqrt2);
    const Value computed = op::add(both, after_mlp_(mlp_(before_mlp_(both))));
    const Value corrected = altup_.correct(predicted, computed);
    const Value added = added_tokens_(altup_.scaled(altup_.active(corrected)), tokens);
    std::vector<Value> parts = op::split(corrected, 2, {1, streams_ - 1});
    parts[1] = op::add(parts[1], op::unsqueeze(added, 2));
    return op::concat(parts, 2);
  }

 private:
  std::string path_;
  AltUp altup_;
  SharedKeyAttention attention_;
  Gemma3nMlp mlp_;
  nn::Linear laurel_left_, laurel_right_;
  nn::Norm laurel_norm_, before_attention_, after_attention_, before_mlp_, after_mlp_;
  AddedTokens added_tokens_;
  std::int64_t streams_;
};

/// Version 4 saves it under another name, because it replaces "model" wherever it occurs in a key.
Scope projection_scope(const Scope& s) {
  const Scope usual = s / "per_layer_model_projection";
  return usual.has("weight") ? usual : s / "per_layer_model" / "language_model_projection";
}

class Decoder {
 public:
  Decoder(const Scope& s, const Gemma3nConfig& c, const Inputs& inputs)
      : path_(s.path()),
        inputs_(inputs),
        c_(c),
        embed_tokens_(s / "embed_tokens", c.vocab_size, c.hidden_size),
        tokens_(s, projection_scope(s), c, c.layer_width, c.layer_vocab),
        norm_(c.norm(s / "norm")) {
    for (std::int64_t i = 0; i < c.num_hidden_layers; ++i) layers_.emplace_back(s / "layers" / i, i, c);
    for (std::int64_t i = 0; i + 1 < c.streams; ++i) {
      into_.emplace_back(s / "altup_projections" / i, c.hidden_size, c.hidden_size, false);
      out_of_.emplace_back(s / "altup_unembed_projections" / i, c.hidden_size, c.hidden_size, false);
    }
  }

  const Weight& table() const { return embed_tokens_.weight(); }

  Value operator()(nn::DecoderPass& pass) const {
    const ModulePath at(pass.graph(), path_);
    const Value x = pass.embedded([&](Value ids) { return op::mul(embed_tokens_(ids), c_.embedding_scale); });
    const Value tokens = tokens_(x, tokens_.rows(inputs_, pass, c_.layer_vocab));
    Value streams = spread(x, [&](std::size_t i) { return into_[i](x); });
    KeptKeys kept;
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      const Value own = op::select(tokens, 2, static_cast<std::int64_t>(i));
      streams = layers_[i](streams, own, pass, kept);
    }
    const auto stream = [&](std::size_t i) { return op::select(streams, 2, static_cast<std::int64_t>(i)); };
    const Value all = spread(stream(0), [&](std::size_t i) { return out_of_[i](stream(i + 1)); });
    return norm_(op::mean(all, 2));
  }

 private:
  /// The first stream, and others with its magnitude: [B, S, streams, H].
  Value spread(Value first, const std::function<Value(std::size_t)>& other) const {
    const auto power = [](Value x) { return op::mean(op::mul(x, x), -1, true); };
    const Value magnitude = op::sqrt(power(first));
    std::vector<Value> streams = {op::unsqueeze(first, 2)};
    for (std::size_t i = 0; i + 1 < static_cast<std::size_t>(c_.streams); ++i) {
      const Value made = other(i);
      const Value own = op::sqrt(op::maximum(power(made), 1e-5));
      const Value scaled = op::div(op::mul(made, magnitude), own);
      streams.push_back(op::unsqueeze(scaled, 2));
    }
    return op::concat(streams, 2);
  }

  std::string path_;
  Inputs inputs_;
  Gemma3nConfig c_;
  nn::Embedding embed_tokens_;
  LayerTokens tokens_;
  nn::Norm norm_;
  std::vector<Layer> layers_;
  std::vector<nn::Linear> into_, out_of_;
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  const Gemma3nConfig c(config);
  if (component.task != "text-classification") config.harmless({"pad_token_id"});
  const Scope root = model.scope();
  const Decoder decoder(root.base_model("model"), c, inputs);
  const auto lm_head = [&](Value hidden) {
    const Weight tied = c.tie_word_embeddings ? decoder.table() : Weight();
    const nn::Linear head = nn::output_embedding(root / "lm_head", tied, c.vocab_size, c.hidden_size);
    Value logits = head(hidden);
    if (c.final_softcap == 0) return logits;
    return op::mul(op::tanh(op::div(logits, c.final_softcap)), c.final_softcap);
  };
  return nn::build_text_decoder_task(component, inputs, root,
                                     {.decode = decoder, .lm_head = lm_head, .hidden_size = c.hidden_size});
}

}  // namespace

void register_gemma3n_text(TasksManager& tasks) {
  KeyNames names = tied("model.embed_tokens", "lm_head");
  names.newer = {{"model.", "model.language_model."}};
  tasks.register_model<Gemma3nTextOnnxConfig>({.model_type = "gemma3n_text",
                                               .tasks = nn::text_decoder_tasks({}),
                                               .forward = forward,
                                               .key_names = names,
                                               .gguf = gguf_gemma3n()});
}

}  // namespace onnxport::models
