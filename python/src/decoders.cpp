// onnxport.nn: text decoders.
#include <nanobind/stl/function.h>

#include "bind.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/text_decoder_config.h"
#include "operands.h"

namespace onnxport::python {
namespace {

using Config = TextDecoderConfig;

/// An attention or a block, which Python only hands on.
struct Attention {
  nn::CausalAttentionParts parts;
};
struct FeedForward {
  nn::FeedForward forward;
};
struct Block {
  nn::Block block;
};

nb::dict forward_text_decoder(const Inputs& inputs, const Model& model, const Component& component,
                              const Config& c,
                              const std::function<Block(const Scope&, std::int64_t)>& make_block) {
  const NamedValues values = onnxport::forward_text_decoder(
      inputs, model, component, c,
      [&](const Scope& s, std::int64_t layer) { return make_block(s, layer).block; });
  nb::dict results;
  for (const auto& [name, value] : values) results[nb::str(name.c_str(), name.size())] = value;
  return results;
}

}  // namespace

void bind_decoders(nb::module_& m) {
  nb::class_<nn::DecoderPass>(m, "DecoderPass", "One forward pass of a decoder, with its states.")
      .def_prop_ro("input_ids", &nn::DecoderPass::input_ids)
      .def_prop_ro("position_ids", &nn::DecoderPass::position_ids)
      .def_prop_ro("length", &nn::DecoderPass::length)
      .def_prop_ro("past_length", &nn::DecoderPass::past_length);
  nb::class_<Attention>(m, "CausalAttention", "Self-attention with a cache.");
  nb::class_<FeedForward>(m, "FeedForward", "[B, S, H] -> [B, S, H]")
      .def(
          "__init__",
          [](FeedForward* made, nn::FeedForward forward) { new (made) FeedForward{std::move(forward)}; },
          nb::arg("forward"))
      .def("__call__", [](const FeedForward& one, const Value& x) { return one.forward(x); }, nb::arg("x"));
  nb::class_<Block>(m, "Block", "One layer of a decoder.")
      .def(
          "__init__",
          [](Block* made, std::function<Value(Value, nn::DecoderPass*)> block) {
            new (made)
                Block{[block = std::move(block)](Value x, nn::DecoderPass& pass) { return block(x, &pass); }};
          },
          nb::arg("block"), "From a function (x [B, S, H], pass) -> [B, S, H].")
      .def(
          "__call__",
          [](const Block& one, const Value& x, nn::DecoderPass& pass) { return one.block(x, pass); },
          nb::arg("x"), nb::arg("decoder_pass"));
  nb::class_<Config>(m, "TextDecoderConfig",
                     "The typed configuration that most decoders share, and the parts of their blocks.")
      .def(nb::init<const PretrainedConfig&>(), nb::arg("config"))
      .def_rw("vocab_size", &Config::vocab_size)
      .def_rw("hidden_size", &Config::hidden_size)
      .def_rw("num_hidden_layers", &Config::num_hidden_layers)
      .def_rw("intermediate_size", &Config::intermediate_size)
      .def_rw("num_labels", &Config::num_labels)
      .def_rw("hidden_act", &Config::hidden_act)
      .def_rw("attention_bias", &Config::attention_bias)
      .def_rw("tie_word_embeddings", &Config::tie_word_embeddings)
      .def_rw("embedding_scale", &Config::embedding_scale)
      .def_rw("logit_scale", &Config::logit_scale)
      .def_rw("final_softcap", &Config::final_softcap)
      .def_rw("last_norm", &Config::last_norm)
      .def(
          "attention",
          [](const Config& c, const Scope& s, std::int64_t layer, std::optional<std::int64_t> window) {
            return Attention{c.attention(s, layer, {.window = window})};
          },
          nb::arg("s"), nb::arg("layer"), nb::arg("window").none() = nb::none(),
          "Keys: q_proj, k_proj, v_proj, o_proj.")
      .def(
          "normed_attention",
          [](const Config& c, const Scope& s, std::int64_t layer, std::optional<std::int64_t> window) {
            return Attention{c.normed_attention(s, layer, {.window = window})};
          },
          nb::arg("s"), nb::arg("layer"), nb::arg("window").none() = nb::none(), "Keys: also q_norm, k_norm.")
      .def(
          "mlp", [](const Config& c, const Scope& s, bool bias) { return FeedForward{c.mlp(s, bias)}; },
          nb::arg("s"), nb::arg("bias") = false, "Gated. Keys: gate_proj, up_proj, down_proj.")
      .def(
          "plain_mlp",
          [](const Config& c, const Scope& s, bool bias, const std::string& up, const std::string& down) {
            return FeedForward{c.plain_mlp(s, bias, up, down)};
          },
          nb::arg("s"), nb::arg("bias"), nb::arg("up") = "up_proj", nb::arg("down") = "down_proj")
      .def(
          "block",
          [](const Config& c, const Scope& s, const Attention& attention, const FeedForward& mlp) {
            return Block{c.block(s, attention.parts, mlp.forward)};
          },
          nb::arg("s"), nb::arg("attention"), nb::arg("mlp"),
          "Keys: input_layernorm, post_attention_layernorm, and those of the parts.")
      .def(
          "parallel_block",
          [](const Config& c, const Scope& s, const Attention& attention, const FeedForward& mlp) {
            return Block{c.parallel_block(s, attention.parts, mlp.forward)};
          },
          nb::arg("s"), nb::arg("attention"), nb::arg("mlp"))
      .def(
          "post_normed_block",
          [](const Config& c, const Scope& s, const Attention& attention, const FeedForward& mlp) {
            return Block{c.post_normed_block(s, attention.parts, mlp.forward)};
          },
          nb::arg("s"), nb::arg("attention"), nb::arg("mlp"));
  m.def("text_decoder_tasks", nn::text_decoder_tasks,
        nb::arg("others") = std::vector<std::string>{"text-classification"});
  m.def("forward_text_decoder", forward_text_decoder, nb::arg("inputs"), nb::arg("model"),
        nb::arg("component"), nb::arg("config"), nb::arg("make_block"),
        "The outputs of a decoder whose keys lie below `model`, with `lm_head` beside it; make_block(s, "
        "layer).");
}

}  // namespace onnxport::python
