#include "serialize/infer_shapes.h"

#include <onnx/shape_inference/implementation.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "onnx_checker.h"

namespace onnxport::serialize {
namespace {

using onnx::shape_inference::InferenceContextImpl;
using Scope = onnx::shape_inference::GraphInferenceContext::OuterScopeValueTypesMap;

/// The part of `outer` whose names occur in a graph, or in the graphs inside of it.
class NarrowScope {
 public:
  explicit NarrowScope(const Scope& outer) : outer_(outer) {}

  void add(const onnx::GraphProto& graph) {
    add_named(graph.input());
    add_named(graph.output());
    add_named(graph.value_info());
    add_named(graph.initializer());
    for (const auto& tensor : graph.sparse_initializer()) add(tensor.values().name());
    for (const onnx::NodeProto& node : graph.node()) {
      for (const std::string& name : node.input()) add(name);
      for (const std::string& name : node.output()) add(name);
      for (const onnx::AttributeProto& attr : node.attribute()) {
        if (attr.has_g()) add(attr.g());
        for (const onnx::GraphProto& inner : attr.graphs()) add(inner);
      }
    }
  }

  const Scope& types() const { return types_; }

 private:
  template <class Named>
  void add_named(const Named& all) {
    for (const auto& one : all) add(one.name());
  }

  void add(const std::string& name) {
    if (const auto found = outer_.find(name); found != outer_.end()) types_.insert(*found);
  }

  const Scope& outer_;
  Scope types_;
};

/// The official schemas, of which those with inner graphs narrow the scope first.
class NarrowingSchemas final : public onnx::ISchemaRegistry {
 public:
  const onnx::OpSchema* GetSchema(const std::string& op, int version,
                                  const std::string& domain) const override {
    const onnx::OpSchema* schema = onnx_schemas().GetSchema(op, version, domain);
    if (schema == nullptr || !schema->has_type_and_shape_inference_function()) return schema;
    const bool has_graph = std::ranges::any_of(schema->attributes(), [](const auto& attribute) {
      return attribute.second.type == onnx::AttributeProto::GRAPH;
    });
    if (!has_graph) return schema;
    std::unique_ptr<onnx::OpSchema>& narrowing = schemas_[schema];
    if (!narrowing) {
      narrowing = std::make_unique<onnx::OpSchema>(*schema);
      narrowing->TypeAndShapeInferenceFunction(
          [this, infer = schema->GetTypeAndShapeInferenceFunction()](onnx::InferenceContext& context) {
            infer_narrowed(context, infer);
          });
    }
    return narrowing.get();
  }

  std::size_t copied() const { return copied_; }

 private:
  void infer_narrowed(onnx::InferenceContext& context, const onnx::InferenceFunction& infer) const {
    auto* impl = dynamic_cast<InferenceContextImpl*>(&context);
    if (impl == nullptr || impl->graphInferenceContext_ == nullptr) return infer(context);
    const Scope*& scope = impl->graphInferenceContext_->outer_scope_value_types_by_name;
    NarrowScope narrow(*scope);
    for (const auto& [name, graph] : impl->graphProtoAttributesByName_) narrow.add(*graph);
    copied_ += narrow.types().size();
    const Restore restore{scope, std::exchange(scope, &narrow.types())};
    infer(context);
  }

  /// Puts the whole scope back.
  struct Restore {
    const Scope*& place;
    const Scope* whole;
    Restore(const Scope*& its_place, const Scope* before) : place(its_place), whole(before) {}
    ~Restore() { place = whole; }
    Restore(const Restore&) = delete;
    Restore& operator=(const Restore&) = delete;
  };

  mutable std::map<const onnx::OpSchema*, std::unique_ptr<onnx::OpSchema>> schemas_;
  mutable std::size_t copied_ = 0;
};

}  // namespace

std::size_t infer_shapes(onnx::ModelProto& model) {
  const NarrowingSchemas schemas;
  onnx::shape_inference::DataValueMap values;
  const onnx::ShapeInferenceOptions options(/*check_type_val=*/true, /*strict_mode_val=*/1,
                                            /*data_prop_val=*/true);
  onnx::shape_inference::InferShapes(model, &schemas, options, &values);
  return schemas.copied();
}

}  // namespace onnxport::serialize
