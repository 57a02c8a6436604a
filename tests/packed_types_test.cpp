// Initializers of 4 and 2 bits.
#include <gtest/gtest.h>
#include <onnx/onnx_pb.h>

#include <array>
#include <memory>

#include "errors.h"
#include "onnx/element_type.h"
#include "onnx/merge_decoders.h"
#include "onnx/refer_to_checkpoint.h"
#include "onnxport/error.h"
#include "serialize/model_proto.h"
#include "serialize/summary.h"
#include "serialize/writer.h"
#include "writer_fixture.h"

namespace onnxport::serialize {
namespace {

using test::complaint;

/// int4 [kRows, kColumns] in blocks of kBlock rows.
class PackedTest : public WriterTest {
 protected:
  static constexpr std::int64_t kRows = 64, kColumns = 64, kBlock = 16, kBlocks = kRows / kBlock;

  static int code(std::int64_t i) { return static_cast<int>(i * 7 % 16) - 8; }
  static int zero_point(std::int64_t i) { return static_cast<int>(i % 5) - 2; }
  static double scale(std::int64_t i) { return static_cast<double>(1 + i % 3) / 4; }

  template <class Fn>
  static Weight pack(std::int64_t count, Fn&& value) {
    std::vector<std::byte> bytes(static_cast<std::size_t>((count + 1) / 2));
    for (std::int64_t i = 0; i < count; ++i) {
      const unsigned bits = static_cast<unsigned>(value(i)) & 0xfU;
      bytes[static_cast<std::size_t>(i / 2)] |= static_cast<std::byte>(i % 2 == 0 ? bits : bits << 4U);
    }
    const auto size = static_cast<std::int64_t>(bytes.size());
    return Weight::constant(DType::u8, {size}, std::move(bytes));
  }

  static OnnxGraph dequantizing() {
    OnnxGraph graph;
    graph.opsets[""] = 21;
    graph.inputs = {{"x", {DType::f32, {kRows, kColumns}}}};
    graph.outputs = {{"y", {DType::f32, {kRows, kColumns}}}};
    std::vector<double> scales(kBlocks * kColumns);
    for (std::size_t i = 0; i < scales.size(); ++i) scales[i] = scale(static_cast<std::int64_t>(i));
    const PackedType codes{PackedElement::int4, {kRows, kColumns}},
        zeros{PackedElement::int4, {kBlocks, kColumns}};
    graph.initializers = {{"q", pack(kRows * kColumns, code), codes},
                          {"scale", Weight::from_doubles(DType::f32, {kBlocks, kColumns}, scales)},
                          {"zero", pack(kBlocks * kColumns, zero_point), zeros},
                          {"odd", pack(3, code), PackedType{PackedElement::uint4, {3}}}};
    graph.nodes = {{"DequantizeLinear",
                    "",
                    "dq",
                    {"q", "scale", "zero"},
                    {"d"},
                    {{"axis", std::int64_t{0}}, {"block_size", kBlock}}},
                   {"Add", "", "add", {"x", "d"}, {"y"}, {}}};
    return graph;
  }

  static void expect_numbers(const fs::path& path) {
    Tensor x(DType::f32, {kRows, kColumns});
    const auto y = runtime::Session(path, {.intra_op_threads = 1}).run({{"x", x}})[0].second.to_doubles();
    ASSERT_EQ(y.size(), static_cast<std::size_t>(kRows * kColumns));
    for (std::int64_t i = 0; i < kRows * kColumns; ++i) {
      const std::int64_t block = i / kColumns / kBlock * kColumns + i % kColumns;
      ASSERT_EQ(y[static_cast<std::size_t>(i)], (code(i) - zero_point(block)) * scale(block)) << i;
    }
  }
};

TEST_F(PackedTest, RunsInOnnxRuntime) {
  for (const ExternalData kind : {ExternalData::never, ExternalData::always}) {
    WriteOptions options;
    options.external_data = kind;
    write_model(dequantizing(), model, options);
    expect_numbers(model);
    const ModelSummary summary = summarize(model);
    EXPECT_EQ(summary.ir_version, 10);
    const InitializerSummary& codes = summary.graph.initializers[0];
    EXPECT_EQ(codes.type, "int4");
    EXPECT_EQ(codes.shape, (std::vector<std::int64_t>{kRows, kColumns}));
    EXPECT_EQ(codes.bytes, static_cast<std::uint64_t>(kRows * kColumns / 2));
    EXPECT_EQ(codes.file, kind == ExternalData::always ? "model.onnx_data" : "");
    EXPECT_EQ(summary.graph.initializers[3].type, "uint4");
    EXPECT_EQ(summary.graph.initializers[3].bytes, 2U);
  }
  onnx::ModelProto proto;
  write_model(dequantizing(), model);
  ASSERT_TRUE(proto.ParseFromString(read_all(model)));
  EXPECT_EQ(proto.graph().initializer(0).data_type(), onnx::TensorProto::INT4);
  EXPECT_EQ(proto.graph().initializer(3).data_type(), onnx::TensorProto::UINT4);
}

TEST_F(PackedTest, IrVersionHasTheType) {
  OnnxGraph graph = dequantizing();
  graph.opsets[""] = 18;
  EXPECT_EQ(ir_version_for(graph), 10);
  graph.initializers.push_back({"two", pack(8, code), PackedType{PackedElement::uint2, {16}}});
  EXPECT_EQ(ir_version_for(graph), 13);
  const auto inner = std::make_shared<OnnxGraph>(graph);
  graph.initializers.clear();
  EXPECT_EQ(ir_version_for(graph), 8);
  graph.nodes = {{"If", "", "", {"c"}, {"y"}, {{"then_branch", inner}}}};
  EXPECT_EQ(ir_version_for(graph), 13);
  for (const PackedElement type :
       {PackedElement::int4, PackedElement::uint4, PackedElement::int2, PackedElement::uint2}) {
    const bool four = element_type_bits(element_type(type)) == 4;
    EXPECT_TRUE(element_type_name(element_type(type)).ends_with(four ? "int4" : "int2"));
    EXPECT_EQ(ir_version_of(type), four ? 10 : 13);
  }
}

TEST_F(PackedTest, BytesMustBeThoseOfTheElements) {
  OnnxGraph graph = dequantizing();
  graph.initializers[0].packed->shape = {kRows, kColumns + 2};
  const std::string message = complaint(ErrorCode::internal, [&] { write_model(graph, model); });
  EXPECT_TRUE(contains(message, "initializer q: the bytes of its int4[64, 66] are uint8[2048]"));
  EXPECT_TRUE(contains(message, "expected uint8[2112]"));
  EXPECT_FALSE(fs::exists(model.parent_path()));
}

TEST_F(PackedTest, EqualBytesOfOtherTypesAreOtherTensors) {
  const Weight bytes = pack(64, code);
  const OnnxInitializer plain{"a", bytes}, four{"b", bytes, PackedType{PackedElement::int4, {64}}},
      shaped{"c", bytes, PackedType{PackedElement::int4, {8, 8}}},
      unsigned_four{"d", bytes, PackedType{PackedElement::uint4, {64}}};
  EXPECT_EQ(fingerprint(plain), bytes.fingerprint());
  EXPECT_NE(fingerprint(four), fingerprint(plain));
  EXPECT_NE(fingerprint(four), fingerprint(shaped));
  EXPECT_NE(fingerprint(four), fingerprint(unsigned_four));

  const auto decoder = [&](const OnnxInitializer& used) {
    OnnxGraph graph;
    graph.opsets[""] = 21;
    graph.inputs = {{"x", {DType::f32, {64}}}};
    graph.outputs = {{"y", {DType::f32, {64}}}};
    graph.initializers = {used};
    graph.nodes = {{"Cast", "", "cast", {used.name}, {"y"}, {{"to", std::int64_t{1}}}}};
    return graph;
  };
  const OnnxGraph merged = merge_decoders(decoder(four), decoder(unsigned_four));
  ASSERT_EQ(merged.initializers.size(), 2U);
  EXPECT_EQ(merged.initializers[0].packed, four.packed);
  EXPECT_EQ(merged.initializers[1].packed, unsigned_four.packed);
  EXPECT_EQ(merge_decoders(decoder(four), decoder(four)).initializers.size(), 1U);
}

TEST_F(PackedTest, StaysWhenWeightsReferToTheCheckpoint) {
  const TensorView view{"codes", DType::u8, {4 * kIn}, source, 3};
  OnnxGraph graph;
  graph.opsets[""] = 21;
  graph.initializers = {{"q", Weight(view), PackedType{PackedElement::int4, {8 * kIn}}},
                        {"wide", Weight(view).cast(DType::i32)}};
  refer_to_checkpoint(graph, 1);
  ASSERT_EQ(graph.initializers.size(), 2U);
  EXPECT_EQ(graph.initializers[0].name, "q");
  ASSERT_TRUE(graph.initializers[0].packed.has_value());
  EXPECT_EQ(graph.initializers[0].packed->element, PackedElement::int4);
  EXPECT_FALSE(graph.initializers[1].packed.has_value());
  ASSERT_EQ(graph.nodes.size(), 1U);  // the cast takes the plain bytes, not those of int4
  EXPECT_EQ(graph.nodes[0].inputs[0], graph.initializers[1].name);
}

}  // namespace
}  // namespace onnxport::serialize
