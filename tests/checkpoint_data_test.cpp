// Models whose weights stay in the checkpoint.
#include <gtest/gtest.h>
#include <onnx/onnx_pb.h>

#include <algorithm>

#include "errors.h"
#include "ir/weight_steps.h"
#include "onnx/refer_to_checkpoint.h"
#include "onnxport/error.h"
#include "serialize/writer.h"
#include "writer_fixture.h"

namespace onnxport::serialize {
namespace {

using test::complaint;

/// The same graph over a checkpoint of float16, with models in its folder.
class CheckpointDataTest : public WriterTest {
 protected:
  CheckpointDataTest() {
    const std::vector<Weight> parts = {first_weight, first_bias, second_weight.transpose_of()};
    std::string bytes(8, '\0');
    std::vector<TensorView> stored;
    for (const Weight& part : parts) {
      stored.push_back({part.name(), DType::f16, part.shape(), nullptr, bytes.size()});
      const Weight narrow = part.cast(DType::f16);
      std::vector<std::byte> data(static_cast<std::size_t>(narrow.numel()) * 2);
      narrow.read(0, narrow.numel(), data.data());
      bytes.append(reinterpret_cast<const char*>(data.data()), data.size());
    }
    write_all(safetensors, bytes);
    for (TensorView& view : stored) view.file = File::open(safetensors);
    first_weight = Weight(stored[0]).cast(DType::f32);
    first_bias = Weight(stored[1]).cast(DType::f32);
    second_weight = Weight(stored[2]).cast(DType::f32).permute({1, 0});
    options.external_data = ExternalData::checkpoint;
  }

  OnnxGraph referring(std::int64_t smallest = 1024, int opset = 17) const {
    OnnxGraph made = graph();
    made.opsets[""] = opset;
    refer_to_checkpoint(made, smallest);
    return made;
  }

  static Strings ops(const OnnxGraph& graph) {
    Strings types;
    for (const OnnxNode& node : graph.nodes) types.push_back(node.op_type);
    return types;
  }

  std::string refusal(const fs::path& folder_of_model) {
    return complaint(ErrorCode::invalid_argument,
                     [&] { write_model(referring(), folder_of_model / "model.onnx", options); });
  }

  fs::path safetensors = folder.path() / "model.safetensors";
  fs::path beside = folder.path() / "model.onnx";
  WriteOptions options;
};

TEST_F(CheckpointDataTest, WeightsStayWhereTheyAre) {
  const OnnxGraph made = referring();
  EXPECT_EQ(ops(made),
            (Strings{"Cast", "Cast", "Cast", "Transpose", "Gemm", "MatMul", "Cast", "Add", "Reshape"}));
  const auto written = write_model(made, beside, options);
  ASSERT_EQ(written.size(), 1U);
  EXPECT_LT(written[0].bytes, 5000U);
  expect_right_numbers(beside);
  check_model_file(beside);

  onnx::ModelProto proto;
  ASSERT_TRUE(proto.ParseFromString(read_all(beside)));
  Strings outside;
  for (const auto& tensor : proto.graph().initializer()) {
    if (tensor.data_location() != onnx::TensorProto::EXTERNAL) continue;
    outside.push_back(tensor.name());
    EXPECT_EQ(tensor.data_type(), onnx::TensorProto::FLOAT16);
    EXPECT_EQ(tensor.external_data(0).value(), "model.safetensors");
  }
  // Names that the graph uses for casts are taken.
  EXPECT_EQ(outside, (Strings{"first.weight_1", "first.bias_1", "second.weight"}));
}

TEST_F(CheckpointDataTest, WhatIsNotStoredIsWritten) {
  second_weight = second_weight.add(second_weight);  // computed
  const auto written = write_model(referring(2401), beside, options);
  ASSERT_EQ(written.size(), 2U);
  EXPECT_EQ(written[1].path, folder.path() / "model.onnx_data");
  // The bias is too small for a cast of its own, and too large for the message.
  EXPECT_EQ(ops(referring(2401)), (Strings{"Cast", "Gemm", "MatMul", "Cast", "Add", "Reshape"}));
  expect_right_numbers(beside);
}

TEST_F(CheckpointDataTest, EqualStepsAreMadeOnce) {
  OnnxGraph made = graph();
  made.initializers[5] = {"unused", first_weight.permute({1, 0})};
  made.initializers.push_back({"stored", cast_of(first_weight)});
  refer_to_checkpoint(made, 1024);
  EXPECT_EQ(std::ranges::count(ops(made), "Cast"), 4);  // one is the graph's own
  EXPECT_EQ(std::ranges::count(ops(made), "Transpose"), 2);
  write_model(made, beside, options);
  expect_right_numbers(beside);
}

TEST_F(CheckpointDataTest, StackedWeightsAreConcatenated) {
  OnnxGraph made = graph();
  const Weight stored = cast_of(first_weight);
  const std::vector<Weight> parts = {stored, stored.named("again"), stored};
  const std::int64_t rows = stored.shape()[0], columns = stored.shape()[1];
  const Weight stack = Weight::concat(parts, 0).reshape({3, rows, columns}).named("stack");
  made.initializers.push_back({"stack", stack});
  made.initializers.push_back({"wide", stack.cast(DType::f32)});
  made.initializers.push_back({"flat", Weight::concat(parts, 0).named("flat")});
  made.initializers.push_back({"side", Weight::concat(parts, 1).named("side")});  // other axes stay computed
  refer_to_checkpoint(made, 1024);
  const Strings types = ops(made);
  EXPECT_EQ(std::ranges::count(types, "Concat"), 1);
  EXPECT_EQ(std::ranges::count(types, "Reshape"), 2);  // one is the graph's own
  const auto node = std::ranges::find(made.nodes, "Concat", &OnnxNode::op_type);
  ASSERT_NE(node, made.nodes.end());
  EXPECT_EQ(node->inputs, Strings(3, node->inputs.at(0)));
  EXPECT_EQ(std::ranges::count(made.initializers, "side", &OnnxInitializer::name), 1);
  write_model(made, beside, options);
  check_model_file(beside);
  expect_right_numbers(beside);
}

TEST_F(CheckpointDataTest, OldOpsetsCannotCastBfloat16) {
  TensorView view = *cast_of(first_bias).view();
  view.dtype = DType::bf16;
  first_bias = Weight(view).cast(DType::f32);
  EXPECT_EQ(std::ranges::count(ops(referring(1024, 12)), "Cast"), 3);
  EXPECT_EQ(std::ranges::count(ops(referring(1024, 13)), "Cast"), 4);
}

TEST_F(CheckpointDataTest, RefusesAnotherFolder) {
  const fs::path other = folder.path() / "other";
  fs::create_directories(other);
  const std::string absent = refusal(other);
  for (const std::string& part : {safetensors.string(), std::string("'first.weight'"), other.string(),
                                  "export into the checkpoint's own folder, " + folder.path().string()})
    EXPECT_TRUE(contains(absent, part));
  fs::copy_file(safetensors, other / "model.safetensors");
  EXPECT_TRUE(contains(refusal(other), "is another file"));
  fs::remove(other / "model.safetensors");
  fs::create_symlink(safetensors, other / "model.safetensors");
  EXPECT_TRUE(contains(refusal(other), "is a symbolic link"));
  fs::remove(other / "model.safetensors");
  fs::create_hard_link(safetensors, other / "model.safetensors");
  EXPECT_TRUE(contains(refusal(other), "has 2 hard links"));
  EXPECT_FALSE(fs::exists(other / "model.onnx"));
}

TEST_F(CheckpointDataTest, FilesInFoldersBelow) {
  const TempFolder whole;
  const fs::path inner = whole.path() / "2_Dense" / "model.safetensors";
  fs::create_directories(inner.parent_path());
  fs::copy_file(safetensors, inner);
  TensorView view = *cast_of(first_weight).view();
  view.file = File::open(inner);
  OnnxGraph made;
  made.opsets[""] = 17;
  made.inputs = {{"x", {DType::f16, {kHidden, kIn}}}};
  made.outputs = {{"y", {DType::f16, {kHidden, kIn}}}};
  made.initializers = {{"w", view}};
  made.nodes = {{"Add", "", "add", {"x", "w"}, {"y"}, {}}};
  write_model(made, whole.path() / "model.onnx", options);
  onnx::ModelProto proto;
  ASSERT_TRUE(proto.ParseFromString(read_all(whole.path() / "model.onnx")));
  EXPECT_EQ(proto.graph().initializer(0).external_data(0).value(), "2_Dense/model.safetensors");
}

}  // namespace
}  // namespace onnxport::serialize
