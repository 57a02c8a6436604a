#include "lower/emitter.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "lower/forms.h"
#include "lower/input_axes.h"
#include "onnxport/error.h"
#include "onnxport/op.h"
#include "onnxport/ops.h"

namespace onnxport::lower {
namespace {

// The name of a constant without a checkpoint key: derived from its content, so equal on every run.
std::string constant_name(const Weight& weight) {
  constexpr std::int64_t kLongest = 8;
  if (weight.numel() > kLongest || weight.numel() == 0) return "constant";
  std::string text = fmt::format("constant_{}", short_name(weight.dtype()));
  if (is_float(weight.dtype())) {
    for (const double value : weight.to_doubles()) text += fmt::format("_{}", value);
  } else {
    for (const std::int64_t value : weight.to_ints()) text += fmt::format("_{}", value);
  }
  return text;
}

}  // namespace

Emitter::Emitter(const Graph& graph, const Target& target) : graph_(graph), target_(target) {
  note_readers();
}

std::string Emitter::shared(std::string_view path, const std::string& key,
                            const std::function<std::string()>& make) {
  if (const auto it = shared_.find(key); it != shared_.end()) return it->second;
  const std::string saved = std::exchange(path_, std::string(path));
  const std::string made = make();
  path_ = saved;
  return shared_[key] = made;
}

std::string Emitter::name_of(const Value& value) {
  if (!value) return {};
  if (value.node()->op == Op::weight) return weight(value.node()->weight);
  const auto it = names_.find({value.node(), value.index()});
  if (it == names_.end())
    throw ExportError(ErrorCode::internal, "lowering: a value is used before it is made");
  return it->second;
}

Names Emitter::names_of(const std::vector<Value>& values) {
  Names names;
  for (const Value& value : values) names.push_back(name_of(value));
  return names;
}

std::string Emitter::unique(std::string_view base) {
  std::string name(base);
  int& suffix = next_suffix_[name];
  while (!taken_.insert(name).second) name = fmt::format("{}_{}", base, ++suffix);
  return name;
}

std::string Emitter::emit(OpType op_type, Names inputs, OnnxAttrs attrs) {
  return emit_all(std::move(op_type), 1, std::move(inputs), std::move(attrs))[0];
}

Names Emitter::emit_all(OpType op_type, std::size_t outputs, Names inputs, OnnxAttrs attrs) {
  return emit_wanted(std::move(op_type), std::vector<bool>(outputs, true), std::move(inputs),
                     std::move(attrs));
}

Names Emitter::emit_wanted(OpType op_type, const std::vector<bool>& wanted, Names inputs, OnnxAttrs attrs) {
  while (!inputs.empty() && inputs.back().empty()) inputs.pop_back();  // trailing absent operands
  const std::string name = unique(path_.empty() ? op_type.name : path_ + "/" + op_type.name);
  Names names;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (!wanted[i]) {
      names.emplace_back();
    } else {
      names.push_back(i == 0 ? name : unique(fmt::format("{}/{}", name, i)));
      producers_[names.back()] = result_.nodes.size();
    }
  }
  Names outputs = names;
  while (outputs.size() > 1 && outputs.back().empty()) outputs.pop_back();
  if (!op_type.domain.empty()) result_.opsets[op_type.domain] = 1;
  result_.nodes.push_back({std::move(op_type.name), std::move(op_type.domain), name, std::move(inputs),
                           std::move(outputs), std::move(attrs)});
  return names;
}

std::string Emitter::weight(const Weight& weight) {
  std::string& name = initializers_[weight.fingerprint()];
  if (name.empty()) {
    name = unique(weight.name().empty() ? constant_name(weight) : weight.name());
    result_.initializers.push_back({name, weight});
  }
  return name;
}

std::string Emitter::ints(const std::vector<std::int64_t>& values) {
  return weight(Weight::from_ints({static_cast<std::int64_t>(values.size())}, values));
}

std::string Emitter::scalar(double value, DType dtype) {
  return weight(Weight::from_doubles(dtype, {}, {&value, 1}));
}

std::string Emitter::emit_with_axes(std::string op_type, std::string input, std::vector<std::int64_t> axes,
                                    int operand_since, OnnxAttrs attrs) {
  if (opset() >= operand_since)
    return emit(std::move(op_type), {std::move(input), ints(axes)}, std::move(attrs));
  attrs.emplace_back("axes", std::move(axes));
  return emit(std::move(op_type), {std::move(input)}, std::move(attrs));
}

std::string Emitter::extent(const std::string& input, std::size_t axis) {
  const auto at = static_cast<std::int64_t>(axis);
  constexpr int kShapeWithRange = 15;
  if (opset() >= kShapeWithRange) return emit("Shape", {input}, {{"start", at}, {"end", at + 1}});
  const std::string shape = emit("Shape", {input});
  return emit("Gather", {shape, ints({at})}, {{"axis", std::int64_t{0}}});
}

std::string Emitter::axis_of_input(const Dim& wanted) {
  const std::optional<InputAxis> found = find_axis(graph_, wanted);
  return found ? extent(found->input, found->axis) : std::string();
}

// Reads a symbol from the shape of the tensor that defines it, or of the first input that has it as an axis.
// If it only occurs in a sum (`past_sequence_length + sequence_length`) or a multiple (`4*num_image_tokens`,
// or `image_batch_size*num_queries` where an input has the axis `image_batch_size`), the rest is subtracted,
// and the factor divided out.
std::string Emitter::symbol(const std::string& name) {
  if (const auto it = defined_.find(name); it != defined_.end())
    return extent(it->second.first, it->second.second);
  const Dim wanted = Dim::symbol(name);
  if (std::string found = axis_of_input(wanted); !found.empty()) return found;
  for (const auto& [input, value] : graph_.inputs()) {
    for (std::size_t axis = 0; axis < value.shape().size(); ++axis) {
      const Dim& whole = value.shape()[axis];
      const Dim rest = whole.substitute({{name, Dim(0)}});
      const std::optional<Dim> factor = (whole - rest).exact_div(wanted);
      if (!factor || *factor == Dim(0) || !are_axes(graph_, *factor)) continue;
      std::string found = extent(input, axis);
      if (rest != Dim(0)) found = emit("Sub", {found, dim(rest)});
      return *factor == Dim(1) ? found : emit("Div", {found, dim(*factor)});
    }
  }
  throw ExportError(ErrorCode::internal,
                    fmt::format("no input has the axis '{}', which the graph needs", name));
}

std::string Emitter::dim(const Dim& dim) {
  if (dim.is_constant()) return ints({*dim.constant()});
  if (const auto it = dims_.find(dim.str()); it != dims_.end()) return it->second;
  const std::string saved = std::exchange(path_, "shape");  // shared by the whole graph: no module's own
  std::string total;
  if (dim.has_floor())
    total = axis_of_input(dim);  // rather than computed: some inputs are what strides divided
  if (!total.empty()) {
    path_ = saved;
    return dims_[dim.str()] = total;
  }
  for (const Dim::Term& term : dim.terms()) {
    std::string product;
    for (const std::string& factor : term.factors) {
      std::string value;
      if (factor != dim.str()) {  // part of something larger: it may be part of more
        value = this->dim(Dim::symbol(factor));
      } else if (const std::optional<Dim::Atom> atom = Dim::open_atom(factor)) {
        const std::string inner = this->dim(atom->expression);
        const std::string bound = ints({atom->n});
        if (!atom->minimum) {
          value = emit("Div", {inner, bound});
        } else if (opset() >= 12) {
          value = emit("Min", {inner, bound});
        } else {  // Min took only floats
          value = emit("Where", {emit("Less", {inner, bound}), inner, bound});
        }
      } else {
        value = symbol(factor);
      }
      product = product.empty() ? value : emit("Mul", {product, value});
    }
    if (product.empty()) {
      product = ints({term.coefficient});
    } else if (term.coefficient != 1) {
      product = emit("Mul", {product, ints({term.coefficient})});
    }
    total = total.empty() ? product : emit("Add", {total, product});
  }
  path_ = saved;
  return dims_[dim.str()] = total;
}

std::string Emitter::scalar_dim(const Dim& dim) {
  if (dim.is_constant()) return scalar(static_cast<double>(*dim.constant()), DType::i64);
  std::string& name = dims_["scalar " + dim.str()];
  if (name.empty()) {
    const std::string vector = this->dim(dim);
    const std::string saved = std::exchange(path_, "shape");
    name = emit_with_axes("Squeeze", vector, {0}, 13);
    path_ = saved;
  }
  return name;
}

// The extents as one int64 vector. Runs of constants become one constant.
std::string Emitter::dims(const std::vector<Dim>& extents) {
  const std::string key = to_string(extents);
  if (const auto it = dims_.find(key); it != dims_.end()) return it->second;
  Names parts;
  std::vector<std::int64_t> run;
  const auto flush = [&] {
    if (!run.empty()) parts.push_back(ints(run));
    run.clear();
  };
  for (const Dim& extent : extents) {
    if (extent.is_constant()) {
      run.push_back(*extent.constant());
    } else {
      flush();
      parts.push_back(dim(extent));
    }
  }
  flush();
  if (parts.size() == 1) return dims_[key] = parts[0];
  const std::string saved = std::exchange(path_, "shape");
  const std::string name = emit("Concat", std::move(parts), {{"axis", std::int64_t{0}}});
  path_ = saved;
  return dims_[key] = name;
}

std::string Emitter::zeros(const TensorType& type) {
  return emit("Expand", {scalar(0, type.dtype), dims(type.shape)});
}

std::string Emitter::reshape_target(const Shape& from, const Shape& to) {
  std::vector<Dim> target = to;
  bool inferred = false;
  for (std::size_t i = 0; i < to.size(); ++i) {
    if (to[i].is_constant()) continue;
    if (i < from.size() && to[i] == from[i]) {
      target[i] = 0;
    } else if (!inferred) {
      target[i] = -1;
      inferred = true;
    }
  }
  return target.empty() ? ints({}) : dims(target);
}

std::string Emitter::expand_target(const Shape& from, const Shape& to) {
  std::vector<Dim> target = to;
  const std::size_t added = to.size() - from.size();
  for (std::size_t i = added; i < to.size(); ++i) {
    if (to[i] == from[i - added]) target[i] = 1;
  }
  return dims(target);
}

// The official shape inference does not know other domains, so the types of their results are stored.
void Emitter::declare(const Node& node, const Lowered& made) {
  for (std::size_t i = 0; i < made.size(); ++i) {
    const auto producer = producers_.find(made[i]);
    if (producer == producers_.end() || result_.nodes[producer->second].domain.empty()) continue;
    result_.values.push_back({made[i], node.outputs[i]});
  }
}

OnnxGraph Emitter::run() {
  result_.opsets[""] = target_.opset;
  for (const auto& [name, value] : graph_.inputs()) {
    taken_.insert(name);
    names_[{value.node(), value.index()}] = name;
    result_.inputs.push_back({name, value.type()});
  }
  for (const auto& [name, value] : graph_.outputs()) taken_.insert(name);
  for (const Node& node : graph_.nodes()) {
    if (node.op == Op::input || node.op == Op::weight) continue;
    path_ = node.path;
    const Form& form = form_of(node, target_);
    if (form.lower == nullptr) {
      throw ExportError(ErrorCode::internal,
                        fmt::format("{} reached lowering without being decomposed", to_string(node.op)));
    }
    const Lowered made = form.lower(*this, node);
    for (std::uint32_t i = 0; i < made.size(); ++i) names_[{&node, i}] = made[i];
    declare(node, made);
  }
  name_outputs();
  return std::move(result_);
}

// The name of an output replaces the name that its node made up. If that is not possible (the value is also
// an input, a weight, or another output), the output gets an Identity.
void Emitter::name_outputs() {
  path_.clear();
  std::unordered_map<std::string, std::string> renamed;
  for (const auto& [name, value] : graph_.outputs()) {
    result_.outputs.push_back({name, value.type()});
    const std::string made = name_of(value);
    const auto producer = producers_.find(made);
    if (producer == producers_.end()) {
      const auto other = renamed.find(made);
      const std::string source = other == renamed.end() ? made : other->second;
      result_.nodes.push_back({"Identity", {}, unique("Identity"), {source}, {name}, {}});
      continue;
    }
    Names& outputs = result_.nodes[producer->second].outputs;
    std::replace(outputs.begin(), outputs.end(), made, name);
    producers_.erase(producer);
    renamed[made] = name;
  }
  rename_inputs(result_.nodes, [&](std::string& input) {
    if (const auto it = renamed.find(input); it != renamed.end()) input = it->second;
  });
  std::erase_if(result_.values, [&](const OnnxValueInfo& value) { return renamed.contains(value.name); });
}

OnnxGraph lower(const Graph& graph, const Target& target) {
  if (target.opset < oldest_opset) {
    throw ExportError(
        ErrorCode::invalid_argument,
        fmt::format("opset {} is too old: onnxport exports opset {} and newer", target.opset, oldest_opset));
  }
  return Emitter(graph, target).run();
}

}  // namespace onnxport::lower
