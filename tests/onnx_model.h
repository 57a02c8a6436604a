/// Small ONNX models, made message by message.
#pragma once

#include <onnx/onnx_pb.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace onnxport::test {

inline void add_tensor(onnx::GraphProto& graph, const std::string& name,
                       const std::vector<std::int64_t>& dims, const std::vector<float>& values) {
  onnx::TensorProto& tensor = *graph.add_initializer();
  tensor.set_name(name);
  tensor.mutable_dims()->Add(dims.begin(), dims.end());
  tensor.set_data_type(onnx::TensorProto::FLOAT);
  tensor.set_raw_data(values.data(), values.size() * sizeof(float));
}

inline onnx::NodeProto& add_node(onnx::GraphProto& graph, const std::string& op_type,
                                 const std::vector<std::string>& inputs, const std::string& output) {
  onnx::NodeProto& node = *graph.add_node();
  node.set_op_type(op_type);
  node.set_name(output + "/node");
  node.mutable_input()->Add(inputs.begin(), inputs.end());
  node.add_output(output);
  return node;
}

inline void set_int(onnx::NodeProto& node, const std::string& name, std::int64_t value) {
  onnx::AttributeProto& attribute = *node.add_attribute();
  attribute.set_name(name);
  attribute.set_type(onnx::AttributeProto::INT);
  attribute.set_i(value);
}

/// A value with static dims.
inline void set_value(onnx::ValueInfoProto& value, const std::string& name, std::int32_t type,
                      const std::vector<std::int64_t>& dims) {
  value.set_name(name);
  value.mutable_type()->mutable_tensor_type()->set_elem_type(type);
  auto& shape = *value.mutable_type()->mutable_tensor_type()->mutable_shape();
  for (const std::int64_t dim : dims) shape.add_dim()->set_dim_value(dim);
}

inline onnx::ModelProto make_model(std::int64_t opset = 17) {
  onnx::ModelProto model;
  model.set_ir_version(8);
  model.add_opset_import()->set_version(opset);
  model.mutable_graph()->set_name("main");
  return model;
}

inline void write_model(const onnx::ModelProto& model, const std::filesystem::path& path) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << model.SerializeAsString();
}

inline onnx::ModelProto read_model(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  onnx::ModelProto model;
  model.ParseFromIstream(&in);
  return model;
}

/// Values that look random, the same on every run.
inline std::vector<float> some_floats(std::size_t count, unsigned seed) {
  std::vector<float> values(count);
  for (float& value : values) {
    seed = seed * 1664525U + 1013904223U;
    value = static_cast<float>(static_cast<int>(seed >> 16) - 32768) / 32768.0F;
  }
  return values;
}

}  // namespace onnxport::test
