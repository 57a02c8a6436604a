// Values, dimensions, weights, scopes, and the arguments of a definition.
#include "onnxport/graph.h"

#include <memory>

#include "bind.h"
#include "onnxport/config.h"
#include "onnxport/inputs.h"
#include "onnxport/interface.h"
#include "onnxport/model.h"
#include "onnxport/op.h"
#include "onnxport/scope.h"
#include "operands.h"

namespace onnxport::python {
namespace {

using Ints = std::vector<std::int64_t>;

/// `with path(value, "encoder.layer.0"):` sets the module path of the nodes in it.
class Path {
 public:
  Path(Value any, std::string path) : any_(std::move(any)), path_(std::move(path)) {}
  void enter() { open_ = std::make_unique<ModulePath>(any_, path_); }
  void exit() { open_.reset(); }

 private:
  Value any_;
  std::string path_;
  std::unique_ptr<ModulePath> open_;
};

void bind_dims(nb::module_& m) {
  nb::class_<Dim>(m, "Dim", "An extent: a number, or a polynomial of symbols such as batch_size.")
      .def(nb::init<std::int64_t>())
      .def_static("symbol", [](const std::string& name) { return Dim::symbol(name); })
      .def_prop_ro("constant", &Dim::constant, "The number, if it is one.")
      .def("floor_div", &Dim::floor_div)
      .def("__floordiv__", &Dim::floor_div)
      .def(
          "__add__", [](const Dim& a, const Dim& b) { return a + b; }, nb::is_operator())
      .def(
          "__radd__", [](const Dim& a, const Dim& b) { return b + a; }, nb::is_operator())
      .def(
          "__sub__", [](const Dim& a, const Dim& b) { return a - b; }, nb::is_operator())
      .def(
          "__rsub__", [](const Dim& a, const Dim& b) { return b - a; }, nb::is_operator())
      .def(
          "__mul__", [](const Dim& a, const Dim& b) { return a * b; }, nb::is_operator())
      .def(
          "__rmul__", [](const Dim& a, const Dim& b) { return b * a; }, nb::is_operator())
      .def(
          "__eq__", [](const Dim& a, const Dim& b) { return a == b; }, nb::is_operator())
      .def("__hash__", [](const Dim& a) { return nb::hash(nb::str(a.str().c_str())); })
      .def("__repr__", &Dim::str);
  nb::implicitly_convertible<std::int64_t, Dim>();
}

void bind_values(nb::module_& m) {
  nb::class_<Graph>(m, "Graph", "The graph that a definition builds.")
      .def(
          "weight", [](Graph& graph, const Weight& weight) { return graph.weight(weight); },
          nb::arg("weight"), "A weight as a value, in the graph's float dtype.")
      .def_prop_ro("float_dtype",
                   [](const Graph& graph) { return std::string(short_name(graph.float_dtype())); });

  nb::class_<Value>(m, "Value", "A tensor of the graph.")
      .def_prop_ro("shape", &Value::shape)
      .def_prop_ro("rank", &Value::rank)
      .def_prop_ro("dtype", [](const Value& value) { return std::string(short_name(value.dtype())); })
      .def_prop_ro("graph", &Value::graph, nb::rv_policy::reference)
      .def("dim", &Value::dim, nb::arg("axis"), nb::rv_policy::copy)
      .def(
          "__add__", [](const Value& a, const Value& b) { return op::add(a, b); }, nb::is_operator())
      .def(
          "__add__", [](const Value& a, double b) { return op::add(a, b); }, nb::is_operator())
      .def(
          "__radd__", [](const Value& a, double b) { return op::add(a, b); }, nb::is_operator())
      .def(
          "__sub__", [](const Value& a, const Value& b) { return op::sub(a, b); }, nb::is_operator())
      .def(
          "__sub__", [](const Value& a, double b) { return op::sub(a, b); }, nb::is_operator())
      .def(
          "__rsub__", [](const Value& a, double b) { return op::sub(b, a); }, nb::is_operator())
      .def(
          "__mul__", [](const Value& a, const Value& b) { return op::mul(a, b); }, nb::is_operator())
      .def(
          "__mul__", [](const Value& a, double b) { return op::mul(a, b); }, nb::is_operator())
      .def(
          "__rmul__", [](const Value& a, double b) { return op::mul(a, b); }, nb::is_operator())
      .def(
          "__truediv__", [](const Value& a, const Value& b) { return op::div(a, b); }, nb::is_operator())
      .def(
          "__truediv__", [](const Value& a, double b) { return op::div(a, b); }, nb::is_operator())
      .def(
          "__matmul__", [](const Value& a, const Value& b) { return op::matmul(a, b); }, nb::is_operator())
      .def("__neg__", [](const Value& a) { return op::neg(a); })
      .def("__repr__", [](const Value& value) { return to_string(value.type()); });

  nb::class_<Path>(m, "path", "`with path(value, \"encoder\"):` the module path of the nodes made in it.")
      .def(nb::init<Value, std::string>(), nb::arg("any"), nb::arg("path"))
      .def("__enter__", &Path::enter)
      .def("__exit__", [](Path& path, const nb::args&) { path.exit(); });
}

void bind_weights(nb::module_& m) {
  nb::class_<Weight>(m, "Weight", "A tensor of the checkpoint, or a lazy expression over such tensors.")
      .def_prop_ro("shape", &Weight::shape)
      .def_prop_ro("dtype", [](const Weight& weight) { return std::string(short_name(weight.dtype())); })
      .def_prop_ro("name", &Weight::name)
      .def("cast",
           [](const Weight& weight, const std::string& dtype) { return weight.cast(parse_dtype(dtype)); })
      .def("permute", &Weight::permute, nb::arg("axes"))
      .def("reshape", &Weight::reshape, nb::arg("shape"))
      .def("slice", &Weight::slice, nb::arg("axis"), nb::arg("begin"), nb::arg("end"))
      .def("add", &Weight::add)
      .def("sub", &Weight::sub)
      .def("mul", &Weight::mul)
      .def("div", &Weight::div)
      .def("sqrt", &Weight::sqrt)
      .def("exp", &Weight::exp)
      .def_static(
          "concat",
          [](const std::vector<Weight>& parts, std::int64_t axis) { return Weight::concat(parts, axis); },
          nb::arg("parts"), nb::arg("axis"))
      .def_static(
          "constant",
          [](const Ints& shape, const std::vector<double>& values, const std::string& dtype) {
            return Weight::from_doubles(parse_dtype(dtype), shape, values);
          },
          nb::arg("shape"), nb::arg("values"), nb::arg("dtype") = "fp32");

  nb::class_<Scope>(m, "Scope", "A place in the tree of modules: a prefix of checkpoint keys.")
      .def(
          "__truediv__", [](const Scope& s, std::int64_t index) { return s / index; }, nb::is_operator())
      .def(
          "__truediv__", [](const Scope& s, const std::string& name) { return s / name; }, nb::is_operator())
      .def_prop_ro("path", &Scope::path)
      .def(
          "base_model", [](const Scope& s, const std::string& prefix) { return s.base_model(prefix); },
          nb::arg("prefix"),
          "The base model inside a model with a head, or this scope if there is no prefix.")
      .def(
          "weight",
          [](const Scope& s, const std::string& name, const Ints& shape) { return s.weight(name, shape); },
          nb::arg("name"), nb::arg("shape"))
      .def(
          "try_weight",
          [](const Scope& s, const std::string& name, const Ints& shape) -> std::optional<Weight> {
            const Weight weight = s.try_weight(name, shape);
            return weight ? std::optional(weight) : std::nullopt;
          },
          nb::arg("name"), nb::arg("shape"))
      .def(
          "has", [](const Scope& s, const std::string& name) { return s.has(name); }, nb::arg("name"))
      .def(
          "shape_of", [](const Scope& s, const std::string& name) { return s.shape_of(name); },
          nb::arg("name"))
      .def("exists", &Scope::exists)
      .def("ignore", [](const Scope& s, const std::string& name) { s.ignore(name); }, nb::arg("name"));
}

void bind_arguments(nb::module_& m) {
  nb::class_<Inputs>(m, "Inputs", "The inputs of the graph, by name.")
      .def("__getitem__", [](const Inputs& in, const std::string& name) { return in[name]; })
      .def(
          "get", [](const Inputs& in, const std::string& name) { return none_if_absent(in.get(name)); },
          nb::arg("name"), "The input, or None.")
      .def("__contains__", [](const Inputs& in, const std::string& name) { return in.has(name); })
      .def("with_",
           [](const Inputs& in, const std::string& name, const Value& value) { return in.with(name, value); })
      .def("keys", [](const Inputs& in) {
        std::vector<std::string> names;
        for (const auto& [name, value] : in.values()) names.push_back(name);
        return names;
      });

  nb::class_<Component>(m, "Component", "The file whose graph is built.")
      .def_ro("name", &Component::name)
      .def_ro("task", &Component::task)
      .def_ro("part", &Component::part)
      .def_prop_ro("inputs", [](const Component& one) { return one.interface.input_names(); })
      .def_prop_ro("outputs", [](const Component& one) { return one.interface.output_names(); });

  using Config = PretrainedConfig;
  nb::class_<Config>(
      m, "PretrainedConfig",
      "config.json with the defaults of the class. Every key has to be read, or declared harmless.")
      .def_prop_ro("model_type", &Config::model_type)
      .def_prop_ro("architectures", &Config::architectures)
      .def_prop_ro("num_labels", &Config::num_labels)
      .def("has", [](const Config& c, const std::string& key) { return c.has(key); })
      .def(
          "integer",
          [](const Config& c, const std::string& key, std::optional<std::int64_t> fallback) {
            return c.integer(key, fallback);
          },
          nb::arg("key"), nb::arg("fallback").none() = nb::none())
      .def(
          "real",
          [](const Config& c, const std::string& key, std::optional<double> fallback) {
            return c.real(key, fallback);
          },
          nb::arg("key"), nb::arg("fallback").none() = nb::none())
      .def(
          "flag",
          [](const Config& c, const std::string& key, std::optional<bool> fallback) {
            return c.flag(key, fallback);
          },
          nb::arg("key"), nb::arg("fallback").none() = nb::none())
      .def(
          "string",
          [](const Config& c, const std::string& key, std::optional<std::string> fallback) {
            return c.string(key, fallback);
          },
          nb::arg("key"), nb::arg("fallback").none() = nb::none())
      .def(
          "integers", [](const Config& c, const std::string& key) { return c.integers(key); }, nb::arg("key"))
      .def(
          "strings", [](const Config& c, const std::string& key) { return c.strings(key); }, nb::arg("key"))
      .def(
          "maybe_integer", [](const Config& c, const std::string& key) { return c.maybe_integer(key); },
          nb::arg("key"))
      .def(
          "maybe_string", [](const Config& c, const std::string& key) { return c.maybe_string(key); },
          nb::arg("key"))
      .def(
          "sub",
          [](const Config& c, const std::string& key, const std::string& type) { return c.sub(key, type); },
          nb::arg("key"), nb::arg("model_type") = "")
      .def(
          "harmless",
          [](const Config& c, const std::vector<std::string>& keys) {
            for (const std::string& key : keys) c.harmless({key});
          },
          nb::arg("keys"));
}

}  // namespace

void bind_graph(nb::module_& m) {
  bind_dims(m);
  bind_weights(m);
  bind_values(m);
  bind_arguments(m);
}

}  // namespace onnxport::python
