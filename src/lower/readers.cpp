// Who reads a value, and initializers whose form depends on it.
#include <algorithm>
#include <utility>

#include "lower/emitter.h"
#include "onnxport/ops.h"

namespace onnxport::lower {
namespace {

// Nodes whose form depends on their readers.
bool has_forms(Op op) { return op == Op::weight || op == Op::dynamic_quantize; }

}  // namespace

void Emitter::note_readers() {
  const auto use = [&](const Value& value) {
    if (value && value.node()->outputs.size() > 1) used_.insert({value.node(), value.index()});
  };
  for (const Node& node : graph_.nodes()) {
    for (const Value& input : node.inputs) {
      use(input);
      if (input && has_forms(input.node()->op)) readers_[input.node()].push_back(&node);
    }
  }
  for (const auto& [name, value] : graph_.outputs()) use(value);
}

bool Emitter::is_used(const Node& node, std::uint32_t index) const { return used_.contains({&node, index}); }

bool Emitter::is_read_by(const Value& value, Op op) const {
  const auto found = readers_.find(value.node());
  return found != readers_.end() && std::any_of(found->second.begin(), found->second.end(),
                                                [&](const Node* reader) { return reader->op == op; });
}

bool Emitter::any_reader(const Node& node, const std::function<bool(const Node&)>& fits) const {
  const auto is_output = [&](const auto& output) { return output.second.node() == &node; };
  if (std::any_of(graph_.outputs().begin(), graph_.outputs().end(), is_output)) return true;
  const auto found = readers_.find(&node);
  return found != readers_.end() && std::any_of(found->second.begin(), found->second.end(),
                                                [&](const Node* reader) { return fits(*reader); });
}

std::string Emitter::packed_weight(const Weight& bytes, PackedType type) {
  OnnxInitializer initializer{{}, bytes, std::move(type)};
  std::string& name = initializers_[fingerprint(initializer)];
  if (name.empty()) {
    name = initializer.name = unique(bytes.name());
    result_.initializers.push_back(std::move(initializer));
  }
  return name;
}

}  // namespace onnxport::lower
