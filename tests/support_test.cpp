#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <bit>
#include <cmath>
#include <csignal>
#include <cstring>
#include <fstream>
#include <functional>
#include <limits>
#include <set>
#include <stdexcept>

#include "onnxport/dtype.h"
#include "onnxport/error.h"
#include "onnxport/tensor.h"
#include "support/atomic_file.h"
#include "support/convert.h"
#include "support/dtype_names.h"
#include "support/file.h"
#include "support/float16.h"
#include "support/hash.h"
#include "support/parallel.h"
#include "support/progress.h"
#include "support/shape.h"
#include "support/temp_folder.h"
#include "support/text.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;
constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// Message of the ExportError that `fn` throws, with its code in front.
std::string error_of(const std::function<void()>& fn) {
  try {
    fn();
  } catch (const ExportError& error) {
    return fmt::format("{}: {}", static_cast<int>(error.code()), error.what());
  }
  return "no error";
}

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

void write_file(const fs::path& path, std::string_view content) {
  std::ofstream(path, std::ios::binary).write(content.data(), static_cast<std::streamsize>(content.size()));
}

std::size_t count_files(const fs::path& folder) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

// --- dtypes ---

TEST(DTypeTest, NamesRoundTrip) {
  for (DType dtype : kAllDTypes) {
    EXPECT_EQ(parse_dtype(to_string(dtype)), dtype);
    EXPECT_EQ(parse_dtype(short_name(dtype)), dtype);
    EXPECT_EQ(parse_dtype(safetensors_name(dtype)), dtype);
  }
  EXPECT_EQ(to_string(DType::bf16), "bfloat16");
  EXPECT_EQ(short_name(DType::f32), "fp32");
  EXPECT_EQ(safetensors_name(DType::boolean), "BOOL");
  EXPECT_EQ(size_of(DType::i16), 2U);
  EXPECT_EQ(size_of(DType::u64), 8U);
  const std::string error = error_of([] { parse_dtype("fp8"); });
  EXPECT_TRUE(contains(error, "unknown dtype 'fp8', expected one of fp32, fp16, bf16")) << error;
}

TEST(DTypeTest, Ranges) {
  EXPECT_EQ(lowest(DType::f32), -static_cast<double>(std::numeric_limits<float>::max()));
  EXPECT_EQ(highest(DType::f16), 65504.0);
  EXPECT_EQ(highest(DType::bf16), static_cast<double>(bf16_to_float(0x7f7f)));
  EXPECT_EQ(lowest(DType::i8), -128);
  EXPECT_EQ(highest(DType::u16), 65535);
  EXPECT_EQ(lowest(DType::u32), 0);
  EXPECT_EQ(highest(DType::boolean), 1);
}

// --- half precision ---

/// What IEEE 754 says the bits mean, by arithmetic.
double half_value(std::uint16_t bits, int exponent_bits, int mantissa_bits) {
  const int exponent = (bits >> mantissa_bits) & ((1 << exponent_bits) - 1);
  const int mantissa = bits & ((1 << mantissa_bits) - 1);
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const double sign = (bits & 0x8000) != 0 ? -1 : 1;
  if (exponent == (1 << exponent_bits) - 1) return mantissa == 0 ? sign * kInf : kNaN;
  if (exponent == 0) return sign * std::ldexp(mantissa, 1 - bias - mantissa_bits);
  return sign * std::ldexp(mantissa + (1 << mantissa_bits), exponent - bias - mantissa_bits);
}

TEST(Float16Test, EveryValueMeansWhatIeeeSaysAndRoundTrips) {
  for (std::uint32_t i = 0; i < 65536; ++i) {
    const auto bits = static_cast<std::uint16_t>(i);
    const float half = f16_to_float(bits), brain = bf16_to_float(bits);
    const double half_expected = half_value(bits, 5, 10), brain_expected = half_value(bits, 8, 7);
    if (std::isnan(half_expected)) {
      ASSERT_TRUE(std::isnan(half)) << i;
    } else {
      ASSERT_EQ(half, half_expected) << i;
      ASSERT_EQ(std::signbit(half), (bits & 0x8000) != 0) << i;
      ASSERT_EQ(f16_from_double(half), bits);
    }
    if (std::isnan(brain_expected)) {
      ASSERT_TRUE(std::isnan(brain)) << i;
    } else {
      ASSERT_EQ(brain, brain_expected) << i;
      ASSERT_EQ(bf16_from_double(brain), bits);
    }
    ASSERT_EQ(f16_from_float(half), bits);  // NaNs with their payloads too
    ASSERT_EQ(bf16_from_float(brain), bits);
  }
}

/// Between each two neighbours: the middle goes to the even one, anything beside the middle to the nearer
/// one, however little it is beside.
template <class ToDouble, class FromFloat, class FromDouble>
void check_rounding(std::uint16_t largest, ToDouble to_double, FromFloat from_float, FromDouble from_double) {
  for (std::uint16_t bits = 0; bits < largest; ++bits) {
    const auto above = static_cast<std::uint16_t>(bits + 1);
    const double low = to_double(bits), high = to_double(above), middle = (low + high) / 2;
    const std::uint16_t even = bits % 2 == 0 ? bits : above;
    for (const double sign : {1.0, -1.0}) {
      const auto signed_bits = [&](std::uint16_t b) {
        return static_cast<std::uint16_t>(sign < 0 ? b | 0x8000 : b);
      };
      ASSERT_EQ(from_double(sign * middle), signed_bits(even)) << bits;
      ASSERT_EQ(from_double(sign * std::nextafter(middle, kInf)), signed_bits(above)) << bits;
      ASSERT_EQ(from_double(sign * std::nextafter(middle, 0)), signed_bits(bits)) << bits;
      const auto m = static_cast<float>(middle);
      if (static_cast<double>(m) != middle) {
        continue;  // the smallest bf16 denormals have no float in the middle
      }
      const auto s = static_cast<float>(sign);
      ASSERT_EQ(from_float(s * m), signed_bits(even)) << bits;
      ASSERT_EQ(from_float(s * std::nextafter(m, std::numeric_limits<float>::infinity())), signed_bits(above))
          << bits;
      ASSERT_EQ(from_float(s * std::nextafter(m, 0.0F)), signed_bits(bits)) << bits;
    }
  }
}

TEST(Float16Test, RoundsToNearestEvenInOneStep) {
  check_rounding(0x7bff, f16_to_float, f16_from_float, f16_from_double);
  check_rounding(0x7f7f, bf16_to_float, bf16_from_float, bf16_from_double);
}

TEST(Float16Test, OverflowGivesInfinityAndNaNStays) {
  EXPECT_EQ(f16_from_float(65519.996F), 0x7bff);
  EXPECT_EQ(f16_from_float(65520.0F), 0x7c00);
  EXPECT_EQ(f16_from_float(-1e30F), 0xfc00);
  EXPECT_EQ(f16_from_double(1e300), 0x7c00);
  EXPECT_EQ(f16_from_float(2.98e-8F), 0x0000);
  EXPECT_EQ(f16_from_float(2.99e-8F), 0x0001);
  EXPECT_EQ(bf16_from_float(std::numeric_limits<float>::max()), 0x7f80);
  EXPECT_EQ(bf16_from_double(-kInf), 0xff80);
  // A NaN whose payload lies in the bits that fall off must not become an infinity.
  EXPECT_EQ(f16_from_float(std::bit_cast<float>(0x7f800001U)), 0x7e00);
  EXPECT_EQ(bf16_from_float(std::bit_cast<float>(0xff800001U)), 0xffc0);
  EXPECT_TRUE(std::isnan(f16_to_float(f16_from_double(kNaN))));
  EXPECT_TRUE(std::isnan(bf16_to_float(bf16_from_double(kNaN))));
}

// --- conversion ---

template <class To, class From>
std::vector<To> converted(DType from, const std::vector<From>& values, DType to) {
  std::vector<To> result(values.size());
  convert(from, reinterpret_cast<const std::byte*>(values.data()), to,
          reinterpret_cast<std::byte*>(result.data()), values.size());
  return result;
}

TEST(ConvertTest, FloatToInteger) {
  const std::vector<double> values = {-1.9, 1.9, 300, -300, kNaN, kInf, -kInf, 9.3e18};
  EXPECT_EQ(converted<std::int8_t>(DType::f64, values, DType::i8),
            (std::vector<std::int8_t>{-1, 1, 127, -128, 0, 127, -128, 127}));
  EXPECT_EQ(converted<std::uint8_t>(DType::f64, values, DType::u8),
            (std::vector<std::uint8_t>{0, 1, 255, 0, 0, 255, 0, 255}));
  constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max(),
                         kMin = std::numeric_limits<std::int64_t>::min();
  EXPECT_EQ(converted<std::int64_t>(DType::f64, values, DType::i64),
            (std::vector<std::int64_t>{-1, 1, 300, -300, 0, kMax, kMin, kMax}));
  EXPECT_EQ(converted<std::uint64_t>(DType::f64, values, DType::u64).back(), 9300000000000000000U);
}

TEST(ConvertTest, IntegersAndBooleans) {
  EXPECT_EQ(converted<std::int8_t>(DType::i64, std::vector<std::int64_t>{255, 256, -1}, DType::i8),
            (std::vector<std::int8_t>{-1, 0, -1}));
  EXPECT_EQ(converted<float>(DType::boolean, std::vector<std::uint8_t>{0, 1, 7}, DType::f32),
            (std::vector<float>{0, 1, 1}));
  EXPECT_EQ(converted<std::uint8_t>(DType::f64, std::vector<double>{0, -0.0, 0.25, kNaN}, DType::boolean),
            (std::vector<std::uint8_t>{0, 0, 1, 1}));
  // One rounding, not one to double and another to float.
  EXPECT_EQ(
      converted<float>(DType::i64, std::vector<std::int64_t>{(1LL << 60) + (1LL << 36) + 1}, DType::f32)[0],
      0x1p60F + 0x1p37F);
}

TEST(ConvertTest, EveryPairAgreesOnSmallIntegers) {
  const std::vector<double> values = {0, 1, 1, 0, 1};
  for (DType from : kAllDTypes) {
    const Tensor source = Tensor::from_doubles(from, {5}, values);
    for (DType to : kAllDTypes) {
      Tensor target(to, {5});
      convert(from, source.data.data(), to, target.data.data(), 5);
      EXPECT_EQ(target.to_doubles(), values) << to_string(from) << " to " << to_string(to);
      EXPECT_EQ(target.data, Tensor::from_doubles(to, {5}, values).data);
    }
  }
}

TEST(ConvertTest, Lossless) {
  EXPECT_TRUE(is_lossless(DType::bf16, DType::f32));
  EXPECT_TRUE(is_lossless(DType::f16, DType::f64));
  EXPECT_TRUE(is_lossless(DType::i8, DType::f16));
  EXPECT_TRUE(is_lossless(DType::boolean, DType::u8));
  EXPECT_TRUE(is_lossless(DType::u32, DType::i64));
  EXPECT_FALSE(is_lossless(DType::f16, DType::bf16));
  EXPECT_FALSE(is_lossless(DType::bf16, DType::f16));
  EXPECT_FALSE(is_lossless(DType::i64, DType::f64));
  EXPECT_FALSE(is_lossless(DType::i8, DType::u64));
  EXPECT_FALSE(is_lossless(DType::f32, DType::i64));
  EXPECT_FALSE(is_lossless(DType::u8, DType::boolean));
}

// --- tensors ---

TEST(TensorTest, ValuesAndErrors) {
  const Tensor tensor = Tensor::from_doubles(DType::f16, {2, 1}, std::vector<double>{0.1, 1e6});
  EXPECT_EQ(tensor.to_doubles(), (std::vector<double>{0.0999755859375, kInf}));
  EXPECT_EQ(Tensor(DType::i32, {2, 3}).to_ints(), std::vector<std::int64_t>(6, 0));
  EXPECT_EQ(Tensor(DType::f32, {}).numel(), 1);
  EXPECT_EQ(Tensor::from_ints(DType::f32, {1}, std::vector<std::int64_t>{-3}).to_doubles(),
            std::vector<double>{-3});
  const NamedTensors named = {{"a", tensor}, {"b", Tensor(DType::u8, {0})}};
  EXPECT_EQ(find(named, "b"), &named[1].second);
  EXPECT_EQ(find(named, "c"), nullptr);

  using Doubles = std::vector<double>;
  using Ints = std::vector<std::int64_t>;
  EXPECT_TRUE(contains(error_of([] { Tensor::from_doubles(DType::i32, {1}, Doubles{0.5}); }),
                       "value 0.5 does not fit int32"));
  EXPECT_TRUE(contains(error_of([] { Tensor::from_doubles(DType::i64, {1}, Doubles{0x1p63}); }),
                       "does not fit int64"));
  EXPECT_TRUE(
      contains(error_of([] { Tensor::from_doubles(DType::i64, {1}, Doubles{kNaN}); }), "does not fit int64"));
  EXPECT_EQ(Tensor::from_doubles(DType::i64, {1}, Doubles{-0x1p63}).to_ints()[0],
            std::numeric_limits<std::int64_t>::min());
  EXPECT_TRUE(
      contains(error_of([] { Tensor::from_ints(DType::u8, {1}, Ints{-1}); }), "value -1 does not fit uint8"));
  EXPECT_TRUE(contains(error_of([] { Tensor::from_ints(DType::boolean, {1}, Ints{2}); }),
                       "value 2 does not fit bool"));
  EXPECT_TRUE(contains(error_of([] { Tensor::from_ints(DType::i64, {3}, Ints{1}); }),
                       "1 values given for a tensor of shape [3]"));
  EXPECT_TRUE(contains(error_of([] { Tensor(DType::f32, {2, -1}); }), "cannot have shape [2, -1]"));
  EXPECT_TRUE(contains(error_of([] { Tensor(DType::f32, {1LL << 40, 1LL << 40}); }), "cannot have shape"));
  EXPECT_TRUE(contains(error_of([] { Tensor(DType::f32, {1}).to_ints(); }),
                       "integers requested from a tensor of float32"));
}

TEST(ShapeTest, ElementCount) {
  const auto count = [](std::vector<std::int64_t> shape) { return element_count(shape); };
  EXPECT_EQ(count({}), 1);
  EXPECT_EQ(count({3, 4}), 12);
  EXPECT_EQ(count({3, 0, 5}), 0);
  EXPECT_EQ(count({0, -1}), std::nullopt);
  EXPECT_EQ(count({1LL << 32, 1LL << 32}), std::nullopt);
  EXPECT_EQ(count({1LL << 32, 0, 1LL << 32}), std::nullopt);
}

// --- text ---

TEST(TextTest, EditDistanceAndNearest) {
  EXPECT_EQ(text::edit_distance("kitten", "sitting"), 3U);
  EXPECT_EQ(text::edit_distance("", "abc"), 3U);
  const std::vector<std::string> words = {"encoder.weight", "encoder.bias", "decoder.weight", "x"};
  EXPECT_EQ(text::nearest("encodr.weight", words, 2),
            (std::vector<std::string>{"encoder.weight", "decoder.weight"}));
  EXPECT_TRUE(text::nearest("zzzzzz", words).empty());
  EXPECT_TRUE(
      text::nearest(std::string(10000, 'a'), std::vector<std::string>{std::string(10000, 'b')}).empty());
}

TEST(TextTest, TrimmedAndLower) {
  EXPECT_EQ(text::trimmed(" \t a b\r\n"), "a b");
  EXPECT_EQ(text::trimmed(" \n "), "");
  EXPECT_EQ(text::trimmed(""), "");
  EXPECT_EQ(text::lower("X-Linked-ETag \xc4"), "x-linked-etag \xc4");
}

TEST(TextTest, Glob) {
  EXPECT_TRUE(text::glob_match("*.position_ids", "bert.embeddings.position_ids"));
  EXPECT_TRUE(text::glob_match("cls.*", "cls."));
  EXPECT_TRUE(text::glob_match("*", ""));
  EXPECT_TRUE(text::glob_match("a*b*c", "a.b.b.c"));
  EXPECT_TRUE(text::glob_match("same", "same"));
  EXPECT_FALSE(text::glob_match("same", "same."));
  EXPECT_FALSE(text::glob_match("a*b", "a.b.c"));
  EXPECT_FALSE(text::glob_match("", "a"));
  EXPECT_FALSE(text::glob_match(std::string(50, '*') + "b", std::string(5000, 'a')));
}

TEST(TextTest, Formats) {
  EXPECT_EQ(text::human_bytes(999), "999 B");
  EXPECT_EQ(text::human_bytes(1500), "1.5 kB");
  EXPECT_EQ(text::human_bytes(999'960), "1.0 MB");
  EXPECT_EQ(text::human_bytes(90'868'370), "90.9 MB");
  EXPECT_EQ(text::human_bytes(std::numeric_limits<std::uint64_t>::max()), "18.4 EB");
  const std::vector<std::string> parts = {"a", "b"};
  EXPECT_EQ(text::join(parts), "a, b");
  EXPECT_EQ(text::join_quoted(parts), "'a', 'b'");
  EXPECT_EQ(text::join_quoted({}), "");
  EXPECT_EQ(text::shape_text(std::vector<std::int64_t>{3, 4}), "[3, 4]");
  EXPECT_EQ(text::shape_text({}), "[]");
}

TEST(ProgressTest, Line) {
  using Unit = Progress::Unit;
  EXPECT_EQ(Progress::line("writing", Unit::bytes, 500'000'000, 2'000'000'000, 2),
            "writing  25%  500.0 MB of 2.0 GB  250.0 MB/s");
  EXPECT_EQ(Progress::line("running", Unit::count, 0, 0, 0), "running 100%  0 of 0");
}

TEST(HashTest, TellsBytesApart) {
  const auto hash = [](std::string_view text) { return hash128(std::as_bytes(std::span(text))); };
  EXPECT_EQ(hash("abc"), hash("abc"));
  EXPECT_EQ(hash("").size(), 32U);
  std::set<std::string> hashes;
  std::string bytes(257, '\0');
  for (std::size_t length = 0; length <= bytes.size(); ++length) hashes.insert(hash(bytes.substr(0, length)));
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    bytes[bit / 8] = static_cast<char>(1 << (bit % 8));
    hashes.insert(hash(bytes));
    bytes[bit / 8] = 0;
  }
  EXPECT_EQ(hashes.size(), 258U + 257 * 8);
}

// --- parallel_for ---

TEST(ParallelForTest, CallsEachIndexOnce) {
  for (const std::size_t n : {0U, 1U, 2U, 1000U}) {
    std::vector<std::atomic<int>> calls(n);
    parallel_for(n, [&](std::size_t i) { ++calls[i]; }, 4);
    for (const auto& count : calls) EXPECT_EQ(count, 1);
  }
}

TEST(ParallelForTest, RethrowsTheLowestIndex) {
  for (int round = 0; round < 50; ++round) {
    const auto run = [] {
      parallel_for(
          100,
          [](std::size_t i) {
            if (i % 10 == 3) throw std::runtime_error(std::to_string(i));
          },
          4);
    };
    try {
      run();
      FAIL();
    } catch (const std::runtime_error& error) {
      ASSERT_STREQ(error.what(), "3");
    }
  }
}

// --- files ---

TEST(FileTest, ReadsByPosition) {
  const TempFolder folder;
  write_file(folder.path() / "a", "0123456789");
  const auto file = File::open(folder.path() / "a");
  EXPECT_EQ(file->size(), 10U);
  EXPECT_EQ(file->name(), "a");
  std::string text(3, ' ');
  file->read(7, 3, reinterpret_cast<std::byte*>(text.data()));
  EXPECT_EQ(text, "789");
  const auto beyond = [&](std::uint64_t offset) {
    file->read(offset, 3, reinterpret_cast<std::byte*>(text.data()));
  };
  EXPECT_TRUE(contains(error_of([&] { beyond(8); }), "/a': the file has 10 bytes"));
  EXPECT_TRUE(contains(error_of([&] { beyond(~0ULL); }), "the file has 10 bytes"));
  fs::create_symlink("a", folder.path() / "link");
  EXPECT_EQ(File::open(folder.path() / "link")->identity(), file->identity());
  write_file(folder.path() / "b", "0123456789");
  EXPECT_NE(File::open(folder.path() / "b")->identity(), file->identity());
  ASSERT_EQ(::truncate((folder.path() / "a").c_str(), 5), 0);
  EXPECT_TRUE(contains(error_of([&] { beyond(4); }), "ends at byte 5, but had 10 bytes when it was opened"));
}

TEST(FileTest, RefusesWhatIsNoFile) {
  const TempFolder folder;
  EXPECT_TRUE(
      contains(error_of([&] { File::open(folder.path() / "none"); }), "/none': no such file or directory"));
  EXPECT_TRUE(contains(error_of([&] { File::open(folder.path()); }), "it is not a regular file"));
  ASSERT_EQ(::mkfifo((folder.path() / "pipe").c_str(), 0600), 0);
  EXPECT_TRUE(contains(error_of([&] { File::open(folder.path() / "pipe"); }), "it is not a regular file"));
  write_file(folder.path() / "file", "x");
  EXPECT_TRUE(contains(error_of([&] { File::open(folder.path() / "file" / "below"); }),
                       "a part of the path is a file"));
}

TEST(FileTest, TextWithLimit) {
  const TempFolder folder;
  write_file(folder.path() / "a", "hello");
  EXPECT_EQ(read_text_file(folder.path() / "a"), "hello");
  EXPECT_TRUE(contains(error_of([&] { read_text_file(folder.path() / "a", 4); }),
                       "has 5 B, expected a text file of at most 4 B"));
}

// --- atomic files ---

TEST(AtomicFileTest, AppearsWhenCommitted) {
  const TempFolder folder;
  const fs::path target = folder.path() / "model.onnx";
  write_file(target, "old");
  {
    AtomicFile file(target);
    file.reserve(100);
    file.append("hello ");
    file.append("world");
    EXPECT_EQ(file.position(), 11U);
    EXPECT_EQ(read_text_file(target), "old");
    file.flush();
    EXPECT_EQ(read_text_file(file.temporary()), "hello world");
    file.write_at(13, std::as_bytes(std::span(std::string_view("!"))));
    file.commit();
  }
  EXPECT_EQ(read_text_file(target), std::string("hello world\0\0!", 14));
  EXPECT_EQ(count_files(folder.path()), 1U);
}

TEST(AtomicFileTest, LeavesNothingWithoutCommit) {
  const TempFolder folder;
  {
    AtomicFile a(folder.path() / "model.onnx"),
        b(folder.path() / "model.onnx");  // two at a time get two names
    a.append(std::string(3 << 20, 'x'));
    EXPECT_EQ(count_files(folder.path()), 2U);
  }
  EXPECT_EQ(count_files(folder.path()), 0U);
}

TEST(AtomicFileTest, LargeAppendsKeepTheirOrder) {
  const TempFolder folder;
  std::string expected;
  AtomicFile file(folder.path() / "a");
  for (std::size_t i = 0; i < 40; ++i) {
    const std::string part(i * 20'011 + (i % 8 == 5 ? 2'000'000 : 0), static_cast<char>('a' + i % 26));
    file.append(part);
    expected += part;
  }
  file.commit();
  EXPECT_TRUE(read_text_file(folder.path() / "a") == expected);
}

TEST(AtomicFileTest, CopiesRanges) {
  const TempFolder folder;
  std::string content(3'000'001, '\0');
  for (std::size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>(i * 31 >> 4);
  write_file(folder.path() / "source", content);
  const auto source = File::open(folder.path() / "source");
  AtomicFile file(folder.path() / "target");
  file.copy_from(*source, 1001, 7, 2'500'000);
  file.copy_from(*source, 0, 2'500'007, 0);
  EXPECT_TRUE(
      contains(error_of([&] { file.copy_from(*source, 2'999'999, 0, 3); }), "the file has 3000001 bytes"));
  file.commit();
  EXPECT_TRUE(read_text_file(folder.path() / "target") ==
              std::string(7, '\0') + content.substr(1001, 2'500'000));
  // From another file system, where the kernel may refuse.
  AtomicFile other(folder.path() / "other");
  const auto proc = File::open("/proc/self/exe");
  other.copy_from(*proc, 1, 0, proc->size() - 1);
  other.commit();
  EXPECT_EQ(fs::file_size(folder.path() / "other"), proc->size() - 1);
}

TEST(AtomicFileTest, ConcurrentWrites) {
  const TempFolder folder;
  AtomicFile file(folder.path() / "a");
  parallel_for(
      64,
      [&](std::size_t i) {
        const std::string part(1000, static_cast<char>('0' + i % 64));
        file.write_at(i * 1000, std::as_bytes(std::span(part)));
      },
      4);
  file.commit();
  const std::string content = read_text_file(folder.path() / "a");
  ASSERT_EQ(content.size(), 64'000U);
  for (std::size_t i = 0; i < content.size(); ++i) ASSERT_EQ(content[i], static_cast<char>('0' + i / 1000));
}

TEST(AtomicFileTest, SaysWhyItCannotWrite) {
  const TempFolder folder;
  const auto open = [](const fs::path& path) { return error_of([&] { AtomicFile file(path); }); };
  EXPECT_TRUE(contains(open(folder.path() / "no" / "a"),
                       "cannot create '" + (folder.path() / "no/a").string() + "': no such file"));
  EXPECT_TRUE(contains(open(folder.path()), "it is a folder"));
  EXPECT_TRUE(contains(open(folder.path() / ""), "it is a folder"));
  write_file(folder.path() / "file", "x");
  EXPECT_TRUE(contains(open(folder.path() / "file" / "a"), "a part of the path is a file"));
  EXPECT_TRUE(contains(open(folder.path() / std::string(300, 'a')), "name too long"));
  if (::geteuid() != 0) {
    fs::permissions(folder.path(), fs::perms::owner_read | fs::perms::owner_exec);
    EXPECT_TRUE(contains(open(folder.path() / "a"),
                         "permission denied; check its permissions or choose another folder"));
    fs::permissions(folder.path(), fs::perms::owner_all);
  } else {
    EXPECT_TRUE(contains(open("/proc/onnxport"), "cannot create '/proc/onnxport'"));
  }
}

/// Runs `fn` in a child process; its exit status, or minus the signal that ended it.
int in_child(const std::function<int()>& fn) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(fn());
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

TEST(AtomicFileTest, FullDiskGivesOneMessageAndLeavesNothing) {
  const TempFolder folder;
  const fs::path target = folder.path() / "model.onnx";
  write_file(folder.path() / "source", std::string(400'000, 's'));
  // A limit on file size stands in for a full disk.
  for (const int way : {0, 1, 2}) {
    const int status = in_child([&] {
      std::signal(SIGXFSZ, SIG_IGN);
      const struct rlimit limit = {100'000, 100'000};
      ::setrlimit(RLIMIT_FSIZE, &limit);
      const std::string error = error_of([&] {
        AtomicFile file(target);
        if (way == 0) file.write_at(0, std::vector<std::byte>(200'000));
        if (way == 1) file.copy_from(*File::open(folder.path() / "source"), 0, 0, 400'000);
        if (way == 2) file.append(std::string(200'000, 'x'));
        file.commit();
      });
      const bool good = contains(error, "'" + target.string() + "': file too large; raise the limit");
      if (!good) fmt::print(stderr, "way {}: {}\n", way, error);
      return good ? 42 : 1;
    });
    EXPECT_EQ(status, 42) << way;
    EXPECT_EQ(count_files(folder.path()), 1U) << way;
  }
  EXPECT_TRUE(contains(io_error("write 2.0 GB to", "/out/model.onnx", ENOSPC).what(),
                       "cannot write 2.0 GB to '/out/model.onnx': no space left on device; free some space "
                       "or choose another folder"));
}

TEST(AtomicFileTest, RemovesWhatKilledProcessesLeft) {
  const TempFolder folder;
  const fs::path target = folder.path() / "model.onnx";
  const int status = in_child([&] {
    AtomicFile file(target);
    file.append(std::string(2 << 20, 'x'));
    ::raise(SIGKILL);
    return 0;
  });
  ASSERT_EQ(status, -SIGKILL);
  EXPECT_EQ(count_files(folder.path()), 1U);
  EXPECT_FALSE(fs::exists(target));
  write_file(folder.path() / ".model.onnx.data.1-0.tmp", "of another target");
  write_file(folder.path() / ".model.onnx.tmp", "of somebody else");
  AtomicFile live(target);
  EXPECT_EQ(count_files(folder.path()), 3U);
  // What is being written, here or by another process, stays.
  const int other = in_child([&] {
    const AtomicFile file(target);
    return count_files(folder.path()) == 4 ? 42 : 1;
  });
  EXPECT_EQ(other, 42);
  EXPECT_TRUE(fs::exists(live.temporary()));
  live.commit();
  EXPECT_EQ(fs::file_size(target), 0U);
}

TEST(AtomicFileTest, FreeSpace) {
  const TempFolder folder;
  check_free_space(folder.path(), 1);
  const std::string error = error_of([&] { check_free_space(folder.path(), 1ULL << 60); });
  EXPECT_TRUE(contains(error, "not enough space in '" + folder.path().string() + "': 1.2 EB needed, "))
      << error;
  EXPECT_TRUE(
      contains(error_of([&] { check_free_space(folder.path() / "none", 1); }), "no such file or directory"));
}

}  // namespace
}  // namespace onnxport
