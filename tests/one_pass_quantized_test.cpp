// Quantized variants in one go: one pass over the stored bytes, and over the values.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include "counted_weight.h"
#include "ir/weight_origin.h"
#include "ir/weight_packed.h"
#include "ir/weight_quantized.h"
#include "serialize/layout.h"
#include "serialize/writer.h"
#include "support/float16.h"
#include "writer_fixture.h"

namespace onnxport::serialize {
namespace {

using test::counted;

std::vector<OnnxInitializer> parts_of(const QuantizedBlocks& made) {
  std::vector<OnnxInitializer> parts = {{"codes", made.codes}, {"scales", made.scales}};
  if (made.zero_points) parts.push_back({"zero_points", made.zero_points});
  return parts;
}

std::vector<OnnxInitializer> parts_of(const QuantizedTensor& made) {
  return {{"codes", made.codes}, {"scale", made.scale}, {"zero_point", made.zero_point}};
}

class QuantizedVariantsTest : public ::testing::Test {
 protected:
  /// A matrix that a file holds as bfloat16.
  Weight stored(std::int64_t rows, std::int64_t columns) const {
    std::string bytes;
    for (std::int64_t i = 0; i < rows * columns; ++i) {
      const std::uint16_t value =
          bf16_from_float(std::sin(static_cast<float>(i)) + static_cast<float>(i % 7));
      bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
    }
    write_all(folder.path() / "weights.bin", bytes);
    return TensorView{"w", DType::bf16, {rows, columns}, File::open(folder.path() / "weights.bin"), 0};
  }

  std::vector<ModelFile> files_in(const fs::path& out) const {
    std::vector<ModelFile> models;
    for (std::size_t i = 0; i < graphs.size(); ++i)
      models.push_back({&graphs[i], out / ("v" + std::to_string(i) + ".onnx")});
    return models;
  }

  /// Writes all graphs together, and compares the files with those of single runs. Returns the bytes read.
  std::uint64_t write_together() const {
    const fs::path together = folder.path() / "together", single = folder.path() / "single";
    const std::uint64_t before = bytes_read().value_or(0);
    write_models(files_in(together), options);
    const std::uint64_t read = bytes_read().value_or(0) - before;
    for (const ModelFile& model : files_in(single)) write_models({model}, options);
    EXPECT_TRUE(all_files(together) == all_files(single));
    fs::remove_all(together);
    fs::remove_all(single);
    return read;
  }

  TempFolder folder;
  WriteOptions options{.external_data = ExternalData::always, .check = false};
  std::vector<OnnxGraph> graphs;
};

TEST_F(QuantizedVariantsTest, StoredBytesAreReadOnce) {
  if (!bytes_read()) GTEST_SKIP() << "the kernel does not count what a process reads";
  // Rows of whole blocks, rows with zero points that share a byte with the next row's, and rows that end
  // within a block.
  for (const std::int64_t columns : {1024, 1056, 1000}) {
    constexpr std::int64_t kRows = 900;
    const Weight w = stored(kRows, columns), wide = w.cast(DType::f32);
    const QuantizedBlocks q4 = quantize_blocks(w, {});
    const BlockParameters search{.algorithm = BlockAlgorithm::k_quant};
    const QuantizedBlocks k = quantize_blocks(wide, search);
    graphs = {holding({{"w", wide}}),
              holding({{"w", w.cast(DType::f16)}}),
              holding(parts_of(q4)),
              holding({{"codes", q4.codes}, {"scales", q4.scales.cast(DType::f16)}}),
              holding(parts_of(k)),
              holding({{"decoded", dequantize_blocks(k, search, columns)}}),
              holding(parts_of(quantize_tensor(w, {.axis = 0})))};
    const auto bytes = static_cast<std::uint64_t>(2 * kRows * columns), read = write_together();
    EXPECT_GE(read, bytes) << columns;
    EXPECT_LT(read, bytes + bytes / 50) << columns;
  }
}

TEST_F(QuantizedVariantsTest, FloatsOfFourBitsAndScalesOfTensors) {
  if (!bytes_read()) GTEST_SKIP() << "the kernel does not count what a process reads";
  const Weight w = stored(900, 1024);
  const QuantizedBnb4 nf4 = quantize_bnb4(w, true, 64);
  graphs = {holding({{"codes", nf4.codes}, {"absmax", nf4.absmax}}), holding({{"w", w.cast(DType::f16)}})};
  const std::uint64_t bytes = 2 * 900 * 1024;
  EXPECT_LT(write_together(), bytes + bytes / 50);
  // The range needs all values first. The codes then come from the same pass as the variants.
  graphs.push_back(holding(parts_of(quantize_tensor(w, {}))));
  EXPECT_LT(write_together(), 2 * bytes + bytes / 25);
}

TEST_F(QuantizedVariantsTest, ValuesAreComputedOnce) {
  const auto expect_scans = [&](const test::Counted& from, std::vector<OnnxInitializer> parts, int scans) {
    graphs = {holding(std::move(parts))};
    from.source->taken();
    write_models(files_in(folder.path() / "out"), options);
    EXPECT_EQ(from.source->taken(), scans * from.weight.numel()) << from.weight.shape()[1];
  };
  for (const auto& [rows, columns] : std::array<std::pair<std::int64_t, std::int64_t>, 4>{
           {{1500, 512}, {40, 512}, {900, 117}, {3, 70016}}}) {
    const test::Counted from = counted({rows, columns});
    for (const int bits : {4, 8}) {
      expect_scans(
          from, parts_of(quantize_blocks(from.weight, {.bits = bits, .algorithm = BlockAlgorithm::k_quant})),
          1);
    }
    expect_scans(from, parts_of(quantize_tensor(from.weight, {.axis = 0})), columns > 65536 ? 2 : 1);
    expect_scans(from, parts_of(quantize_tensor(from.weight, {.axis = 1})), 2);
  }
  const test::Counted from = counted({512, 600});
  expect_scans(from, parts_of(quantize_blocks(from.weight.permute({1, 0}), {.symmetric = false})), 1);
  const QuantizedBnb4 nf4 = quantize_bnb4(from.weight, true, 64);
  expect_scans(from, {{"codes", nf4.codes}, {"absmax", nf4.absmax}}, 1);
}

// Few numbers, but a whole tensor has to be read for them.
TEST_F(QuantizedVariantsTest, ScalesAreNotComputedWhileFilesAreLaidOut) {
  const test::Counted from = counted({64, 128});
  Layout layout;
  for (const auto& part : parts_of(quantize_tensor(from.weight, {}))) layout.add(part.weight);
  for (const auto& part : parts_of(quantize_blocks(from.weight, {.symmetric = false})))
    layout.add(part.weight);
  EXPECT_EQ(from.source->taken(), 0);
  EXPECT_EQ(layout.payloads().size(), 6U);
  EXPECT_EQ(layout.size(), std::uint64_t{64 * 128 + 4 + 1 + 64 * 64 + 4 * 64 * 4 + 2 * 64});
}

TEST_F(QuantizedVariantsTest, Origins) {
  const Weight w = stored(6, 96);
  const auto one = [](const Weight& weight) {
    const std::vector<Origin> origins = origins_of(weight);
    EXPECT_EQ(origins.size(), 1U);
    EXPECT_EQ(origins.at(0).count, weight.numel());
    return origins.at(0);
  };
  const auto expect_unit = [&](const Weight& weight, std::int64_t elements, std::int64_t bytes) {
    const Origin origin = one(weight);
    EXPECT_EQ(origin.file, w.view()->file) << weight.name();
    EXPECT_EQ(origin.offset, 0U);
    EXPECT_EQ(origin.elements, elements) << weight.name();
    EXPECT_EQ(origin.bytes, bytes) << weight.name();
  };
  const QuantizedBlocks blocks = quantize_blocks(w, {.block_size = 16, .symmetric = false});
  expect_unit(blocks.codes, 8, 32);
  expect_unit(blocks.scales.cast(DType::f16), 1, 32);
  expect_unit(blocks.zero_points, 1, 64);
  expect_unit(dequantize_blocks(blocks, {.block_size = 16, .symmetric = false}, 96), 16, 32);
  const QuantizedBlocks uneven = quantize_blocks(w, {.block_size = 64, .symmetric = false});
  expect_unit(uneven.codes, 64, 192);
  expect_unit(uneven.scales, 2, 192);
  expect_unit(uneven.zero_points, 1, 192);
  const QuantizedTensor rows = quantize_tensor(w, {.axis = 0});
  expect_unit(rows.codes, 1, 2);
  expect_unit(rows.scale, 1, 192);
  expect_unit(quantize_tensor(w, {}).zero_point, 1, 6 * 192);

  // Without stored bytes in this order, the values take their place.
  const Weight moved = w.permute({1, 0});
  const QuantizedBlocks of_moved = quantize_blocks(moved, {.block_size = 16, .symmetric = false});
  const Origin codes = one(of_moved.codes), scales = one(of_moved.scales);
  EXPECT_EQ(codes.file, nullptr);
  EXPECT_EQ(codes.identity(), scales.identity());
  EXPECT_EQ(codes.source_bytes(), 4 * w.numel());
  EXPECT_EQ(scales.source_bytes(), 4 * w.numel());
  EXPECT_NE(codes.identity(), one(quantize_blocks(moved.add(moved), {.block_size = 16}).codes).identity());

  // Packed checkpoints: 3 bits in words of 4 bytes, and rows with unused bytes.
  const Weight words = TensorView{"p", DType::i32, {6, 3}, w.view()->file, 0};
  expect_unit(unpack(words, {.bits = 3}, 32), 32, 12);
  expect_unit(unpack(words, {.bits = 4}, 24), 8, 4);
  expect_unit(unpack(words, {.bits = 4}, 20), 20, 12);
  const PackedWeight packed{.codes = unpack(words, {.bits = 4}, 24),
                            .scales = Weight::from_doubles(DType::f32, {6, 3}, std::vector<double>(18, 0.5)),
                            .zero_point = 8,
                            .group_size = 8};
  expect_unit(described(affine(packed), packed).cast(DType::f16), 8, 4);
}

}  // namespace
}  // namespace onnxport::serialize
