/// GGUF: files that the test writes byte by byte, good and hostile. (tests/clients/gguf reads those of
/// llama.cpp's package.)
#include "checkpoint/gguf.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/ggml_blocks.h"
#include "gguf_bytes.h"
#include "onnxport/error.h"
#include "support/float16.h"

namespace onnxport::test {
namespace {

namespace fs = std::filesystem;

TEST_F(GgufTest, MetadataOfEveryType) {
  Writer file;
  file.with("a.u8", u8, le(200, 1))
      .with("a.i8", i8, le(0xff, 1))
      .with("a.u16", u16, le(65535, 2))
      .with("a.i16", i16, le(0x8000, 2))
      .with("a.u32", u32, le(4'000'000'000, 4))
      .with("a.i32", i32, le(0xffffffff, 4))
      .with("a.u64", u64, le(~0ULL, 8))
      .with("a.i64", i64, le(~0ULL, 8))
      .with("a.f32", f32, le(std::bit_cast<std::uint32_t>(1e-6F), 4))
      .with("a.f64", f64, le(std::bit_cast<std::uint64_t>(0.1), 8))
      .with("a.bool", boolean, le(1, 1))
      .with("a.text", str, text("llama"))
      .with("a.long", str, text(std::string(100'000, 'x')))
      .with("a.one", array, array_of(u32, 1, le(7, 4)))
      .with("a.tokens", array, array_of(str, 2, text("a") + text("bc")))
      .with("a.scores", array, array_of(f32, 5000, std::string(20'000, '\0')))
      .with("a.words", array, array_of(str, 5000, std::string(40'000, '\0')));
  for (const std::uint32_t version : {2U, 3U}) {
    file.version = version;
    const GgufInfo info = read(file.bytes()).info;
    EXPECT_EQ(info.integer("a.u8"), 200);
    EXPECT_EQ(info.integer("a.i8"), -1);
    EXPECT_EQ(info.integer("a.u16"), 65535);
    EXPECT_EQ(info.integer("a.i16"), -32768);
    EXPECT_EQ(info.integer("a.u32"), 4'000'000'000);
    EXPECT_EQ(info.integer("a.i32"), -1);
    EXPECT_EQ(info.real("a.u64"), 18446744073709551616.0);
    EXPECT_EQ(info.integer("a.i64"), -1);
    EXPECT_EQ(info.real("a.f32"), 1e-6);  // the decimal, and not the double of the float
    EXPECT_EQ(info.real("a.f64"), 0.1);
    EXPECT_EQ(std::get<bool>(*info.find("a.bool")), true);
    EXPECT_EQ(info.text("a.text"), "llama");
    EXPECT_EQ(info.find("a.long"), nullptr);
    EXPECT_EQ(info.integer("a.one"), 7);
    EXPECT_EQ(info.integer("a.text"), std::nullopt);
    EXPECT_EQ(std::get<GgufArray>(*info.find("a.tokens")).values.size(), 2U);
    for (const char* key : {"a.scores", "a.words"}) {
      EXPECT_EQ(std::get<GgufArray>(*info.find(key)).size, 5000U);
      EXPECT_TRUE(std::get<GgufArray>(*info.find(key)).values.empty());
    }
  }
}

TEST_F(GgufTest, PlainTensorsAreViews) {
  Writer file;
  file.alignment = 64;
  file.with("general.alignment", u32, le(64, 4));
  file.tensor("a", {3, 2}, 0, floats({0, 1, 2, 3, 4, 5}))
      .tensor("b", {2}, 1, le(f16_from_float(1.5F), 2) + le(f16_from_float(-2), 2))
      .tensor("c", {1}, 30, le(bf16_from_float(3), 2))
      .tensor("d", {}, 27, le(9, 8))
      .tensor("e", {0, 5}, 0, "");
  const gguf::Contents contents = read(file.bytes());
  ASSERT_EQ(contents.tensors.size(), 5U);
  for (const StoredTensor& tensor : contents.tensors) {
    EXPECT_FALSE(tensor.weight);
    EXPECT_EQ(tensor.view.offset % 64, 0U);
  }
  EXPECT_EQ(contents.tensors[0].view.shape, (Dims{2, 3}));
  EXPECT_EQ(weight_of(contents.tensors[0]).to_doubles(), (std::vector<double>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(contents.tensors[1].view.dtype, DType::f16);
  EXPECT_EQ(weight_of(contents.tensors[1]).to_doubles(), (std::vector<double>{1.5, -2}));
  EXPECT_EQ(weight_of(contents.tensors[2]).to_doubles(), (std::vector<double>{3}));
  EXPECT_EQ(weight_of(contents.tensors[3]).to_ints(), (Dims{9}));
  EXPECT_EQ(contents.info.tensors.at("e").shape(), (Dims{5, 0}));
}

TEST_F(GgufTest, EmptyTensorAtTheEnd) {
  Writer file;
  file.tensor("a", {0}, 0, "");
  const gguf::Contents contents = read(file.header());  // without the padding
  const TensorView& view = contents.tensors.at(0).view;
  EXPECT_NO_THROW(view.file->check_range(view.offset, view.bytes()));
}

TEST_F(GgufTest, BlocksByHand) {
  const std::string half = le(f16_from_float(0.5F), 2);
  // Q8_0: -2, -1, 0, …; Q4_0: low halves first, then high ones.
  std::string bytes = half, nibbles = half;
  std::vector<double> eights, fours(32);
  for (int i = 0; i < 32; ++i) {
    bytes += static_cast<char>(i - 2);
    eights.push_back(0.5 * (i - 2));
  }
  for (int i = 0; i < 16; ++i) {
    nibbles += static_cast<char>(i | (15 - i) << 4);
    fours[static_cast<std::size_t>(i)] = 0.5 * (i - 8);
    fours[static_cast<std::size_t>(i) + 16] = 0.5 * (15 - i - 8);
  }
  const gguf::Contents contents =
      read(Writer().tensor("a", {32}, 8, bytes).tensor("b", {32, 1}, 2, nibbles).bytes());
  EXPECT_EQ(contents.tensors[0].view.dtype, DType::f32);
  EXPECT_EQ(weight_of(contents.tensors[0]).to_doubles(), eights);
  EXPECT_EQ(weight_of(contents.tensors[1]).to_doubles(), fours);
  EXPECT_EQ(weight_of(contents.tensors[1]).shape(), (Dims{1, 32}));
}

// Whatever is asked for, it is the same part of the whole.
TEST_F(GgufTest, RangesOfBlocks) {
  std::mt19937 random(1);  // NOLINT: the same numbers each time
  for (std::uint32_t number = 0; number < 64; ++number) {
    const gguf::TensorType* type = gguf::find_type(number);
    if (type == nullptr || type->blocks == nullptr) continue;
    SCOPED_TRACE(std::string(type->name));
    const std::int64_t width = type->blocks->elements, blocks = 2000;
    std::string bytes(static_cast<std::size_t>(blocks * type->blocks->bytes), '\0');
    for (char& byte : bytes) byte = static_cast<char>(random() & 0x3f);  // finite halves
    const gguf::Contents contents = read(Writer().tensor("a", {width, blocks}, number, bytes).bytes());
    const Weight weight = weight_of(contents.tensors[0]);
    const auto count = static_cast<std::size_t>(width * blocks);
    std::vector<float> whole(count), part(count);
    weight.read(0, width * blocks, reinterpret_cast<std::byte*>(whole.data()));
    for (int i = 0; i < 200; ++i) {
      const auto begin = static_cast<std::int64_t>(random() % count);
      const std::int64_t longest = i % 2 == 0 ? 3 * width : width * blocks;
      const std::int64_t n = std::min<std::int64_t>(static_cast<std::int64_t>(random() % count) % longest,
                                                    width * blocks - begin);
      weight.read(begin, n, reinterpret_cast<std::byte*>(part.data()));
      ASSERT_EQ(std::memcmp(part.data(), whole.data() + begin, static_cast<std::size_t>(n) * 4), 0)
          << begin << "+" << n;
    }
  }
}

TEST_F(GgufTest, OtherFiles) {
  EXPECT_EQ(error(""), "m.gguf (0 bytes) does not begin with GGUF; download it again");
  EXPECT_EQ(error("version https://git-lfs.github.com/spec/v1\n"),
            "m.gguf is a git-lfs pointer, not the weights; run `git lfs pull` in its folder");
  EXPECT_EQ(error("tjgg" + le(1, 4), ErrorCode::unsupported),
            "m.gguf is in a format of llama.cpp older than GGUF; convert the original checkpoint again");
  Writer file;
  file.version = 1;
  EXPECT_EQ(error(file.bytes(), ErrorCode::unsupported),
            "m.gguf has GGUF version 1, expected 2 or 3; convert the original checkpoint again");
  file.version = 3U << 24;
  EXPECT_EQ(error(file.bytes(), ErrorCode::unsupported),
            "m.gguf is big-endian, expected a little-endian file");
}

TEST_F(GgufTest, EveryTruncationIsAnError) {
  Writer file;
  file.with("general.architecture", str, text("llama"))
      .with("list", array, array_of(str, 2, text("a") + text("b")))
      .with("numbers", array, array_of(u32, 3, std::string(12, '\1')));
  file.tensor("a", {4, 2}, 0, std::string(32, '\0')).tensor("b", {32}, 8, std::string(34, '\0'));
  const std::string bytes = file.bytes();
  ASSERT_EQ(read(bytes).tensors.size(), 2U);
  const std::size_t end = bytes.size() - (64 - 34);  // padding behind the last tensor is not needed
  for (std::size_t size = 0; size < end; ++size) {
    const std::string message = error(bytes.substr(0, size));
    EXPECT_NE(message.find("m.gguf"), std::string::npos) << size << ": " << message;
  }
  EXPECT_EQ(read(bytes.substr(0, end)).tensors.size(), 2U);
}

TEST_F(GgufTest, HostileMetadata) {
  const auto one = [&](const std::string& bytes) {
    return error("GGUF" + le(3, 4) + le(0, 8) + le(1, 8) + bytes + std::string(64, '\0'));
  };
  EXPECT_EQ(one(entry("a", Type{13}, "")), "'a' in the metadata of m.gguf: has the unknown type 13");
  EXPECT_EQ(one(entry("a", boolean, le(2, 1))),
            "'a' in the metadata of m.gguf: is the boolean 2, expected 0 or 1");
  EXPECT_EQ(one(le(0, 8)), "entry 0 of the metadata of m.gguf: has a name of 0 bytes, expected 1 to 65535");
  EXPECT_EQ(one(le(~0ULL, 8)).substr(0, 60), "entry 0 of the metadata of m.gguf: has a name of 18446744073");
  EXPECT_EQ(
      one(entry("a\n", str, le(~0ULL, 8))),
      "'a?' in the metadata of m.gguf: needs 18446744073709551615 bytes at byte 46, but the file ends at "
      "byte 110; download it again");
  EXPECT_EQ(one(entry("a", array, array_of(u64, ~0ULL, ""))),
            "'a' in the metadata of m.gguf: is an array of 18446744073709551615 elements, but the file has "
            "only 64 bytes left");
  EXPECT_EQ(one(entry("a", array, array_of(array, 1, array_of(u8, 1, "x")))),
            "'a' in the metadata of m.gguf: is an array of arrays, which is not supported");
  EXPECT_EQ(error(Writer().with("a", u8, "x").with("a", u8, "y").bytes()),
            "'a' in the metadata of m.gguf: occurs twice");
  EXPECT_EQ(error("GGUF" + le(3, 4) + le(~0ULL, 8) + le(0, 8)),
            "the number of tensors of m.gguf: got 18446744073709551615, expected at most 1000000");
  EXPECT_EQ(error("GGUF" + le(3, 4) + le(0, 8) + le(1'000'000, 8)),
            "the number of entries of the metadata of m.gguf: needs 14000000 bytes at byte 24, but the file "
            "ends at byte 24; download it again");
  for (const std::uint64_t bad : {0ULL, 3ULL, 1ULL << 31}) {
    EXPECT_EQ(
        error(Writer().with("general.alignment", u32, le(bad, 4)).bytes()),
        fmt::format("'general.alignment' in the metadata of m.gguf: expected a power of two, got {}", bad));
  }
  EXPECT_EQ(error(Writer().with("general.alignment", str, text("x")).bytes()),
            "'general.alignment' in the metadata of m.gguf: expected a power of two");
}

TEST_F(GgufTest, HostileTensors) {
  const auto one = [&](const Dims& extents, std::uint32_t type, std::size_t bytes = 0,
                       ErrorCode code = ErrorCode::bad_checkpoint) {
    return error(Writer().tensor("a", extents, type, std::string(bytes, '\0')).bytes(), code);
  };
  EXPECT_EQ(one({1, 1, 1, 1, 1}, 0), "tensor 'a' of m.gguf: has 5 axes, expected at most 4");
  EXPECT_EQ(one({-1}, 0), "tensor 'a' of m.gguf: has an axis of 18446744073709551615 elements");
  EXPECT_EQ(one({1LL << 40, 1LL << 40}, 0),
            "tensor 'a' of m.gguf: has shape [1099511627776, 1099511627776], which is too large for a file");
  EXPECT_EQ(one({1LL << 60}, 0),
            "tensor 'a' of m.gguf: has shape [1152921504606846976], which is too large for a file");
  EXPECT_EQ(one({33}, 8),
            "tensor 'a' of m.gguf: has rows of 33 elements, expected a multiple of 32 in type Q8_0");
  EXPECT_EQ(one({}, 8),
            "tensor 'a' of m.gguf: has rows of 1 elements, expected a multiple of 32 in type Q8_0");
  EXPECT_EQ(one({4}, 5), "tensor 'a' of m.gguf: has the unknown type 5");
  EXPECT_EQ(
      one({256}, 23, 136, ErrorCode::unsupported),
      "tensor 'a' of m.gguf has the unsupported type IQ4_XS; supported: F32, F16, BF16, Q8_0, Q4_0, Q4_1, "
      "Q5_0, Q5_1, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, MXFP4, F64, I8, I16, I32, I64");
  EXPECT_EQ(one({9}, 0, 32),
            "tensor 'a' of m.gguf: 36 bytes at offset 0 of the data, which has 32 bytes; "
            "download it again");
  EXPECT_EQ(error(Writer().tensor("a", {1}, 0, "abcd").tensor("a", {1}, 0, "abcd").bytes()),
            "tensor 'a' of m.gguf: occurs twice");
  Writer overlapping;
  overlapping.tensor("a", {16}, 0, std::string(32, '\0')).tensor("b", {1}, 0, std::string(32, '\0'));
  EXPECT_EQ(error(overlapping.bytes()), "tensors 'a' and 'b' of m.gguf overlap");
  Writer crooked;
  crooked.tensor("a", {1}, 0, "abcd");
  crooked.infos.replace(crooked.infos.size() - 8, 8, le(4, 8));
  EXPECT_EQ(error(crooked.bytes()),
            "tensor 'a' of m.gguf: 4 bytes at offset 4 of the data, expected a multiple of 32");
  crooked.infos.replace(crooked.infos.size() - 8, 8, le(~31ULL, 8));
  EXPECT_EQ(error(crooked.bytes()),
            "tensor 'a' of m.gguf: 4 bytes at offset 18446744073709551584 of the data, which has 32 bytes; "
            "download it again");
}

TEST_F(GgufTest, Parts) {
  const auto part = [](std::uint64_t number, std::string_view name, std::uint64_t count = 2) {
    Writer file;
    file.with("split.no", u16, le(number, 2)).with("split.count", u16, le(count, 2));
    if (number == 0)
      file.with("split.tensors.count", i32, le(2, 4)).with("general.architecture", str, text("x"));
    return file.tensor(name, {1}, 0, floats({static_cast<float>(number)})).bytes();
  };
  write("m-00001-of-00002.gguf", part(0, "a"));
  const fs::path second = write("m-00002-of-00002.gguf", part(1, "b"));
  EXPECT_EQ(gguf::find_in(folder()), folder() / "m-00001-of-00002.gguf");
  const gguf::Contents both = gguf::read(second);
  EXPECT_EQ(both.info.architecture(), "x");
  ASSERT_EQ(both.tensors.size(), 2U);
  EXPECT_EQ(weight_of(both.tensors[1]).to_doubles(), (std::vector<double>{1}));
  EXPECT_EQ(Checkpoint::open(folder())->keys(), (std::vector<std::string>{"a", "b"}));

  const auto failure = [&] { return error_of([&] { gguf::read(second); }); };
  write("m-00002-of-00002.gguf", part(1, "a"));
  EXPECT_EQ(failure(), "tensor 'a' of m-00002-of-00002.gguf is also in an earlier part");
  write("m-00002-of-00002.gguf", part(0, "b"));
  EXPECT_EQ(failure(), "'split.no' in the metadata of m-00002-of-00002.gguf: expected 1, got 0");
  write("m-00002-of-00002.gguf", part(1, "b", 3));
  EXPECT_EQ(failure(), "'split.count' in the metadata of m-00002-of-00002.gguf: expected 2, got 3");
  Writer more;
  more.with("split.no", u16, le(1, 2)).with("split.count", u16, le(2, 2));
  write("m-00002-of-00002.gguf", more.bytes());
  EXPECT_EQ(failure(), "the parts of m-00002-of-00002.gguf have 1 tensors, expected 2");
  fs::remove(folder() / "m-00001-of-00002.gguf");
  EXPECT_EQ(failure(), "part 'm-00001-of-00002.gguf' of m-00002-of-00002.gguf is missing in '" +
                           folder().string() + "'; download it");
  EXPECT_EQ(error_of([&] { gguf::read(write("whole.gguf", part(0, "a"))); }),
            "whole.gguf is one of 2 parts, but its name does not say so; restore its name, such as "
            "whole-00001-of-00002.gguf");
  EXPECT_EQ(error_of([&] { gguf::find_in(folder()); }),
            "'" + folder().string() +
                "' holds several .gguf files: m-00001-of-00002.gguf, whole.gguf; give the file to export "
                "instead of the folder");
  EXPECT_NE(
      error_of([&] { gguf::read(write("m-00003-of-00002.gguf", part(0, "a"))); }).find("is not a part of"),
      std::string::npos);
}

}  // namespace
}  // namespace onnxport::test
