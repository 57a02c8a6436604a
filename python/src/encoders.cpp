// onnxport.nn: text encoders.
#include <nanobind/stl/function.h>

#include "bind.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/nn/text_tasks.h"
#include "onnxport/text_encoder_config.h"
#include "operands.h"

namespace onnxport::python {
namespace {

nb::dict named(const NamedValues& values) {
  nb::dict results;
  for (const auto& [name, value] : values) results[nb::str(name.c_str(), name.size())] = value;
  return results;
}

using OfHidden = std::function<Value(Value)>;

nb::dict build_text_encoder_task(const std::string& task, const Inputs& inputs, const Scope& s,
                                 const std::function<Value(const Inputs&)>& encode, const OfHidden& fill_mask,
                                 const OfHidden& classify, const OfHidden& summarize,
                                 std::int64_t hidden_size, std::int64_t num_labels) {
  return named(nn::build_text_encoder_task(task, inputs, s,
                                           {.encode = encode,
                                            .fill_mask = fill_mask,
                                            .classify = classify,
                                            .summarize = summarize,
                                            .hidden_size = hidden_size,
                                            .num_labels = num_labels}));
}

}  // namespace

void bind_encoders(nb::module_& m) {
  using Config = TextEncoderConfig;
  nb::class_<Config>(m, "TextEncoderConfig", "The typed configuration that BERT and its relatives share.")
      .def(nb::init<const PretrainedConfig&>(), nb::arg("config"))
      .def_rw("vocab_size", &Config::vocab_size)
      .def_rw("hidden_size", &Config::hidden_size)
      .def_rw("num_hidden_layers", &Config::num_hidden_layers)
      .def_rw("num_attention_heads", &Config::num_attention_heads)
      .def_rw("intermediate_size", &Config::intermediate_size)
      .def_rw("max_position_embeddings", &Config::max_position_embeddings)
      .def_rw("type_vocab_size", &Config::type_vocab_size)
      .def_rw("num_labels", &Config::num_labels)
      .def_rw("hidden_act", &Config::hidden_act)
      .def_rw("layer_norm_eps", &Config::layer_norm_eps)
      .def_rw("tie_word_embeddings", &Config::tie_word_embeddings);
  nb::class_<nn::TextEmbeddings>(m, "TextEmbeddings",
                                 "LayerNorm(word + token type + position). Keys: as in BERT's embeddings.")
      .def(
          "__init__",
          [](nn::TextEmbeddings* made, const Scope& s, const Config& c) {
            new (made) nn::TextEmbeddings(s, c.embeddings());
          },
          nb::arg("s"), nb::arg("config"))
      .def_prop_ro("words", &nn::TextEmbeddings::words)
      .def(
          "__call__",
          [](const nn::TextEmbeddings& embed, const Value& ids, const MaybeValue& types,
             const MaybeValue& positions) {
            return embed(ids, absent_if_none(types), absent_if_none(positions));
          },
          nb::arg("input_ids"), nb::arg("token_type_ids").none() = nb::none(),
          nb::arg("position_ids").none() = nb::none());
  nb::class_<nn::PostNormEncoder>(m, "PostNormEncoder",
                                  "Layers s / 0, s / 1, …: attention, add, norm, feed-forward, add, norm.")
      .def(
          "__init__",
          [](nn::PostNormEncoder* made, const Scope& s, const Config& c) {
            new (made) nn::PostNormEncoder(s, c.num_hidden_layers, c.layer());
          },
          nb::arg("s"), nb::arg("config"))
      .def("__call__", &nn::PostNormEncoder::operator(), nb::arg("x"), nb::arg("mask"));
  nb::class_<nn::Pooler>(m, "Pooler", "tanh(dense(first token)): [B, S, H] -> [B, H].")
      .def(nb::init<const Scope&, std::int64_t>(), nb::arg("dense"), nb::arg("width"))
      .def("__call__", &nn::Pooler::operator(), nb::arg("hidden"));
  nb::class_<nn::ClassificationHead>(m, "ClassificationHead",
                                     "out_proj(activation(dense(first token))). Keys: dense, out_proj.")
      .def(nb::init<const Scope&, std::int64_t, std::int64_t, std::string>(), nb::arg("s"), nb::arg("width"),
           nb::arg("labels"), nb::arg("activation"))
      .def("__call__", &nn::ClassificationHead::operator(), nb::arg("hidden"));
  nb::class_<nn::MaskedLmHead>(m, "MaskedLmHead", "dense, activation, norm, output embedding.")
      .def(
          "__init__",
          [](nn::MaskedLmHead* made, const Scope& s, const Config& c, const std::optional<Weight>& tied,
             const std::string& dense, const std::string& norm) {
            nn::MaskedLmHeadParameters head = c.masked_lm_head();
            head.width = c.hidden_size;
            head.activation = c.hidden_act;
            head.dense = dense;
            head.norm = norm;
            new (made) nn::MaskedLmHead(s, head, tied.value_or(Weight()));
          },
          nb::arg("s"), nb::arg("config"), nb::arg("tied").none(), nb::arg("dense") = "dense",
          nb::arg("norm") = "layer_norm")
      .def("__call__", &nn::MaskedLmHead::operator(), nb::arg("hidden"));
  m.def("first_token", nn::first_token, nb::arg("hidden"), "[B, S, H] -> [B, H]");
  m.def("text_encoder_tasks", nn::text_encoder_tasks);
  m.def("build_text_encoder_task", build_text_encoder_task, nb::arg("task"), nb::arg("inputs"), nb::arg("s"),
        nb::kw_only(), nb::arg("encode"), nb::arg("fill_mask"), nb::arg("classify"), nb::arg("summarize"),
        nb::arg("hidden_size"), nb::arg("num_labels"),
        "The outputs of a task around an encoder; each function is called only if the task needs it.");
}

}  // namespace onnxport::python
