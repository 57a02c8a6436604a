// onnxport.nn: modules of all kinds.
#include <nanobind/stl/function.h>

#include "bind.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/mlp.h"
#include "operands.h"

namespace onnxport::python {
namespace {

std::optional<Weight> none_if_empty(const Weight& weight) {
  return weight ? std::optional(weight) : std::nullopt;
}

op::AttentionMask mask_of(const MaybeValue& padding, const MaybeValue& visible, const MaybeValue& bias,
                          bool causal, std::optional<std::int64_t> window, bool uniform) {
  return {.padding = absent_if_none(padding),
          .visible = absent_if_none(visible),
          .bias = absent_if_none(bias),
          .causal = causal,
          .window = window,
          .no_keys = uniform ? op::NoKeys::uniform : op::NoKeys::zero};
}

}  // namespace

void bind_modules(nb::module_& m) {
  nb::class_<nn::Linear>(m, "Linear", "y = x W^T + b. Keys: weight [out, in], bias [out].")
      .def(nb::init<const Scope&, std::int64_t, std::int64_t, bool>(), nb::arg("s"), nb::arg("in_"),
           nb::arg("out"), nb::arg("bias") = true)
      .def(nb::init<std::string, Weight, Weight>(), nb::arg("path"), nb::arg("weight"),
           nb::arg("bias") = Weight())
      .def_static("transposed", &nn::Linear::transposed, nb::arg("s"), nb::arg("in_"), nb::arg("out"))
      .def_prop_ro("weight", &nn::Linear::weight)
      .def_prop_ro("bias", [](const nn::Linear& linear) { return none_if_empty(linear.bias()); })
      .def("__call__", &nn::Linear::operator(), nb::arg("x"));
  nb::class_<nn::Embedding>(m, "Embedding", "Keys: weight [count, width].")
      .def(nb::init<const Scope&, std::int64_t, std::int64_t>(), nb::arg("s"), nb::arg("count"),
           nb::arg("width"))
      .def_prop_ro("weight", &nn::Embedding::weight)
      .def("first", &nn::Embedding::first, nb::arg("graph"), nb::arg("count"))
      .def("__call__", &nn::Embedding::operator(), nb::arg("indices"));
  nb::class_<nn::LayerNorm>(m, "LayerNorm", "Over the last axis. Keys: weight [width], bias [width].")
      .def(nb::init<const Scope&, std::int64_t, double, bool, bool>(), nb::arg("s"), nb::arg("width"),
           nb::arg("eps"), nb::arg("affine") = true, nb::arg("bias") = true)
      .def("__call__", &nn::LayerNorm::operator(), nb::arg("x"));
  nb::class_<nn::RmsNorm>(m, "RmsNorm", "x / sqrt(mean(x²) + eps) * (offset + weight). Keys: weight [width].")
      .def(
          "__init__",
          [](nn::RmsNorm* made, const Scope& s, std::int64_t width, double eps, double offset) {
            new (made) nn::RmsNorm(s, width, {.eps = eps, .offset = offset});
          },
          nb::arg("s"), nb::arg("width"), nb::arg("eps") = 1e-6, nb::arg("offset") = 0.0)
      .def("__call__", &nn::RmsNorm::operator(), nb::arg("x"));
  nb::class_<nn::Activation>(m, "Activation",
                             "An activation by its name in config.json: gelu, silu, relu, ….")
      .def(nb::init<std::string>(), nb::arg("name"))
      .def("__call__", &nn::Activation::operator(), nb::arg("x"));
  nb::class_<nn::GatedMlp>(m, "GatedMlp",
                           "down(activation(gate(x)) * up(x)). Keys: gate_proj, up_proj, down_proj.")
      .def(
          "__init__",
          [](nn::GatedMlp* made, const Scope& s, std::int64_t hidden_size, std::int64_t intermediate_size,
             const std::string& activation, bool bias) {
            new (made) nn::GatedMlp(s, {.hidden_size = hidden_size,
                                        .intermediate_size = intermediate_size,
                                        .activation = activation,
                                        .bias = bias});
          },
          nb::arg("s"), nb::arg("hidden_size"), nb::arg("intermediate_size"), nb::arg("activation") = "silu",
          nb::arg("bias") = false)
      .def("__call__", &nn::GatedMlp::operator(), nb::arg("x"));

  nb::class_<op::AttentionMask>(m, "AttentionMask", "The keys that each query sees.")
      .def(
          "__init__",
          [](op::AttentionMask* made, const MaybeValue& padding, const MaybeValue& visible,
             const MaybeValue& bias, bool causal, std::optional<std::int64_t> window, bool uniform) {
            new (made) op::AttentionMask(mask_of(padding, visible, bias, causal, window, uniform));
          },
          nb::arg("padding").none() = nb::none(), nb::arg("visible").none() = nb::none(),
          nb::arg("bias").none() = nb::none(), nb::arg("causal") = false,
          nb::arg("window").none() = nb::none(), nb::arg("uniform") = false);
  m.def(
      "padding_mask", [](const MaybeValue& mask) { return nn::padding_mask(absent_if_none(mask)); },
      nb::arg("attention_mask").none(),
      "The mask for an attention mask [B, S] of 0 and 1; None hides nothing.");
  m.def("split_heads", nn::split_heads, nb::arg("x"), nb::arg("heads"));
  m.def("merge_heads", nn::merge_heads, nb::arg("x"));
  nb::class_<nn::SelfAttention>(m, "SelfAttention",
                                "Self-attention with its output projection. Keys: as in BERT, unless named.")
      .def(
          "__init__",
          [](nn::SelfAttention* made, const Scope& s, std::int64_t hidden_size, std::int64_t heads,
             const std::string& query, const std::string& key, const std::string& value,
             const std::string& output) {
            new (made) nn::SelfAttention(s, {.hidden_size = hidden_size,
                                             .heads = heads,
                                             .query = query,
                                             .key = key,
                                             .value = value,
                                             .output = output});
          },
          nb::arg("s"), nb::arg("hidden_size"), nb::arg("heads"), nb::arg("query") = "self.query",
          nb::arg("key") = "self.key", nb::arg("value") = "self.value", nb::arg("output") = "output.dense")
      .def(
          "__call__",
          [](const nn::SelfAttention& attention, const Value& x,
             const std::optional<op::AttentionMask>& mask) {
            return attention(x, mask.value_or(op::AttentionMask()));
          },
          nb::arg("x"), nb::arg("mask").none() = nb::none());
}

}  // namespace onnxport::python
