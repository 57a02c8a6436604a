#include "serialize/check.h"

#include <fmt/format.h>
#include <onnx/checker.h>
#include <onnx/onnx_pb.h>

#include <algorithm>
#include <set>
#include <unordered_map>
#include <vector>

#include "onnx/element_type.h"
#include "onnx_checker.h"
#include "onnxport/error.h"
#include "serialize/infer_shapes.h"
#include "serialize/join_initializers.h"
#include "serialize/skeleton.h"
#include "serialize/writer.h"

namespace onnxport::serialize {
namespace {

namespace fs = std::filesystem;

/// `float32[batch_size, 16]`
std::string describe(const onnx::TypeProto_Tensor& type) {
  std::vector<std::string> dims;
  for (const auto& dim : type.shape().dim()) {
    dims.push_back(dim.has_dim_value() ? std::to_string(dim.dim_value()) : dim.dim_param());
  }
  return fmt::format("{}[{}]", element_type_name(type.elem_type()), fmt::join(dims, ", "));
}

/// Whether the types agree, as far as both are known.
bool agree(const onnx::TypeProto_Tensor& declared, const onnx::TypeProto_Tensor& inferred) {
  if (declared.elem_type() != inferred.elem_type()) return false;
  if (!inferred.has_shape()) return true;
  return std::ranges::equal(declared.shape().dim(), inferred.shape().dim(), [](const auto& a, const auto& b) {
    return !a.has_dim_value() || !b.has_dim_value() || a.dim_value() == b.dim_value();
  });
}

/// The model for shape inference.
bool may_be_shape(std::int32_t type) {
  return type == onnx::TensorProto::INT64 || type == onnx::TensorProto::INT32;
}

/// Inference tracks the elements of integer vectors, because they may be shapes. If their data is external,
/// it tries to read them and fails. It ignores vectors of floats only if they are initializers. Therefore,
/// this removes integer initializers with external data but leaves their types, and turns float vectors that
/// are casts of initializers into initializers without data.
void forget_data(onnx::GraphProto& graph) {
  std::unordered_map<std::string, const onnx::TensorProto*> vectors;  // of floats, with external data
  for (const onnx::TensorProto& tensor : graph.initializer()) {
    if (!external_reference(tensor)) continue;
    if (tensor.dims_size() == 1 && !may_be_shape(tensor.data_type())) vectors[tensor.name()] = &tensor;
    if (!may_be_shape(tensor.data_type())) continue;
    *graph.add_value_info() = type_of(tensor);
  }
  std::vector<onnx::TensorProto> casts;
  auto& nodes = *graph.mutable_node();
  const auto becomes_initializer = [&](const onnx::NodeProto& node) {
    if (node.op_type() != "Cast" || node.input_size() != 1) return false;
    const auto vector = vectors.find(node.input(0));
    if (vector == vectors.end()) return false;
    onnx::TensorProto& cast = casts.emplace_back();
    cast.set_name(node.output(0));
    *cast.mutable_dims() = vector->second->dims();
    for (const onnx::AttributeProto& attr : node.attribute()) {
      if (attr.name() == "to") cast.set_data_type(static_cast<std::int32_t>(attr.i()));
    }
    if (!may_be_shape(cast.data_type())) return true;
    casts.pop_back();
    return false;
  };
  if (!vectors.empty())
    nodes.erase(std::remove_if(nodes.begin(), nodes.end(), becomes_initializer), nodes.end());
  auto& initializers = *graph.mutable_initializer();
  initializers.erase(std::remove_if(initializers.begin(), initializers.end(),
                                    [](const onnx::TensorProto& tensor) {
                                      return may_be_shape(tensor.data_type()) && external_reference(tensor);
                                    }),
                     initializers.end());
  for (onnx::TensorProto& cast : casts) *graph.add_initializer() = std::move(cast);
  for (onnx::NodeProto& node : nodes) {
    for (onnx::AttributeProto& attr : *node.mutable_attribute()) {
      if (attr.has_g()) forget_data(*attr.mutable_g());
    }
  }
}

/// A message of onnx on one line.
std::string one_line(std::string_view text) {
  std::string line;
  for (const char c : text) {
    if (c != '\n') {
      line += c;
    } else if (!line.empty() && line.back() != ' ') {
      line += ' ';
    }
  }
  while (line.ends_with(' ')) line.pop_back();
  return line;
}

class Check {
 public:
  Check(onnx::ModelProto model, fs::path folder, std::string name)
      : model_(std::move(model)), folder_(folder.empty() ? "." : std::move(folder)), name_(std::move(name)) {}

  void run() {
    try {
      check_structure();
      check_extents();
      check_shapes();
    } catch (const ExportError&) {
      throw;
    } catch (const std::runtime_error& error) {  // ValidationError and InferenceError of onnx
      fail("the onnx checker says: " + one_line(error.what()));
    }
  }

 private:
  [[noreturn]] void fail(const std::string& message) const {
    throw ExportError(ErrorCode::internal, name_ + ": " + message);
  }

  /// The official check. onnx offers it for a path, but then loads the payloads; and for a model in memory,
  /// but then looks for external data in the working folder. The parts of both are public.
  void check_structure() {
    if (model_.ir_version() < 3 || model_.ir_version() > onnx::Version::IR_VERSION) {
      fail(fmt::format("ir version {} is not in 3..{}", model_.ir_version(), int{onnx::Version::IR_VERSION}));
    }
    std::unordered_map<std::string, int> opsets;
    for (const auto& opset : model_.opset_import())
      opsets[opset.domain()] = static_cast<int>(opset.version());
    if (opsets.empty()) fail("no opset is imported");
    onnx::checker::CheckerContext context;
    context.set_schema_registry(&onnx_schemas());
    context.set_model_dir(folder_.string());
    context.set_ir_version(static_cast<int>(model_.ir_version()));
    context.set_opset_imports(std::move(opsets));
    // For the path of every tensor's file it makes a dozen system calls: one tensor for each file has to do.
    // The others are known from outside.
    onnx::checker::LexicalScopeContext scope;
    google::protobuf::RepeatedPtrField<onnx::TensorProto> all;
    all.Swap(model_.mutable_graph()->mutable_initializer());
    std::set<std::string> files;
    for (const onnx::TensorProto& tensor : all) {
      const auto reference = external_reference(tensor);
      if (!reference || files.insert(reference->location).second) {
        *model_.mutable_graph()->add_initializer() = tensor;
      } else {
        scope.add(tensor.name());
      }
    }
    onnx::checker::check_graph(model_.graph(), context, scope);
    all.Swap(model_.mutable_graph()->mutable_initializer());
    if (model_.ir_version() >= 8) onnx::checker::check_model_local_functions(model_, context, scope);
  }

  /// External data must have the size that dims and type need, and be inside its file. The official check
  /// ignores sizes.
  void check_extents() const {
    std::map<std::string, std::uint64_t> file_sizes;
    for (const onnx::TensorProto& tensor : model_.graph().initializer()) {
      const auto reference = external_reference(tensor);
      if (!reference) continue;
      const std::uint64_t bytes = raw_bytes(tensor);
      const std::uint64_t length = reference->length.value_or(bytes);
      const auto [file_size, is_new] = file_sizes.try_emplace(reference->location, 0);
      if (is_new) file_size->second = fs::file_size(folder_ / reference->location);
      if (length != bytes) {
        fail(fmt::format("initializer {} is {} bytes of data, expected {}", tensor.name(), length, bytes));
      }
      if (length > file_size->second || reference->offset > file_size->second - length) {
        fail(fmt::format("initializer {} is at bytes {}..{} of {}, which ends at {}", tensor.name(),
                         reference->offset, reference->offset + length, reference->location,
                         file_size->second));
      }
    }
  }

  /// Strict shape inference. The declared outputs must agree with the result. Consumes the model.
  void check_shapes() {
    onnx::GraphProto& graph = *model_.mutable_graph();
    // Without the declared types, an error can name the output instead of the node.
    const google::protobuf::RepeatedPtrField<onnx::ValueInfoProto> declared = graph.output();
    for (onnx::ValueInfoProto& output : *graph.mutable_output()) output.clear_type();
    forget_data(graph);
    join_initializers(graph);
    infer_shapes(model_);
    for (int i = 0; i < declared.size(); ++i) {
      const onnx::TypeProto& inferred = graph.output(i).type();
      if (!inferred.has_tensor_type()) continue;  // an op without inference
      const auto& expected = declared.Get(i).type().tensor_type();
      if (!agree(expected, inferred.tensor_type())) {
        fail(fmt::format("output {} is declared as {}, but the graph computes {}", declared.Get(i).name(),
                         describe(expected), describe(inferred.tensor_type())));
      }
    }
  }

  onnx::ModelProto model_;
  fs::path folder_;
  std::string name_;
};

}  // namespace

void check_written(const std::filesystem::path& path, const std::string& name,
                   const std::map<std::string, std::string>& renamed) {
  onnx::ModelProto model = read_skeleton(path);
  for (onnx::TensorProto& tensor : *model.mutable_graph()->mutable_initializer()) {
    for (onnx::StringStringEntryProto& entry : *tensor.mutable_external_data()) {
      if (entry.key() != "location") continue;
      if (const auto found = renamed.find(entry.value()); found != renamed.end())
        entry.set_value(found->second);
    }
  }
  Check(std::move(model), path.parent_path(), name).run();
}

void check_model_file(const std::filesystem::path& path) { check_written(path, path.string(), {}); }

}  // namespace onnxport::serialize
